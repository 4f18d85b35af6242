"""A network too large for the machine ends in one line; other errors pass unchanged."""

from __future__ import annotations

import pytest
import torch

from transfer_exp.errors import InputError, explain_out_of_memory


def _cpu_error():
    torch.empty(2**60)


def _cuda_error():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def _python_error():
    raise MemoryError


@pytest.mark.parametrize("allocate", [_cpu_error, _cuda_error, _python_error])
def test_out_of_memory_names_the_model_and_the_setting_to_lower(allocate):
    refusal = pytest.raises(InputError, match=r"vit_huge does not fit into memory: lower features\.batch_size")
    with refusal, explain_out_of_memory("vit_huge", "features.batch_size"):
        allocate()


def test_other_errors_pass_unchanged():
    with pytest.raises(RuntimeError, match="mat1 and mat2"), explain_out_of_memory("vit_huge", "features.batch_size"):
        torch.ones(2, 3) @ torch.ones(2, 3)
