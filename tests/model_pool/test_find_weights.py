"""The weights of a network are found in a file however the trainer wrapped them, and always the same ones."""

from __future__ import annotations

import argparse
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from transfer_exp.model_pool.weight_files import find_weights

PREFIXES = (
    "",
    "module.",
    "model.",
    "backbone.",
    "encoder.",
    "net.",
    "_orig_mod.",
    "module._orig_mod.",
    "module.model.",
)
CONTAINERS = ("state_dict", "model", "model_state", "model_state_dict", "net", "network", "weights", "params")
EMA = ("state_dict_ema", "model_ema", "ema", "ema_state_dict", "net_ema")


def _network(seed):
    torch.manual_seed(seed)
    trunk = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1))
    return nn.ModuleDict({"trunk": trunk, "fc": nn.Linear(2, 3)}).state_dict()


NETWORK, OTHER = _network(0), _network(1)


def _wrap(state, prefix, compiled=False):
    inner = "trunk._orig_mod." if compiled else "trunk."
    return {prefix + name.replace("trunk.", inner): value for name, value in state.items()}


def _assert_equal(state, expected=NETWORK):
    assert set(state) == set(expected)
    assert all(torch.equal(state[name], expected[name]) for name in expected)


@pytest.mark.slow
@given(
    prefix=st.sampled_from(PREFIXES),
    container=st.sampled_from(("", *CONTAINERS)),
    compiled=st.booleans(),
    ema=st.sampled_from(("", *EMA)),
    ema_prefix=st.sampled_from(PREFIXES),
    extra=st.booleans(),
)
def test_wrapped_weights_are_found_and_averaged_ones_come_first(prefix, container, compiled, ema, ema_prefix, extra):
    plain = _wrap(NETWORK, prefix, compiled)
    content = {container: plain} if container else plain
    if container and extra:
        moments = {0: {"exp_avg": torch.ones(2)}}
        content |= {"epoch": 3, "args": argparse.Namespace(lr=0.1), "optimizer": {"state": moments, "param_groups": []}}
    _assert_equal(find_weights(content, NETWORK)[0])
    if container and ema:
        content[ema] = _wrap(OTHER, ema_prefix)
        _assert_equal(find_weights(content, NETWORK)[0], OTHER)
        _assert_equal(find_weights(content, NETWORK, container)[0])


def test_the_choice_of_averaged_weights_is_said(caplog):
    find_weights({"state_dict": NETWORK, "state_dict_ema": OTHER}, NETWORK)
    assert "state_dict_ema', 'state_dict': the averaged ones (EMA) are used; weights_key" in caplog.text


def test_other_modules_next_to_the_network_are_left_out():
    content = {"state_dict": {**_wrap(NETWORK, "backbone."), "projector.weight": torch.ones(2)}}
    _assert_equal(find_weights(content, NETWORK)[0])


def test_two_networks_without_a_preference_are_refused_unless_they_are_equal():
    content = {**_wrap(NETWORK, "student."), **_wrap(OTHER, "teacher.")}
    with pytest.raises(ValueError, match="several networks, under 'student', 'teacher': set weights_key"):
        find_weights(content, NETWORK)
    _assert_equal(find_weights(content, NETWORK, "teacher")[0], OTHER)
    _assert_equal(find_weights({"net": NETWORK, "weights": dict(NETWORK)}, NETWORK)[0])


def test_batch_counters_may_be_missing():
    state = {name: value for name, value in NETWORK.items() if "num_batches" not in name}
    assert len(state) == len(NETWORK) - 1
    _assert_equal(find_weights(state, NETWORK)[0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.ones(1)], "holds no state dict (names to tensors): save"),
        ({"epoch": 3}, "holds no state dict"),
        ({"weight": torch.ones(1)}, "none of its names, such as weight, is one of the network, such as fc.bias:"),
        (
            {k: v for k, v in _wrap(NETWORK, "module.").items() if "fc" not in k},
            "it lacks fc.bias and 1 more names under 'module': correct",
        ),
        ({**NETWORK, "head.weight": torch.ones(1)}, "it has head.weight, which the network lacks"),
        ({**NETWORK, "fc.bias": torch.ones(7)}, "its fc.bias has the shape (7,), and the network needs (3,)"),
        ({str(i): dict.fromkeys(map(str, range(1100)), 0) for i in range(1000)}, "more than 1,000,000 entries"),
    ],
    ids=["list", "no tensors", "other names", "missing", "superfluous", "shape", "too many"],
)
def test_weights_that_do_not_fit_are_refused_with_complete_names(content, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        find_weights(content, NETWORK)


def test_shared_dictionaries_do_not_multiply_without_end():
    content: dict = {"x": 1}
    for _ in range(40):
        content = {"a": content, "b": content}
    with pytest.raises(ValueError, match="no state dict"):
        find_weights(content, NETWORK)


def test_a_wrong_place_is_refused():
    with pytest.raises(ValueError, match="no weights under 'ema': correct weights_key"):
        find_weights({"state_dict": NETWORK}, NETWORK, "ema")


def test_stochastically_averaged_weights_come_first_and_states_of_the_optimizer_are_no_weights():
    averaged = {"n_averaged": torch.tensor(3), **_wrap(OTHER, "module.")}
    _assert_equal(find_weights({"model": NETWORK, "swa_model": averaged}, NETWORK)[0], OTHER)
    _assert_equal(find_weights({"model": NETWORK, "optimizer": {"state": {"ema": OTHER}}}, NETWORK)[0])


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64])
def test_weights_that_are_not_real_numbers_are_refused(dtype):
    with pytest.raises(ValueError, match="save the weights as floats"):
        find_weights({**NETWORK, "fc.weight": NETWORK["fc.weight"].to(dtype)}, NETWORK)
