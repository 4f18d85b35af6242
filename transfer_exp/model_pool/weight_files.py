"""Safe reading of weight files from unknown sources: no code runs, and memory stays within the size of the file."""

from __future__ import annotations

import math
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_EXTRA_NUMBERS = 1 << 26
"""Numbers that a network may hold besides its weights, such as masks and position tables."""


def read_weight_file(path: Path, allowed_classes: Sequence[Any] = ()) -> Any:
    """Return the content of a safetensors file, or of a torch file of tensors and plain values.

    Args:
        path: The file; its suffix decides the format.
        allowed_classes: Further classes that a torch file may contain; loading them must not run any code.

    Raises:
        ValueError: If a torch file is compressed, or a tensor would take more memory than the file has bytes.
        Exception: Many other types from the libraries, if the file is damaged or contains code.
    """
    if path.suffix == ".safetensors":
        return load_file(path)
    _refuse_compressed(path)
    with torch.serialization.safe_globals(list(allowed_classes)), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the file either loads or is refused
        content = torch.load(path, map_location="cpu", weights_only=True)
    size = path.stat().st_size
    for tensor in _iterate_tensors(content):
        # A view may repeat one number any number of times; copying it would fill the memory.
        if tensor.numel() * tensor.element_size() > size:
            raise ValueError(f"a tensor of shape {tuple(tensor.shape)} in {size} bytes")
    return content


def _refuse_compressed(path: Path) -> None:
    """Refuse an archive with compressed members: torch writes none, and they may unpack to any size."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.compress_type != zipfile.ZIP_STORED:
                    raise ValueError(f"{member.filename} in it is compressed, which torch never does")


def _iterate_tensors(content: object) -> Iterator[Tensor]:
    """Yield every tensor at any depth."""
    if isinstance(content, Tensor):
        yield content
    elif isinstance(content, Mapping | list | tuple):
        for value in content.values() if isinstance(content, Mapping) else content:
            yield from _iterate_tensors(value)


class SizeLimit(TorchDispatchMode):
    """Context in which tensors that together hold too many numbers are refused before memory is allocated.

    A manifest can request layers of any number and width. Each number of the network needs at least one byte of its
    weight file, so the size of the file, ``file_bytes``, limits the size of the network.
    """

    def __init__(self, file_bytes: int) -> None:
        super().__init__()
        self.remaining = file_bytes + _EXTRA_NUMBERS

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Count the numbers of each tensor created from a shape; raises ValueError when there are too many."""
        shape = args[0] if args and isinstance(args[0], list | tuple) else ()
        if shape and all(isinstance(side, int) for side in shape):
            self.remaining -= math.prod(shape)
            if self.remaining < 0:
                raise ValueError("it would hold far more numbers than its file")
        return func(*args, **(kwargs or {}))
