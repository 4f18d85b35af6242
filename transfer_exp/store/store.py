"""Cache of arrays and records, one file per key; each value is computed by one process and read by all."""

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
from transfer_exp.store.entries import LOADERS, READ_ERRORS, SAVERS, UNFINISHED, Arrays, Key, iter_array_batches
from transfer_exp.store.lock import Lock

_log = logging.getLogger(__name__)
_ARRAYS = ".safetensors"
_RECORD = ".json"
_UNFINISHED = ".d"
Value = TypeVar("Value")


@dataclass(frozen=True)
class _KeyFile:
    """File of a key: ``kind/ab/abcd...``, where ``abcd...`` is the digest of the key, and a suffix."""

    kind: str
    key: Key
    suffix: str

    @cached_property
    def stem(self) -> str:
        key_digest = digest(self.key)
        return f"{self.kind}/{key_digest[:2]}/{key_digest}"

    @property
    def name(self) -> str:
        return self.stem + self.suffix


@dataclass(frozen=True)
class Store:
    """Arrays (safetensors) and records (JSON objects), one file per key, named after the digest of the key.

    When several processes or machines need one missing value, one of them computes it under a lock and the others
    wait. Cached values are read without a lock, so a store may be read-only. All methods but `remove_unfinished` raise
    InputError if the store cannot be used or written. Their ``kind`` is a folder of the store, such as ``features``,
    and their ``key`` is the plain data that decides the value. Each file has a digest of its content; a damaged file
    counts as missing, with a warning.

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
        """Return the arrays of a key by name, and whether they were cached; if not, compute and save them.

        Errors of ``compute`` pass unchanged.
        """
        return self._get_or_compute(_KeyFile(kind, key, _ARRAYS), compute)

    def save_arrays(self, kind: str, key: Key, arrays: Arrays) -> None:
        """Save or replace the arrays of a key, without a lock: another process that computed them writes the same."""
        self._save(_KeyFile(kind, key, _ARRAYS), arrays)

    def get_or_compute_record(
        self, kind: str, key: Key, compute: Callable[[], dict[str, Any]]
    ) -> tuple[dict[str, Any], bool]:
        """Return the JSON object of a key, as `get_or_compute_arrays` does for arrays."""
        return self._get_or_compute(_KeyFile(kind, key, _RECORD), compute)

    def iter_batches(self, kind: str, key: Key, name: str, rows: int) -> Iterator[np.ndarray]:
        """Yield one array of a key in batches, see `iter_array_batches`; one of `READ_ERRORS` if missing or damaged."""
        with self.backend.local_file(_KeyFile(kind, key, _ARRAYS).name) as path:
            yield from iter_array_batches(path, key, name, rows)

    def read_record(self, kind: str, key: Key) -> dict[str, Any]:
        """Return the JSON object of a key; empty if it is missing or damaged."""
        return self._load(_KeyFile(kind, key, _RECORD), logging.WARNING) or {}

    def update_record(self, kind: str, key: Key, items: dict[str, Any]) -> None:
        """Merge items into the JSON object of a key, safely with other processes that do the same."""
        file = _KeyFile(kind, key, _RECORD)
        with self._lock(file):
            self._save(file, {**self.read_record(kind, key), **items})

    def has(self, kind: str, key: Key) -> bool:
        """Return whether there is a file for the key, which may be damaged."""
        return any(self.backend.exists(_KeyFile(kind, key, suffix).name) for suffix in LOADERS)

    def digests(self, kind: str) -> set[str]:
        """Return the `digest` of each key that has a file: one listing is faster than asking for many keys."""
        return {PurePosixPath(name).stem for name in self.backend.list_files(kind) if name.endswith(tuple(LOADERS))}

    def file_url(self, kind: str, key: Key) -> str:
        """Return the URL of the file for the arrays of a key, which need not exist."""
        return self.backend.file_url(_KeyFile(kind, key, _ARRAYS).name)

    def unfinished_backend(self, key: Key) -> Backend:
        """Return a backend for the files of unfinished work on a key, such as checkpoints; empty at first."""
        return self.backend.subfolder(_KeyFile(UNFINISHED, key, _UNFINISHED).name)

    def remove_unfinished(self, key: Key) -> None:
        """Remove the files of unfinished work on a key, if there are any, as far as possible."""
        with suppress(InputError):  # Another process may be working in the folder.
            self.backend.remove(_KeyFile(UNFINISHED, key, _UNFINISHED).name)

    def _get_or_compute(self, file: _KeyFile, compute: Callable[[], Value]) -> tuple[Value, bool]:
        cached = self._load(file, logging.DEBUG)
        if cached is not None:
            return cached, True
        with self._lock(file):
            cached = self._load(file, logging.WARNING)
            if cached is not None:
                return cached, True
            value = compute()
            self._save(file, value)
            return value, False

    def _load(self, file: _KeyFile, level: int) -> Any:
        """Return the content of a file; None if it is missing, or damaged, which is logged at the level."""
        try:
            with self.backend.local_file(file.name) as path:
                return LOADERS[file.suffix](path, file.key)
        except InputError:
            raise  # The backend failed, not the file.
        except FileNotFoundError:
            return None
        except READ_ERRORS as error:
            reason = str(error) or repr(error)
            _log.log(level, "%s/%s is damaged and counts as missing: %s", self.backend, file.name, reason)
            return None

    def _save(self, file: _KeyFile, value: Any) -> None:
        self.backend.write(file.name, lambda path: SAVERS[file.suffix](path, file.key, value))

    def _lock(self, file: _KeyFile) -> Lock:
        return Lock(self.backend, f"{file.stem}.lock", self.lock_timeout)
