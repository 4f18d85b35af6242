"""Atomic writes, and digests of plain data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4


def digest(key: Mapping[str, Any]) -> str:
    """Return the sha256 of plain data, written as canonical JSON (sorted keys, no spaces, no NaN).

    Raises:
        TypeError: If a value is not plain data.
    """
    canonical = json.dumps(key, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step, in UTF-8; see `write_atomically`."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8", errors="backslashreplace"))


def write_atomically(path: Path, save: Callable[[Path], object]) -> None:
    """Let ``save`` write a temporary file in the same folder, then replace ``path`` by it in one step.

    A reader sees the old file or the new one, never a part. Missing folders are created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Files of `tempfile` are readable by their owner only.
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        save(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
