"""The store itself: arrays and records by key, each computed by one and read by all."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from transfer_exp.store.array_file import Arrays, array_batches, load_arrays, save_arrays
from transfer_exp.store.files import digest, write_atomically
from transfer_exp.store.lease import Lease
from transfer_exp.types import InputError

_log = logging.getLogger(__name__)
Value = TypeVar("Value")
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading a file ends in that is absent, or not as it was written."""


@dataclass(frozen=True)
class Store:
    """A folder of arrays (safetensors) and records (JSON), one file per key, each with a digest of its content.

    Of several processes that ask for one missing key, on one machine or on several that share the folder, one
    computes and the others wait. What is there is read without asking anybody, so a store may be read-only.

    Attributes
    ----------
    root
        The folder.
    patience
        Seconds without a sign of life after which a process that computes counts as dead, see `Lease`.
    """

    root: Path
    patience: float = 60.0

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
        path = self._path(kind, key, "safetensors")
        return self._fetch(path, lambda: load_arrays(path, key), lambda at, new: save_arrays(at, key, new), compute)

    def batches(self, kind: str, key: Mapping[str, Any], name: str, rows: int) -> Iterator[np.ndarray]:
        """Yield one array under ``key`` in batches, as `array_batches` does."""
        return array_batches(self._path(kind, key, "safetensors"), key, name, rows)

    def record(
        self, kind: str, key: Mapping[str, Any], compute: Callable[[], dict[str, Any]]
    ) -> tuple[dict[str, Any], bool]:
        """Return the JSON object under ``key``, as `arrays` does for arrays; the file holds the key as well."""
        path = self._path(kind, key, "json")

        def load() -> dict[str, Any]:
            held = json.loads(path.read_text())
            value: dict[str, Any] = held["value"]
            if digest(held["key"]) != path.stem or digest(value) != held["sha256"]:
                raise ValueError(f"{path} is damaged: it is not what was written")
            return value

        def save(temporary: Path, value: dict[str, Any]) -> None:
            held = {"key": key, "sha256": digest(value), "value": value}
            temporary.write_text(json.dumps(held, sort_keys=True, indent=1, allow_nan=False))

        return self._fetch(path, load, save, compute)

    def has(self, kind: str, key: Mapping[str, Any]) -> bool:
        """Tell whether there is a file for ``key``, whole or not."""
        return any(self._path(kind, key, ending).is_file() for ending in ("safetensors", "json"))

    def folder(self, kind: str, key: Mapping[str, Any]) -> Path:
        """Return a folder of its own for ``key``, for work that is not finished; it may not exist yet."""
        return self._path(kind, key, "d")

    def _path(self, kind: str, key: Mapping[str, Any], suffix: str) -> Path:
        name = digest(key)
        return self.root / kind / name[:2] / f"{name}.{suffix}"

    def _fetch(
        self,
        path: Path,
        load: Callable[[], Value],
        save: Callable[[Path, Value], None],
        compute: Callable[[], Value],
    ) -> tuple[Value, bool]:
        try:
            return load(), True
        except _UNREADABLE:
            pass  # absent, or damaged, which is said below by the one who computes
        with self._alone(path):
            try:
                return load(), True
            except FileNotFoundError:
                pass
            except _UNREADABLE as error:
                _log.warning("%s: computing it again", error if str(path) in str(error) else f"{path} ({error!r})")
            value = compute()
            try:
                write_atomically(path, lambda temporary: save(temporary, value))
            except OSError as error:
                raise self._refusal(error) from error
            return value, False

    @contextmanager
    def _alone(self, path: Path) -> Iterator[None]:
        """Hold the lease of a path."""
        lease = Lease(path.with_suffix(".lease"), self.patience)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lease.take()
        except OSError as error:
            raise self._refusal(error) from error
        try:
            yield
        finally:
            lease.give_back()

    def _refusal(self, error: OSError) -> InputError:
        return InputError(f"cannot write to the store {self.root} ({error.strerror}): make room, or set store=FOLDER")
