"""A network that fails, for lack of memory or otherwise, is a model left out; errors of others pass unchanged."""

from __future__ import annotations

import pytest
import torch

from transfer_exp.errors import InputError, ModelFailureError, explain_model_failure


def _cpu_error():
    torch.empty(2**60)


def _cuda_error():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def _python_error():
    raise MemoryError


def _torchscript_error():
    raise RuntimeError("The following operation failed in the TorchScript interpreter.\nTraceback:\ntoo small a map\n")


def _key_error():
    _ = {}["stem"]


def _shape_error():
    torch.ones(2, 3) @ torch.ones(2, 3)


def _assertion():
    raise AssertionError


@pytest.mark.parametrize("allocate", [_cpu_error, _cuda_error, _python_error])
def test_out_of_memory_names_the_setting_to_lower(allocate):
    refusal = pytest.raises(ModelFailureError, match=r"^it does not fit into memory: lower features\.batch_size$")
    with refusal, explain_model_failure("its network cannot take the images", "features.batch_size"):
        allocate()


@pytest.mark.parametrize(
    ("fail", "cause"),
    [
        (_shape_error, "mat1 and mat2"),
        (_torchscript_error, "too small a map"),
        (_key_error, "KeyError: 'stem'"),
        (_assertion, "AssertionError"),
    ],
)
def test_other_errors_of_a_network_become_one_line(fail, cause):
    refusal = pytest.raises(ModelFailureError, match=rf"^its network cannot take the images \({cause}")
    with refusal as caught, explain_model_failure("its network cannot take the images", "features.batch_size"):
        fail()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [InputError("no such image"), OSError("no space left"), KeyboardInterrupt()])
def test_errors_that_are_not_of_the_network_pass_unchanged(error):
    with pytest.raises(type(error)) as caught, explain_model_failure("it cannot be trained", "protocol.batch_size"):
        raise error
    assert caught.value is error
