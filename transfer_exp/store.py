"""A content-addressed folder: what was computed once, under the key of everything that decides its value."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import numpy as np
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from transfer_exp.types import InputError

_log = logging.getLogger(__name__)

Arrays = dict[str, np.ndarray]
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
Value = TypeVar("Value")


def digest(key: Mapping[str, Any]) -> str:
    """Return the sha256 of a key, written as canonical JSON (sorted keys, no spaces, no NaN).

    Raises
    ------
    TypeError
        When a value is not plain data.
    """
    canonical = json.dumps(key, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then move it there in one step.

    A reader sees the old file or the new one, never a part. Missing folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not `tempfile`, whose files only their owner may read.
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class Store:
    """A folder of arrays (safetensors) and records (JSON), one file per key.

    Of several processes that ask for one missing key, one computes and the others wait.
    """

    root: Path

    def arrays(self, kind: str, key: Mapping[str, Any], compute: Callable[[], Arrays]) -> tuple[Arrays, bool]:
        """Return the arrays under ``key``, computing and keeping them when absent or unreadable.

        Returns
        -------
        arrays
            By name.
        found
            True when they were read, False when they were computed.
        """

        def save(path: Path, arrays: Arrays) -> None:
            whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
            save_file(whole, path, metadata={"key": json.dumps(key, sort_keys=True)})

        return self._fetch(self._path(kind, key, "safetensors"), load_file, save, compute)

    def batches(self, kind: str, key: Mapping[str, Any], name: str, rows: int) -> Iterator[np.ndarray]:
        """Yield one array under ``key`` in batches of up to ``rows`` rows, whatever its size never all at once.

        Raises
        ------
        OSError, KeyError, ValueError
            When there is no such file, no such array in it, or the file is damaged.
        """
        with self._path(kind, key, "safetensors").open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            whole = max(entry["data_offsets"][1] for entry in header.values() if "data_offsets" in entry)
            if os.fstat(file.fileno()).st_size != file.tell() + whole:
                raise ValueError(f"{file.name} is not as long as it says")
            entry = header[name]
            (samples, *shape), dtype = entry["shape"], np.dtype(_DTYPES[entry["dtype"]])
            file.seek(entry["data_offsets"][0], os.SEEK_CUR)
            for start in range(0, samples, rows):
                count = min(rows, samples - start)
                batch = np.fromfile(file, dtype, count * int(np.prod(shape)))
                yield batch.reshape(count, *shape)

    def record(
        self, kind: str, key: Mapping[str, Any], compute: Callable[[], dict[str, Any]]
    ) -> tuple[dict[str, Any], bool]:
        """Return the JSON object under ``key``, as `arrays` does for arrays; the file holds the key as well."""

        def load(path: Path) -> dict[str, Any]:
            value: dict[str, Any] = json.loads(path.read_text())["value"]
            return value

        def save(path: Path, value: dict[str, Any]) -> None:
            path.write_text(json.dumps({"key": key, "value": value}, sort_keys=True, indent=1, allow_nan=False))

        return self._fetch(self._path(kind, key, "json"), load, save, compute)

    def folder(self, kind: str, key: Mapping[str, Any]) -> Path:
        """Return a folder of its own for ``key``, for work that is not finished; it may not exist yet."""
        return self._path(kind, key, "d")

    def _path(self, kind: str, key: Mapping[str, Any], suffix: str) -> Path:
        name = digest(key)
        return self.root / kind / name[:2] / f"{name}.{suffix}"

    def _fetch(
        self,
        path: Path,
        load: Callable[[Path], Value],
        save: Callable[[Path, Value], None],
        compute: Callable[[], Value],
    ) -> tuple[Value, bool]:
        self._make(path.parent)
        with FileLock(path.with_suffix(".lock")):
            if path.exists():
                try:
                    return load(path), True
                except (SafetensorError, ValueError, KeyError) as error:
                    _log.warning("%s is damaged (%s): computing it again", path, error)
            value = compute()
            write_atomically(path, lambda temporary: save(temporary, value))
            return value, False

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write to the store {self.root} ({error.strerror}): set store=FOLDER") from error
