"""A network built from a stranger's arguments, stopped before it outgrows the memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

_SLACK = 1 << 26
"""Numbers that a network may hold besides its weights: masks, tables of positions."""


class SizeBound(TorchDispatchMode):
    """While it is entered, tensors that together hold too many numbers are refused before they take memory.

    A manifest can ask for a layer of any width and for any number of layers. What it gets must be filled from its
    file, so that the file's size says how much there can be of it.

    Parameters
    ----------
    file_bytes
        Size of the file with the weights, which are taken to need a byte each at least.
    """

    def __init__(self, file_bytes: int) -> None:
        super().__init__()
        self.left = file_bytes + _SLACK

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Count the numbers of a tensor that is made by its shape; see `TorchDispatchMode`.

        Raises
        ------
        ValueError
            When there are too many.
        """
        shape = args[0] if args and isinstance(args[0], list | tuple) else ()
        if shape and all(isinstance(side, int) for side in shape):
            self.left -= math.prod(shape)
            if self.left < 0:
                raise ValueError("it would hold far more numbers than its file")
        return func(*args, **(kwargs or {}))
