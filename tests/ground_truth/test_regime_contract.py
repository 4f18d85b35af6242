"""Contract of the regimes that train by a protocol: exact resumption, the frozen part, and the count of parameters."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from conftest import wrong_types
from torch_helpers import fake_pairing

from transfer_exp.errors import InputError
from transfer_exp.evaluation.ranking import Ranking
from transfer_exp.features.extraction import Extractor
from transfer_exp.features.model_on_target import ModelArrays
from transfer_exp.ground_truth.bitfit import BitFit
from transfer_exp.ground_truth.full import FullFineTuning, LinearProbeThenFull
from transfer_exp.ground_truth.last_block import LastBlockFineTuning
from transfer_exp.ground_truth.linear_probe import LinearProbe
from transfer_exp.ground_truth.lora import LoraFineTuning
from transfer_exp.ground_truth.partial import PartialFineTuning
from transfer_exp.ground_truth.protocol import Protocol
from transfer_exp.ground_truth.regime import PredictsSeconds, Validates
from transfer_exp.ground_truth.training import Checkpoint, Training
from transfer_exp.model_pool.builtin import builtin
from transfer_exp.progress import silent
from transfer_exp.store import Store, open_backend

pytestmark = pytest.mark.slow

GRID = Protocol(steps=4, batch_size=6, learning_rates=(1e-3, 4e-3), weight_decays=(0.01,), augmentation="crop_flip")
REGIMES = {
    "full": FullFineTuning(GRID),
    "last_block": LastBlockFineTuning(GRID),
    "partial": PartialFineTuning(GRID),
    "bitfit": BitFit(GRID),
    "lora": LoraFineTuning(GRID, rank=2, dropout=0.5),
    "linear_probe_then_full": LinearProbeThenFull(GRID),
}
all_regimes = pytest.mark.parametrize("name", REGIMES)


@pytest.fixture(scope="module")
def model():
    """Return the built-in transformer with its last two blocks."""
    model = builtin(("vit_shapes",)).candidates[0].load()
    model.backbone.network.blocks = model.backbone.network.blocks[-2:]
    return model


@pytest.fixture
def pairing(dataset, model, tmp_path):
    """Return a function from a folder for checkpoints, or None, to the model on the dataset."""
    extractor = Extractor(Store(tmp_path / "store"), "cpu", 8, 0, silent)

    def make(folder=None):
        splits = {"images": lambda split: getattr(dataset, split)}
        splits["features"] = lambda split: (i := getattr(dataset, split)) and extractor("net", model, i)[0]
        return fake_pairing("net", dataset, model, folder and open_backend(folder), **splits)

    return make


@pytest.fixture
def networks(monkeypatch):
    """Return a list that will contain the network of every training."""
    networks, run = [], Training.run

    def recorded_run(training, *rest):
        networks.append(training.network)
        run(training, *rest)

    monkeypatch.setattr(Training, "run", recorded_run)
    return networks


class Killed(BaseException):
    """Stands for a killed process; no code catches it."""


@all_regimes
def test_a_killed_run_resumes_to_the_same_bits(name, pairing, tmp_path, monkeypatch):
    regime, train_step, remaining = REGIMES[name], Training._train_step, [float("inf")]

    def counted_step(training, *batch):
        remaining[0] -= 1
        if remaining[0] < 0:
            raise Killed
        train_step(training, *batch)

    # The first logit of the test set shows even the smallest difference.
    measure = "transfer_exp.ground_truth.training_run.compute_measure"
    monkeypatch.setattr(measure, lambda measure, scores, *labels: float(scores[0, 0]))
    monkeypatch.setattr(Checkpoint, "is_due", property(lambda self: self.folder is not None))
    monkeypatch.setattr(Training, "_train_step", counted_step)
    uninterrupted = regime(pairing(), silent)
    for steps in (1, 4, 5):
        remaining[0] = steps
        with pytest.raises(Killed):
            regime(pairing(tmp_path / "unfinished"), silent)
    remaining[0] = float("inf")
    assert regime(pairing(tmp_path / "unfinished"), silent) == uninterrupted


@all_regimes
def test_only_the_trained_parameters_change_and_their_number_is_reported(name, pairing, model, networks):
    once = replace(GRID, learning_rates=(1e-2,), steps=2)
    accuracy = replace(REGIMES[name], protocol=once)(pairing(), silent)
    with_gradient = [n for n, p in networks[0].named_parameters() if p.grad is not None]
    assert sum(networks[0].get_parameter(n).numel() for n in with_gradient) == accuracy.trainable_parameters
    pretrained, compared = model.backbone.state_dict(), 0
    for key, value in networks[0][0].state_dict().items():
        original = pretrained.get(key.removeprefix("network.").replace(".base_layer.", "."))
        original = pretrained.get(key.replace(".base_layer.", "."), original)
        if original is not None and f"0.{key}" not in with_gradient:
            assert torch.equal(value, original)
            compared += 1
    is_whole = name in ("full", "linear_probe_then_full")
    assert compared <= 2 if is_whole else compared > len(pretrained) / 3, "whole: only the unused classifier is left"


def test_regimes_with_few_parameters_multiply_the_learning_rates():
    factors = {name: regime.grid()[0].learning_rate / GRID.learning_rates[0] for name, regime in REGIMES.items()}
    assert factors == {name: pytest.approx(10 if name in ("lora", "bitfit") else 1) for name in REGIMES}


@pytest.mark.parametrize("factor", [0.0, -1.0, float("inf"), float("nan")])
def test_a_factor_that_is_not_positive_is_refused(factor):
    with pytest.raises(InputError, match=r"ground_truth\.learning_rate_factor=.*: need a positive number"):
        BitFit(GRID, learning_rate_factor=factor)


@pytest.mark.parametrize(
    ("rates", "name"),
    [*(((1e-3, 4e-3), name) for name in REGIMES), *(((1e-3,), name) for name in ("full", "last_block"))],
)
def test_the_predicted_time_is_that_of_all_steps_and_the_prediction_changes_nothing(name, rates, pairing, monkeypatch):
    now, train_step = [0.0], Training._train_step

    def timed_step(training, *batch):
        now[0] += 1.0
        train_step(training, *batch)

    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    monkeypatch.setattr(Training, "_train_step", timed_step)
    regime, subject = replace(REGIMES[name], protocol=replace(GRID, learning_rates=rates)), pairing()
    predicted = regime.predict_seconds(subject)
    assert now[0] == 4.0, "few steps predict the time of all"
    now[0] = 0.0
    accuracy = regime(subject, silent)
    assert isinstance(regime, PredictsSeconds)
    if len(rates) == 1:
        assert "validation" not in accuracy.chosen
        regime.validate(subject, silent)
    assert predicted == pytest.approx(now[0])
    assert regime(pairing(), silent) == accuracy


@all_regimes
def test_validation_is_that_of_the_chosen_point_of_the_grid(name, pairing):
    regime = REGIMES[name]
    assert isinstance(regime, Validates)
    assert regime.validate(pairing(), silent) == regime(pairing(), silent).chosen["validation"]


def test_every_regime_has_a_cache_key_and_row_of_its_own():
    assert len({repr(regime) for regime in REGIMES.values()}) == len(REGIMES)
    assert all(regime.option == name for name, regime in REGIMES.items())


@all_regimes
def test_a_regime_refuses_features_without_a_network(name):
    with pytest.raises(InputError, match=f"ground_truth={name} needs networks and images"):
        REGIMES[name](object.__new__(ModelArrays), silent)


def test_a_linear_probe_before_full_fine_tuning_is_the_head_of_the_protocol(pairing):
    with_head = replace(GRID, head="linear_probe")
    assert LinearProbeThenFull(GRID)(pairing(), silent) == FullFineTuning(with_head)(pairing(), silent)


@pytest.mark.parametrize(
    ("group", "options", "name"),
    [
        pytest.param(group, options, field.name, id=f"{type(options).__name__}.{field.name}")
        for group, options in [
            *(("ground_truth", regime) for regime in (*REGIMES.values(), LinearProbe())),
            ("protocol", GRID),
            ("evaluation", Ranking()),
        ]
        for field in fields(options)
        if isinstance(getattr(options, field.name), int | float | tuple)
    ],
)
def test_numbers_and_lists_of_wrong_types_are_refused_by_name(untyped, group, options, name):
    for value in wrong_types(options, name):
        with pytest.raises(InputError, match=rf"^{group}\.{name}=.*: need "):
            replace(options, **{name: value})
