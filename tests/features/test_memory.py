"""A network too large for the machine ends in one line; whatever else goes wrong is left alone."""

from __future__ import annotations

import pytest
import torch

from transfer_exp.errors import InputError
from transfer_exp.features.out_of_memory import within_memory


def _more_than_there_is():
    torch.empty(2**60)


def _as_cuda_says():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def _as_python_says():
    raise MemoryError


@pytest.mark.parametrize("work", [_more_than_there_is, _as_cuda_says, _as_python_says])
def test_a_want_of_memory_names_the_model_and_what_to_lower(work):
    refusal = pytest.raises(InputError, match=r"vit_huge does not fit into memory: lower features\.batch_size")
    with refusal, within_memory("vit_huge", "features.batch_size"):
        work()


def test_other_errors_are_not_taken_for_it():
    with pytest.raises(RuntimeError, match="mat1 and mat2"), within_memory("vit_huge", "features.batch_size"):
        torch.ones(2, 3) @ torch.ones(2, 3)
