"""Content-addressed cache of arrays and records, each computed by one process and read by all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np

from transfer_exp.errors import InputError
from transfer_exp.io.atomic import digest
from transfer_exp.store.backend import Backend, open_backend
from transfer_exp.store.entries import LOAD, SAVE, UNFINISHED, UNREADABLE, Arrays, Key, iter_array_batches
from transfer_exp.store.lock import Lock

_log = logging.getLogger(__name__)
_ARRAYS, _RECORD = "safetensors", "json"
_SUFFIXES = tuple(f".{suffix}" for suffix in LOAD)
Value = TypeVar("Value")


@dataclass(frozen=True)
class Store:
    """Arrays (safetensors) and records (JSON objects), one file per key, each with a digest of its content.

    When several processes or machines need one missing value, one of them computes it under a lock and the others
    wait. Cached values are read without a lock, so a store may be read-only. The methods raise InputError if the store
    cannot be used or written. Their ``kind`` is a folder of the store, such as ``features``, and their ``key`` is the
    plain data that decides the value.

    Attributes:
        root: Folder, or URL of an object store that fsspec understands: ``s3://bucket/folder``, ``memory://name``.
        lock_timeout: Seconds without renewal of a lock after which its holder counts as dead, see `Lock`.
    """

    root: str | Path
    lock_timeout: float = 60.0

    @cached_property
    def backend(self) -> Backend:
        """The folder or object store."""
        return open_backend(self.root)

    def check(self) -> None:
        """Raise `InputError` if the store can be neither read nor created, before anything is computed for it."""
        self.backend.check()

    def get_or_compute_arrays(self, kind: str, key: Key, compute: Callable[[], Arrays]) -> tuple[Arrays, bool]:
        """Return the arrays of a key by name, and whether they were cached; otherwise compute and save them.

        Damaged files are computed again. Errors of ``compute`` pass unchanged.
        """
        return self._get_or_compute(_file_name(kind, key, _ARRAYS), key, compute)

    def save_arrays(self, kind: str, key: Key, arrays: Arrays) -> None:
        """Save the arrays of a key that this process has computed, without a lock: another one writes the same."""
        self._save(_file_name(kind, key, _ARRAYS), key, arrays)

    def get_or_compute_record(
        self, kind: str, key: Key, compute: Callable[[], dict[str, Any]]
    ) -> tuple[dict[str, Any], bool]:
        """Return the JSON object of a key, as `get_or_compute_arrays` does for arrays."""
        return self._get_or_compute(_file_name(kind, key, _RECORD), key, compute)

    def iter_batches(self, kind: str, key: Key, name: str, rows: int) -> Iterator[np.ndarray]:
        """Yield one array of a key in batches, see `iter_array_batches`."""
        with self.backend.local_file(_file_name(kind, key, _ARRAYS)) as path:
            yield from iter_array_batches(path, key, name, rows)

    def read_record(self, kind: str, key: Key) -> dict[str, Any]:
        """Return the JSON object of a key; empty if it is missing or damaged."""
        return self._load(_file_name(kind, key, _RECORD), key, logging.WARNING) or {}

    def update_record(self, kind: str, key: Key, items: dict[str, Any]) -> None:
        """Merge items into the JSON object of a key, safely with other processes that do the same."""
        name = _file_name(kind, key, _RECORD)
        with self._lock(name):
            self._save(name, key, {**self.read_record(kind, key), **items})

    def has(self, kind: str, key: Key) -> bool:
        """Return whether there is a file for the key, which may be damaged."""
        stem = _file_name(kind, key, "")
        return any(self.backend.exists(stem + suffix) for suffix in LOAD)

    def digests(self, kind: str) -> set[str]:
        """Return the `digest` of each key that has a file: one listing is faster than asking for many keys."""
        return {PurePosixPath(name).stem for name in self.backend.list_files(kind) if name.endswith(_SUFFIXES)}

    def file_url(self, kind: str, key: Key) -> str:
        """Return the URL of the file for the arrays of a key, which need not exist."""
        return self.backend.file_url(_file_name(kind, key, _ARRAYS))

    def unfinished_folder(self, key: Key) -> Backend:
        """Return the folder for checkpoints of unfinished work on a key."""
        return self.backend.subfolder(_file_name(UNFINISHED, key, "d"))

    def remove_unfinished(self, key: Key) -> None:
        """Remove the folder for checkpoints of a key, as far as possible."""
        with suppress(InputError):  # Another process may be working in the folder.
            self.backend.remove(_file_name(UNFINISHED, key, "d"))

    def _get_or_compute(self, name: str, key: Key, compute: Callable[[], Value]) -> tuple[Value, bool]:
        cached = self._load(name, key, logging.DEBUG)
        if cached is not None:
            return cached, True
        with self._lock(name):
            cached = self._load(name, key, logging.WARNING)
            if cached is not None:
                return cached, True
            value = compute()
            self._save(name, key, value)
            return value, False

    def _load(self, name: str, key: Key, level: int) -> Any:
        """Return the content of a file; None if it is missing, or damaged, which is logged at the level."""
        try:
            with self.backend.local_file(name) as path:
                return LOAD[name.rpartition(".")[2]](path, key)
        except InputError:
            raise  # The backend failed, not the file.
        except FileNotFoundError:
            return None
        except UNREADABLE as error:
            _log.log(level, "%s/%s is damaged and will be replaced: %s", self.backend, name, str(error) or repr(error))
            return None

    def _save(self, name: str, key: Key, value: Any) -> None:
        self.backend.write(name, lambda path: SAVE[name.rpartition(".")[2]](path, key, value))

    def _lock(self, name: str) -> Lock:
        return Lock(self.backend, f"{name.rpartition('.')[0]}.lock", self.lock_timeout)


def _file_name(kind: str, key: Key, suffix: str) -> str:
    """Return ``kind/ab/abcd....suffix``, where ``abcd...`` is the digest of the key."""
    key_digest = digest(key)
    return f"{kind}/{key_digest[:2]}/{key_digest}.{suffix}"
