"""What a store holds, as its files say: to be listed, checked and cleared without knowing who asked for it."""

from __future__ import annotations

import json
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from transfer_exp.errors import InputError
from transfer_exp.io.atomic import digest
from transfer_exp.io.text import read_json
from transfer_exp.store.array_file import load_arrays
from transfer_exp.store.file_lock import FileLease

SCORES, UNFINISHED, LEFTOVER = "scores", "unfinished", "leftover"
KINDS = ("features", SCORES, "accuracy", UNFINISHED, LEFTOVER)
"""Kinds of entries; the last are files that a process which was killed left half written, and that nobody will read."""
_NAME = r"[0-9a-f]{64}"
_WHOLE = re.compile(rf"{_NAME}\.(?:safetensors|json|d)")
_HALF = re.compile(rf"\.{_NAME}\.\w+\.[0-9a-f]{{32}}|{_NAME}\.lock")
# Work that is not finished is done under the lease of what it will be.
_LEASED_AS = {UNFINISHED: "accuracy"}


@dataclass(frozen=True)
class Entry:
    """One file of a store, or one folder of unfinished work.

    Attributes
    ----------
    path
        The file, or the folder.
    kind
        ``features``, ``scores``, ``accuracy``, ``unfinished``, or `LEFTOVER`.
    bytes
        Its size, of a folder with all that is in it.
    changed
        When it was last written, in seconds since 1970.
    """

    path: Path
    kind: str
    bytes: int
    changed: float

    @cached_property
    def content(self) -> Mapping[str, Any]:
        """Return the ``key`` that the file is kept under, and of a record the ``value``; empty if it has none."""
        try:
            if self.path.suffix == ".safetensors":
                with safe_open(self.path, framework="numpy") as file:
                    return {"key": json.loads((file.metadata() or {})["key"])}
            if self.path.suffix == ".json":
                return dict(read_json(self.path))
        except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError):
            pass  # a damaged file says nothing
        return {}

    def is_damaged(self) -> bool:
        """Read the whole file, and tell whether a `Store` would refuse it; of a folder, False."""
        if self.path.suffix == ".d":
            return False
        try:
            key = self.content["key"]
            if digest(key) != self.path.stem:
                return True
            if self.path.suffix == ".json":
                return digest(self.content["value"]) != self.content["sha256"]
            load_arrays(self.path, key)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return True
        return False

    @property
    def lease(self) -> FileLease:
        """The lease under which it is written."""
        name, kind = re.search(_NAME, self.path.name), self.path.parents[1]
        assert name is not None
        folder = kind.with_name(_LEASED_AS.get(kind.name, kind.name)) / self.path.parent.name
        return FileLease(folder / f"{name[0]}.lease")

    def remove(self) -> bool:
        """Remove it unless somebody works on it, and tell whether it is gone.

        Raises
        ------
        OSError
            When it may not be removed.
        """
        if any(FileLease(point).is_held() for point in self.path.glob("*.lease")):
            return False  # a point of a grid, which is trained by a job of its own
        lease = self.lease
        lease.path.parent.mkdir(parents=True, exist_ok=True)
        if not lease.try_take():
            return False
        try:
            if self.path.suffix == ".d":
                shutil.rmtree(self.path)
            else:
                self.path.unlink(missing_ok=True)
        finally:
            lease.give_back()
        return True


def entries(root: Path) -> Iterator[Entry]:
    """Yield what a store in a local folder holds, sorted by kind and name; what is not the store's is passed over.

    Raises
    ------
    InputError
        When there is no such folder.
    """
    if not root.is_dir():
        raise InputError(f"no store {root}: nothing was kept there, or set --store to the folder of one")
    for path in sorted(root.glob("*/[0-9a-f][0-9a-f]/*")):
        kind = path.parents[1].name if _WHOLE.fullmatch(path.name) else LEFTOVER
        if kind != LEFTOVER or _HALF.fullmatch(path.name):
            with suppress(FileNotFoundError):  # its owner was quicker
                yield _entry(path, kind)


def _entry(path: Path, kind: str) -> Entry:
    told = [file.lstat() for file in (path, *path.rglob("*"))]
    size = sum(one.st_size for one in told if not stat.S_ISDIR(one.st_mode))
    return Entry(path, kind, size, max(one.st_mtime for one in told))
