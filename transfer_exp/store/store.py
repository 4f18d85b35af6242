"""The store itself: arrays and records by key, each computed by one and read by all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from transfer_exp.errors import InputError
from transfer_exp.io.atomic import digest
from transfer_exp.store.array_file import Arrays, array_batches, load_arrays, save_arrays
from transfer_exp.store.backend import Backend, open_backend
from transfer_exp.store.record_file import load_record, save_record

_log = logging.getLogger(__name__)
Value = TypeVar("Value")
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading a file ends in that is absent, or not as it was written."""


@dataclass(frozen=True)
class Store:
    """A place of arrays (safetensors) and records (JSON), one file per key, each with a digest of its content.

    Of several processes that ask for one missing key, on one machine or on several that share the place, one
    computes and the others wait. What is there is read without asking anybody, so a store may be read-only.

    Attributes
    ----------
    root
        A folder, or the URL of an object store as fsspec has them: ``s3://bucket/folder``, ``memory://name``.
    patience
        Seconds without a sign of life after which a process that computes counts as dead, see `Lease`.
    """

    root: str | Path
    patience: float = 60.0

    @cached_property
    def place(self) -> Backend:
        """Where the files are.

        Raises
        ------
        InputError
            When there can be no such place.
        """
        return open_backend(self.root)

    def arrays(self, kind: str, key: Mapping[str, Any], compute: Callable[[], Arrays]) -> tuple[Arrays, bool]:
        """Return the arrays under ``key``, computing and keeping them when absent or damaged.

        Returns
        -------
        arrays
            By name.
        found
            True when they were read, False when they were computed.

        Raises
        ------
        InputError
            When they cannot be kept; whatever ``compute`` raises.
        """
        save = lambda path, new: save_arrays(path, key, new)  # noqa: E731
        return self._fetch(_name(kind, key, "safetensors"), lambda path: load_arrays(path, key), save, compute)

    def batches(self, kind: str, key: Mapping[str, Any], name: str, rows: int) -> Iterator[np.ndarray]:
        """Yield one array under ``key`` in batches, as `array_batches` does."""
        with self.place.reading(_name(kind, key, "safetensors")) as path:
            yield from array_batches(path, key, name, rows)

    def record(
        self, kind: str, key: Mapping[str, Any], compute: Callable[[], dict[str, Any]]
    ) -> tuple[dict[str, Any], bool]:
        """Return the JSON object under ``key``, as `arrays` does for arrays; the file holds the key as well."""
        save = lambda path, new: save_record(path, key, new)  # noqa: E731
        return self._fetch(_name(kind, key, "json"), lambda path: load_record(path, key), save, compute)

    def gathered(self, kind: str, key: Mapping[str, Any]) -> dict[str, Any]:
        """Return what was added under ``key`` so far; empty where nothing was, or where the file is damaged."""
        name = _name(kind, key, "json")
        try:
            with self.place.reading(name) as path:
                return load_record(path, key)
        except InputError:
            raise  # of the place, not of the file
        except FileNotFoundError:
            pass
        except _UNREADABLE as error:
            _log.warning("%s/%s is damaged, and begins anew: %s", self.place, name, str(error) or repr(error))
        return {}

    def add(self, kind: str, key: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        """Add to what is gathered under ``key``, whoever else adds to it meanwhile.

        Raises
        ------
        InputError
            When it cannot be kept.
        """
        name = _name(kind, key, "json")
        with self._alone(name):
            whole = {**self.gathered(kind, key), **new}
            self._write(name, lambda path: save_record(path, key, whole))

    def has(self, kind: str, key: Mapping[str, Any]) -> bool:
        """Tell whether there is a file for ``key``, whole or not."""
        return any(self.place.has(_name(kind, key, ending)) for ending in ("safetensors", "json"))

    def address(self, kind: str, key: Mapping[str, Any]) -> str:
        """Return the URL of the file of the arrays under ``key``, whether it is there or not."""
        return self.place.address(_name(kind, key, "safetensors"))

    def unfinished(self, key: Mapping[str, Any]) -> Backend:
        """Return a place of its own for work on ``key`` that is not finished."""
        return self.place.below(_name("unfinished", key, "d"))

    def forget_unfinished(self, key: Mapping[str, Any]) -> None:
        """Remove what is in that place."""
        self.place.remove(_name("unfinished", key, "d"))

    def _fetch(
        self,
        name: str,
        load: Callable[[Path], Value],
        save: Callable[[Path, Value], None],
        compute: Callable[[], Value],
    ) -> tuple[Value, bool]:
        def read() -> Value:
            with self.place.reading(name) as path:
                return load(path)

        try:
            return read(), True
        except InputError:
            raise  # of the place, not of the file
        except _UNREADABLE:
            pass  # absent, or damaged, which is said below by the one who computes
        with self._alone(name):
            try:
                return read(), True
            except FileNotFoundError:
                pass
            except _UNREADABLE as error:
                _log.warning("%s/%s is damaged, and is computed again: %s", self.place, name, str(error) or repr(error))
            value = compute()
            self._write(name, lambda path: save(path, value))
            return value, False

    def _write(self, name: str, save: Callable[[Path], object]) -> None:
        try:
            self.place.write(name, save)
        except OSError as error:
            raise self._refusal(error) from error

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Hold the lease of a file."""
        try:
            lease = self.place.lease(f"{name.rpartition('.')[0]}.lease", self.patience)
            lease.take()
        except OSError as error:
            raise self._refusal(error) from error
        try:
            yield
        finally:
            lease.give_back()

    def _refusal(self, error: OSError) -> InputError:
        reason = error.strerror or str(error)
        return InputError(f"cannot write to the store {self.root} ({reason}): make room, or set store=FOLDER")


def _name(kind: str, key: Mapping[str, Any], ending: str) -> str:
    """Return the name of a file: its kind, and the digest of its key, in folders that stay small."""
    name = digest(key)
    return f"{kind}/{name[:2]}/{name}.{ending}"
