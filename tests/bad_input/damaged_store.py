"""A store whose files are damaged after they were written."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from transfer_exp.store import Store

ARRAYS = {"features": np.arange(12, dtype=np.float32).reshape(4, 3), "labels": np.arange(4)}
RECORD = {"value": 0.25, "source": "us", "chosen": {"steps": 3}}


def valid_file(kind: str) -> bytes:
    """Return the content of the file that a store writes for a kind of entry."""
    with tempfile.TemporaryDirectory() as folder:
        _fetch(Store(Path(folder)), kind)
        return _file(Path(folder)).read_bytes()


def is_read(kind: str, content: bytes) -> bool:
    """Return whether a store reads the value from a damaged file; read or computed again, it must be correct."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        _fetch(store, kind)
        _file(store.root).write_bytes(content)
        logging.disable(logging.WARNING)  # one for every damaged file
        try:
            return _fetch(store, kind)
        finally:
            logging.disable(logging.NOTSET)


def _fetch(store: Store, kind: str) -> bool:
    if kind == "record":
        value: Any
        value, is_cached = store.get_or_compute_record(kind, {}, lambda: RECORD)
        assert value == RECORD
        return is_cached
    arrays, is_cached = store.get_or_compute_arrays(kind, {}, lambda: ARRAYS)
    assert sorted(arrays) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)
    return is_cached


def _file(root: Path) -> Path:
    (path,) = (path for path in root.rglob("*") if path.suffix in (".safetensors", ".json"))
    return path
