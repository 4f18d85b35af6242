"""Arrays in a safetensors file, each with its digest: what is read is what was written, or is refused."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

Arrays = dict[str, np.ndarray]
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


def save_arrays(path: Path, key: Mapping[str, Any], arrays: Arrays) -> None:
    """Write arrays, with their key and digests beside them.

    Raises
    ------
    OSError
        When the disk refuses.
    """
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    digests = {name: _begun(array.dtype, array.shape, array.data).hexdigest() for name, array in whole.items()}
    told = {"key": json.dumps(key, sort_keys=True), "sha256": json.dumps(digests, sort_keys=True)}
    try:
        save_file(whole, path, metadata=told)
    except SafetensorError as error:  # the library's own word for what the disk says
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def load_arrays(path: Path, key: Mapping[str, Any]) -> Arrays:
    """Return the arrays of a file.

    Raises
    ------
    FileNotFoundError
        When there is none.
    ValueError
        When the file is of another key, or is not as it was written.
    """
    with _opened(path) as file:
        digests = _digests(file.metadata() or {}, key)
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    found = {name: _begun(array.dtype, array.shape, array.data).hexdigest() for name, array in arrays.items()}
    if found != digests:
        raise ValueError("its arrays are not those that were written")
    return arrays


def array_batches(path: Path, key: Mapping[str, Any], name: str, rows: int) -> Iterator[np.ndarray]:
    """Yield one array of a file in batches of up to ``rows`` rows, whatever its size never all at once.

    Whether they are what was written is known after the last: use nothing before.

    Raises
    ------
    FileNotFoundError, ValueError
        As `load_arrays`.
    KeyError
        When the file has no such array.
    """
    with _opened(path) as whole:  # which also sees to it that header and length are in order
        told = _digests(whole.metadata() or {}, key)
    with path.open("rb") as file:
        entry = json.loads(file.read(int.from_bytes(file.read(8), "little")))[name]
        (samples, *shape), dtype = entry["shape"], np.dtype(_DTYPES[entry["dtype"]])
        total = _begun(dtype, (samples, *shape))
        file.seek(entry["data_offsets"][0], os.SEEK_CUR)
        for start in range(0, samples, rows):
            count = min(rows, samples - start)
            batch = np.fromfile(file, dtype, count * int(np.prod(shape))).reshape(count, *shape)
            total.update(batch.data)
            yield batch
    if total.hexdigest() != told[name]:
        raise ValueError(f"{name} is not what was written")


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="numpy")
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _digests(told: Mapping[str, str], key: Mapping[str, Any]) -> dict[str, str]:
    """Return the digests that a file has of its arrays, when it is the file of the key."""
    if told.get("key") != json.dumps(key, sort_keys=True):
        raise ValueError("its key is not the one it is kept under")
    digests: dict[str, str] = json.loads(told.get("sha256", "{}"))
    return digests


def _begun(dtype: np.dtype[Any], shape: tuple[int, ...], content: Any = b"") -> hashlib._Hash:
    """Return a digest that has seen the kind of an array, and its content."""
    total = hashlib.sha256(f"{dtype.str} {shape}".encode())
    total.update(content)
    return total
