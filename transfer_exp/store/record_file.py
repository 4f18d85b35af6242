"""A record in a file: a JSON object beside its key and a digest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transfer_exp.io.atomic import digest


def save_record(path: Path, key: Mapping[str, Any], value: Mapping[str, Any]) -> None:
    """Write a record of finite numbers, text and what holds them."""
    held = {"key": key, "sha256": digest(value), "value": value}
    path.write_text(json.dumps(held, sort_keys=True, indent=1, allow_nan=False))


def load_record(path: Path, key: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of a record.

    Raises
    ------
    OSError, ValueError, KeyError, TypeError, RecursionError
        When the file is not as it was written, or is of another key.
    """
    held = json.loads(path.read_text())
    value: dict[str, Any] = held["value"]
    if digest(held["key"]) != digest(key) or digest(value) != held["sha256"]:
        raise ValueError("it is not what was written")
    return value
