"""Entries of a store: files that hold their key and digests, folders of unfinished work, and a listing of all.

Arrays are in safetensors files, records in JSON files. The key is the plain data that decides a value. Its digest is
the name of the file, and the file repeats the key. The digest of the content detects damage: a reader gets what was
written, or an error.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from transfer_exp.errors import InputError
from transfer_exp.io.atomic import digest
from transfer_exp.io.text import open_regular
from transfer_exp.store.backend import open_backend
from transfer_exp.store.lock import is_dead

Arrays = dict[str, np.ndarray]
Key = Mapping[str, Any]
READ_ERRORS = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""Errors of reading a missing or damaged file; a file with the wrong structure can raise any of these."""
SCORES, INSPECTION, UNFINISHED, LEFTOVER = "scores", "inspection", "unfinished", "leftover"
KINDS = ("features", "cost", SCORES, "accuracy", "validation", INSPECTION, UNFINISHED, LEFTOVER)
"""Kinds of entries.

The kind ``unfinished`` is a folder with the work of a training in progress. A leftover is a temporary file, of a killed
process unless it is in use, or a lock of an older version.
"""
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
_DIGEST = r"[0-9a-f]{64}"
_PREFIX = re.compile(r"[0-9a-f]{2}")
_ENTRY = re.compile(rf"{_DIGEST}\.(?:safetensors|json|d)")
_LEFTOVER = re.compile(rf"\.{_DIGEST}\.\w+\.[0-9a-f]{{32}}|{_DIGEST}\.lease")
_LONGEST_SILENCE = 3600.0
"""Seconds since the last renewal after which a lock counts as abandoned."""


def save_arrays(path: Path, key: Key, arrays: Arrays) -> None:
    """Write arrays of floating-point numbers to a safetensors file; OSError if the disk refuses."""
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    digests = {name: _array_digest(array) for name, array in arrays.items()}
    metadata = {"key": json.dumps(key, sort_keys=True), "sha256": json.dumps(digests, sort_keys=True)}
    try:
        save_file(arrays, path, metadata=metadata)
    except SafetensorError as error:
        raise OSError(str(error)) from error


def load_arrays(path: Path, key: Key) -> Arrays:
    """Return the arrays of a safetensors file; one of `READ_ERRORS` if it is missing, damaged or of another key."""
    with _open_safetensors(path) as file:
        digests = _stored_digests(file, key)
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (the file is not a mapping)
    if {name: _array_digest(array) for name, array in arrays.items()} != digests:
        raise ValueError("the arrays do not match their digests")
    return arrays


def iter_array_batches(path: Path, key: Key, name: str, rows: int) -> Iterator[np.ndarray]:
    """Yield an array of a safetensors file in batches of up to ``rows`` rows; memory does not grow with the file.

    The digest is checked after the last batch: discard all batches if the iteration ends in one of `READ_ERRORS`.
    """
    with _open_safetensors(path) as opened:  # This also checks the header and the length of the file.
        digests = _stored_digests(opened, key)
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))[name]
        (samples, *shape), dtype = header["shape"], np.dtype(_DTYPES[header["dtype"]])
        array_digest = _start_digest(dtype, (samples, *shape))
        file.seek(header["data_offsets"][0], os.SEEK_CUR)
        for start in range(0, samples, rows):
            count = min(rows, samples - start)
            batch = np.fromfile(file, dtype, count * int(np.prod(shape))).reshape(count, *shape)
            array_digest.update(batch.data)
            yield batch
    if array_digest.hexdigest() != digests[name]:
        raise ValueError(f"the array {name} does not match its digest")


def save_record(path: Path, key: Key, value: Mapping[str, Any]) -> None:
    """Write a record: a JSON file with an object of finite numbers, text, lists and objects."""
    content = {"key": key, "sha256": digest(value), "value": value}
    path.write_text(json.dumps(content, sort_keys=True, indent=1, allow_nan=False))


def load_record(path: Path, key: Key) -> dict[str, Any]:
    """Return the JSON object of a record; one of `READ_ERRORS` if it is missing, damaged or of another key."""
    content = json.loads(path.read_text())
    if digest(content["key"]) != digest(key) or digest(content["value"]) != content["sha256"]:
        raise ValueError("the record does not match its key and digest")
    return dict(content["value"])


LOADERS = {".safetensors": load_arrays, ".json": load_record}
SAVERS = {".safetensors": save_arrays, ".json": save_record}
"""Functions that read and write a file, by its suffix."""


