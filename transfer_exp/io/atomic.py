"""Write files in one step, so that no reader sees a part of one; and hash plain data."""

from __future__ import annotations

import errno
import hashlib
import json
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from transfer_exp.errors import InputError

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(key: Mapping[str, Any]) -> str:
    """Return the sha256 of plain data, written as canonical JSON (sorted keys, no spaces, no NaN).

    Raises:
        TypeError: If a value cannot be written as JSON.
        ValueError: If a number is NaN or infinite.
    """
    return hashlib.sha256(_CANONICAL.encode(key).encode()).hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step, in UTF-8; see `write_atomically`."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8", errors="backslashreplace"))


def write_atomically(path: Path, save: Callable[[Path], object]) -> None:
    """Let ``save`` write a temporary file, then rename it to ``path``, or to the target of that link.

    A reader sees the old file or the new one, never a part. Missing folders are created. A loss of power may lose both.

    Raises:
        InputError: If `resolve_target` refuses the path.
    """
    replace_file(resolve_target(path), save)


def resolve_target(path: Path) -> Path:
    """Return the path of the file to write: the target of a link, which need not exist, or the path itself.

    Raises:
        InputError: If the path has no name, or leads to a folder, pipe, device, or back to itself.
    """
    if not path.name:
        raise InputError(f"'{path}' is a folder, not the name of a file: name a file in it")
    try:
        target = path.resolve() if path.is_symlink() else path
        mode = target.stat().st_mode
    except FileNotFoundError:
        return target
    except (OSError, RuntimeError) as error:  # a RuntimeError before Python 3.13
        if isinstance(error, RuntimeError) or error.errno == errno.ELOOP:
            raise InputError(f"{path} is a link to itself: name another file, or remove the link") from error
        return path  # the write raises the same error, which its caller reports
    if stat.S_ISDIR(mode):
        raise InputError(f"{path} is a folder, not a file: name another file, or remove the folder")
    if not stat.S_ISREG(mode):
        raise InputError(f"{path} is a pipe or device, which would be replaced by a file: name a regular file")
    return target


def replace_file(path: Path, save: Callable[[Path], object]) -> None:
    """Do the same as `write_atomically`, but replace a link or a pipe of that name itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not `tempfile`, whose files only their owner can read.
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        save(temporary)
        temporary.replace(path)
    except OSError as error:
        if error.filename == str(temporary):  # the user knows the file by its own name
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
