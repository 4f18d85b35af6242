"""Readers of text and JSON files of unknown origin, and the clean form of paths and names that a user gives."""

from __future__ import annotations

import json
import math
import os
import stat
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO

from transfer_exp.errors import InputError, escape_controls

_MAX_BYTES = 1 << 26
"""Largest file by default: far above the files that this project writes, far below the memory of any machine."""


def expand_user(path: str | os.PathLike[str]) -> Path:
    """Return a path with a leading ``~`` or ``~USER`` replaced by the home folder; ``~old`` is kept if no user has it.

    ``Path.expanduser`` would raise an error for ``~old``, and also expand ``./~``.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111


def clean_name(name: str) -> str:
    """Return the name of a class, model or dataset in composed Unicode (NFC), with control characters escaped.

    An accented letter may be stored as one character or as two, which look the same; NFC always has one. If a name has
    no visible character, all of its characters are escaped.
    """
    if not any(character.isprintable() and not character.isspace() for character in name):
        escapes = (f"\\x{ord(c):02x}" if ord(c) < 256 else c.encode("unicode_escape").decode() for c in name)
        return "".join(escapes)
    return escape_controls(unicodedata.normalize("NFC", name))


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading bytes.

    Raises:
        InputError: If the path is a folder, or a pipe or device, which could block for ever.
        OSError: If the file cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise InputError(f"{path} is a {'folder' if stat.S_ISDIR(mode) else 'pipe or device'}: give a regular file")
    return os.fdopen(descriptor, "rb")


def read_text(path: Path, max_bytes: int = _MAX_BYTES) -> str:
    """Return the text of a regular file in UTF-8, without its byte order mark; line ends are unchanged.

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
    """Return the content of a JSON file.

    Raises:
        InputError: If `read_text` refuses the file, or the text is not JSON, has a number that is NaN, infinite or
            too large for a float (``1e999``), or has a name twice in one object.
    """
    text = read_text(path, max_bytes)
    try:
        return json.loads(
            text, object_pairs_hook=_unique_names, parse_float=_parse_finite, parse_constant=_refuse_constant
        )
    except RecursionError as error:
        raise InputError(f"{path} is nested too deeply to be the right file: correct it") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}): correct it") from error


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON; of two values with one name, json.loads would silently keep the last."""
    unique = dict(pairs)
    if len(unique) < len(pairs):
        duplicate = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"'{duplicate}' appears twice in one object")
    return unique


def _refuse_constant(constant: str) -> float:
    raise ValueError(f"{constant} is not a number")


def _parse_finite(digits: str) -> float:
    number = float(digits)  # infinity if it is too large
    if not math.isfinite(number):
        raise ValueError(f"{digits} is not a finite number")
    return number
