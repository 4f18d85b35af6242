"""Readers of untrusted text and JSON files: bounded size, UTF-8 only, and errors that name the file."""

from __future__ import annotations

import json
import os
import stat
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO

from transfer_exp.errors import InputError, escape_controls

_MAX_BYTES = 1 << 26
"""Default limit of a file: far above the files that this project writes, far below any memory."""


def expand_user(path: str | os.PathLike[str]) -> Path:
    """Return a path with a leading ``~`` replaced by the home folder; a name such as ``~old`` of no user is kept.

    ``Path.expanduser`` raises for such a name, and also expands ``./~``.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111


def clean_name(name: str) -> str:
    """Return the name of a class, model or dataset in composed Unicode, with control characters escaped.

    Systems write an accent as one or two characters, which look the same. A name of invisible characters is escaped.
    """
    if not any(character.isprintable() and not character.isspace() for character in name):
        escapes = (f"\\x{ord(c):02x}" if ord(c) < 256 else c.encode("unicode_escape").decode() for c in name)
        return "".join(escapes)
    return escape_controls(unicodedata.normalize("NFC", name))


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading bytes.

    Raises:
        InputError: For a pipe or a device, on which opening could wait for ever.
        OSError: If the file cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        os.close(descriptor)
        raise InputError(f"{path} is a pipe or device: give a regular file")
    return os.fdopen(descriptor, "rb")


def read_text(path: Path, max_bytes: int = _MAX_BYTES) -> str:
    """Return the text of a file without a byte order mark; line ends are unchanged.

    Raises:
        InputError: If the file cannot be read, is larger than ``max_bytes``, is not UTF-8, or contains a NUL character.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            content = b"" if size > max_bytes else file.read(max_bytes + 1)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot read {path} ({reason}): restore it or check its permissions") from error
    if max(size, len(content)) > max_bytes:
        raise InputError(f"{path} has {size} bytes, more than the {max_bytes} of any such file: is it the right one?")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from error
    text = text.lstrip("\ufeff")  # tools that add a byte order mark may run twice
    if "\0" in text:
        raise InputError(f"{path} contains a NUL character, so it is not text: save it as UTF-8")
    return text


def read_json(path: Path, max_bytes: int = _MAX_BYTES) -> Any:
    """Return the content of a JSON file with finite numbers and without duplicate names in an object.

    Raises:
        InputError: If `read_text` refuses the file, or it is not such JSON.
    """
    text = read_text(path, max_bytes)
    try:
        return json.loads(text, object_pairs_hook=_unique_names, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise InputError(f"{path} is nested too deeply to be the right file: correct it") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}): correct it") from error


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; json.loads would keep the last of two values with one name."""
    unique = dict(pairs)
    if len(unique) < len(pairs):
        duplicate = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"'{duplicate}' appears twice in one object")
    return unique


def _refuse_constant(constant: str) -> float:
    raise ValueError(f"{constant} is not a number")
