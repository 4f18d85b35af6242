"""What is said of a network that is too large for the machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from transfer_exp.errors import InputError

_OF_THE_CPU = "can't allocate memory"


@contextmanager
def within_memory(name: str, setting: str) -> Iterator[None]:
    """Turn a want of memory into one line.

    Parameters
    ----------
    name
        Of the model.
    setting
        What to lower, by its key.

    Raises
    ------
    InputError
        When what is done in this context finds no memory, of the CPU or of an accelerator.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # On the CPU torch has no class for it.
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and _OF_THE_CPU not in str(error):
            raise
        raise InputError(f"{name} does not fit into memory: lower {setting}, or leave it out by models=[..]") from error