@dataclass(frozen=True)
class Entry:
    """One file of a store in a local folder, or one folder of unfinished work.

    Attributes:
        path: The file or folder.
        kind: One of `KINDS`.
        size: Bytes of the file, or of all files in the folder.
        modified: Time of the last change, in seconds since 1970.
    """

    path: Path
    kind: str
    size: int
    modified: float

    @cached_property
    def content(self) -> Mapping[str, Any]:
        """The ``key`` of a file and, for records, all its fields, unchecked; empty if it cannot be parsed."""
        with suppress(*READ_ERRORS):
            if self.path.suffix in (".safetensors", ".json"):
                open_regular(self.path).close()
            if self.path.suffix == ".safetensors":
                with _open_safetensors(self.path) as file:
                    return {"key": json.loads(file.metadata()["key"])}
            if self.path.suffix == ".json":
                return dict(json.loads(self.path.read_text()))
        return {}

    def is_damaged(self) -> bool:
        """Return whether a `Store` would refuse the file, reading all of it; False for a folder, True for a leftover.

        Raises `InputError` if the file may not be read.
        """
        if self.path.suffix == ".d":
            return False
        try:
            open_regular(self.path).close()
            LOADERS[self.path.suffix](self.path, self.content["key"])
        except PermissionError as error:
            raise InputError(f"cannot read {self.path} ({error.strerror}): check its permissions") from error
        except READ_ERRORS:
            return True
        return digest(self.content["key"]) != self.path.stem

    def is_in_use(self) -> bool:
        """Return whether a process seems to work on the entry."""
        # Each point of a grid is trained under a lock in the folder of unfinished work.
        return any(_is_held(lock) for lock in (self._lock, *self.path.glob("*.lock")))

    def remove(self) -> bool:
        """Remove the entry unless it is in use, and return whether it was removed; OSError if the disk refuses."""
        if self.is_in_use():
            return False
        self._lock.unlink(missing_ok=True)  # no living process holds it
        if self.path.is_dir():
            shutil.rmtree(self.path)
        else:
            self.path.unlink(missing_ok=True)
        return True

    @property
    def _lock(self) -> Path:
        name, folder = re.search(_DIGEST, self.path.name), self.path.parent
        assert name is not None
        if self.kind == UNFINISHED:  # Training is locked under the accuracy that it leads to.
            folder = folder.parents[1] / "accuracy" / folder.name
        return folder / f"{name[0]}.lock"


def list_entries(root: Path) -> Iterator[Entry]:
    """Yield the entries of a store folder by folder, sorted by name; other files are ignored.

    Raises:
        InputError: If the store does not exist, or one of its folders cannot be read.
    """
    if not root.is_dir():
        raise InputError(f"no store {root}: run an experiment first, or set --store to the folder of one")
    try:  # `Path.glob` passes over what it cannot read
        kinds = [kind for kind in sorted(root.iterdir()) if kind.is_dir()]
        folders = [f for kind in kinds for f in sorted(kind.iterdir()) if _PREFIX.fullmatch(f.name) and f.is_dir()]
        paths = [path for folder in folders for path in sorted(folder.iterdir())]
    except PermissionError as error:
        raise InputError(f"cannot read {error.filename} ({error.strerror}): check its permissions") from error
    for path in paths:
        kind = path.parents[1].name if _ENTRY.fullmatch(path.name) else LEFTOVER
        if kind != LEFTOVER or _LEFTOVER.fullmatch(path.name):
            with suppress(FileNotFoundError):  # Another process has removed it.
                stats = [file.lstat() for file in (path, *path.rglob("*"))]
                size = sum(file.st_size for file in stats if not stat.S_ISDIR(file.st_mode))
                yield Entry(path, kind, size, max(file.st_mtime for file in stats))


def _open_safetensors(path: Path) -> Any:
    try:
        return safe_open(path, framework="numpy")
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _stored_digests(file: Any, key: Key) -> dict[str, str]:
    """Return the digests in the header of an open file, which must belong to the key."""
    metadata = file.metadata() or {}
    if metadata.get("key") != json.dumps(key, sort_keys=True):
        raise ValueError("the file belongs to another key")
    return dict(json.loads(metadata.get("sha256", "{}")))


def _array_digest(array: np.ndarray) -> str:
    array_digest = _start_digest(array.dtype, array.shape)
    array_digest.update(array.data)
    return array_digest.hexdigest()


def _start_digest(dtype: np.dtype[Any], shape: tuple[int, ...]) -> hashlib._Hash:
    """Return a digest of the dtype and shape of an array, to be updated with its bytes."""
    return hashlib.sha256(f"{dtype.str} {shape}".encode())


def _is_held(lock: Path) -> bool:
    """Return whether a lock seems to have a living holder, as its text and the time of its last renewal say."""
    text = open_backend(lock.parent).read(lock.name)
    with suppress(FileNotFoundError):
        return text is not None and not is_dead(text) and time.time() - lock.stat().st_mtime < _LONGEST_SILENCE
    return False
