"""Files of weights from strangers: nothing in them runs, and none takes more memory than its size on disk tells."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor


def read_tensors(path: Path, allowed: Sequence[Any] = ()) -> Any:
    """Return what a safetensors file or a torch file of tensors and plain values holds.

    Parameters
    ----------
    path
        Its ending decides how it is read.
    allowed
        Further classes that a torch file may have; they must have no code that loading would run.

    Raises
    ------
    Exception
        Of many types, which are the libraries' own; ValueError for a decompression bomb, and for a tensor that would
        take more memory than the file has bytes.
    """
    if path.suffix == ".safetensors":
        return load_file(path)
    _refuse_compressed(path)
    with torch.serialization.safe_globals(list(allowed)), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of oddities in a file that loads or is refused
        content = torch.load(path, map_location="cpu", weights_only=True)
    size = path.stat().st_size
    for tensor in _tensors(content):
        # A view may repeat one number as often as it likes; whoever copies it would fill the memory.
        if tensor.numel() * tensor.element_size() > size:
            raise ValueError(f"a tensor of shape {tuple(tensor.shape)} in {size} bytes")
    return content


def _refuse_compressed(path: Path) -> None:
    """Refuse an archive with compressed parts: torch writes none, and they may unpack to anything."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for part in archive.infolist():
                if part.compress_type != zipfile.ZIP_STORED:
                    raise ValueError(f"{part.filename} in it is compressed, as torch leaves no part")


def _tensors(content: object) -> Iterator[Tensor]:
    """Yield every tensor at any depth."""
    if isinstance(content, Tensor):
        yield content
    elif isinstance(content, Mapping):
        for value in content.values():
            yield from _tensors(value)
    elif isinstance(content, list | tuple):
        for value in content:
            yield from _tensors(value)
