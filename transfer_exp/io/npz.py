"""Arrays of strangers in npz files: no pickles, no decompression bombs, and no header is believed before its bytes."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.lib import format as npy

from transfer_exp.errors import InputError

Value = TypeVar("Value")
_UNCHECKED, _RATIO = 1 << 26, 100
"""An array that unpacks to more bytes than the first may take at most so many times its bytes in the file."""


def array_names(path: Path) -> list[str]:
    """Return the names of the arrays in an npz file, none of which is read.

    Raises
    ------
    InputError
        When the file is missing or no npz.
    """
    return [name.removesuffix(".npy") for name in _checked(path, "the names", lambda file: file.namelist())]


def read_array(path: Path, name: str) -> np.ndarray:
    """Return one array of an npz file.

    Raises
    ------
    InputError
        When the file is missing or no npz, there is no such array, or it is of objects, damaged, or a decompression
        bomb.
    """
    return _checked(path, name, lambda file: _read(file, f"{name}.npy"))


def _checked(path: Path, name: str, read: Callable[[zipfile.ZipFile], Value]) -> Value:
    """Apply ``read`` to an open file, whatever goes wrong being the file's fault."""
    try:
        with path.open("rb") as file:
            if file.read(6) == npy.MAGIC_PREFIX:
                raise InputError(f"{path} is a single array: save arrays by name with np.savez")
            with zipfile.ZipFile(file) as archive:
                return read(archive)
    except InputError:
        raise
    # An archive fails in every way there is: zlib.error, RuntimeError for a password, MemoryError, tokenize's own, ...
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise InputError(f"cannot read {name} of {path} ({reason}): save plain arrays with np.savez") from error


def _read(archive: zipfile.ZipFile, member: str) -> np.ndarray:
    """Read an array whose header agrees with the bytes that are there."""
    info = archive.getinfo(member)
    if info.file_size > max(_UNCHECKED, _RATIO * info.compress_size):
        raise ValueError(f"{info.compress_size} bytes that unpack to {info.file_size}, a decompression bomb")
    with archive.open(info) as file:
        version = npy.read_magic(file)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = header(file)
        if dtype.hasobject:
            raise ValueError("Object arrays cannot be loaded when allow_pickle=False")
        if dtype.itemsize == 0:
            raise ValueError(f"{dtype} has no bytes")
        needed, there = math.prod(shape) * dtype.itemsize, info.file_size - file.tell()
        if needed != there:
            raise ValueError(f"its header tells of {needed} bytes, and {there} follow")
    with archive.open(info) as file:
        return npy.read_array(file, allow_pickle=False)
