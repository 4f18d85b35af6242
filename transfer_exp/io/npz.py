"""Reader of untrusted npz files: no pickles, no decompression bombs, and headers are checked before their data."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.lib import format as npy

from transfer_exp.errors import InputError
from transfer_exp.io.text import expand_user, open_regular

Value = TypeVar("Value")
_ALWAYS_ALLOWED, _MAX_RATIO = 1 << 26, 100
"""Bytes that an array may always unpack to, and how many times its compressed size a larger array may unpack to."""


def list_files(root: str) -> list[Path]:
    """Return the npz files in a folder, sorted, or the file itself; InputError if there are none."""
    path = expand_user(root)
    try:
        files = sorted(file for file in path.iterdir() if file.suffix == ".npz") if path.is_dir() else [path]
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror}): check its permissions") from error
    if not files or not (path.is_dir() or path.is_file()):
        raise InputError(f"dataset.root={root} is neither an npz file nor a folder of them (one per model)")
    return files


def list_arrays(path: Path) -> list[str]:
    """Return the names of the arrays in an npz file without reading them.

    Raises:
        InputError: If the file is missing or is not an npz file.
    """
    return [name.removesuffix(".npy") for name in _apply(zipfile.ZipFile.namelist, path, "the names")]


def read_array(path: Path, name: str) -> np.ndarray:
    """Return one array of an npz file.

    Raises:
        InputError: If the file is missing or is not an npz file, or the array is missing, damaged, of Python objects,
            or a decompression bomb.
    """
    return _apply(lambda archive: _read(archive, f"{name}.npy"), path, name)


def read_shape(path: Path, name: str) -> tuple[int, ...]:
    """Return the shape of one array of an npz file from its header; errors as in `read_array`."""
    return _apply(lambda archive: _read_header(archive, f"{name}.npy"), path, name)


def _apply(read: Callable[[zipfile.ZipFile], Value], path: Path, content: str) -> Value:
    """Apply ``read`` to the open archive; every failure becomes an InputError about the content."""
    try:
        with open_regular(path) as file:
            if file.read(6) == npy.MAGIC_PREFIX:
                raise InputError(f"{path} is a single array: save arrays by name with np.savez")
            with zipfile.ZipFile(file) as archive:
                return read(archive)
    except InputError:
        raise
    except PermissionError as error:
        raise InputError(f"cannot read {path} ({error.strerror}): check its permissions") from error
    # Archives fail with zlib.error, RuntimeError (for a password), MemoryError, errors of tokenize, and more.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise InputError(f"cannot read {content} of {path} ({reason}): save plain arrays with np.savez") from error


def _read(archive: zipfile.ZipFile, member: str) -> np.ndarray:
    """Read an array after checking its header."""
    _read_header(archive, member)
    with archive.open(member) as file:
        return npy.read_array(file, allow_pickle=False)


def _read_header(archive: zipfile.ZipFile, member: str) -> tuple[int, ...]:
    """Return the shape of an array after checking that its header fits its size in the archive."""
    info = archive.getinfo(member)
    if info.file_size > max(_ALWAYS_ALLOWED, _MAX_RATIO * info.compress_size):
        raise ValueError(f"{info.compress_size} bytes that unpack to {info.file_size}, a decompression bomb")
    with archive.open(info) as file:
        version = npy.read_magic(file)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read_header(file)
        if dtype.hasobject:
            raise ValueError(
                "it holds Python objects, which could run code: convert it with .astype(str) or .astype(float)"
            )
        if dtype.itemsize == 0:
            raise ValueError(f"{dtype} has no bytes")
        announced, actual = math.prod(shape) * dtype.itemsize, info.file_size - file.tell()
        if announced != actual:
            raise ValueError(f"its header announces {announced} bytes, but {actual} follow")
    return tuple(shape)
