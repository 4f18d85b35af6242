"""Text files of strangers: of bounded size, UTF-8, and with an error that names the file."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from transfer_exp.errors import InputError

LARGEST = 1 << 26
"""Bytes of a text file that is read whole: far above any that this project writes, far below any memory."""


def read_text(path: Path, largest: int = LARGEST) -> str:
    """Return the text of a file, without a byte order mark, line ends as they are.

    Raises
    ------
    InputError
        When it cannot be read, is larger than ``largest`` bytes, is not UTF-8, or holds a NUL.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            content = b"" if size > largest else file.read(largest + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot read {path} ({reason}): restore it or check its permissions") from error
    if max(size, len(content)) > largest:
        raise InputError(f"{path} has {size} bytes, more than the {largest} of any such file: is it the right one?")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from error
    if "\0" in text:
        raise InputError(f"{path} holds a NUL character, as no text does: save it as UTF-8")
    return text


def read_json(path: Path, largest: int = LARGEST) -> Any:
    """Return what a JSON file holds: numbers are finite, and no name of an object stands twice in it.

    Raises
    ------
    InputError
        As `read_text`; when the file is no such JSON.
    """
    text = read_text(path, largest)
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except RecursionError as error:
        raise InputError(f"{path} is nested too deeply to be the right file: correct it") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}): correct it") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object, refusing a name that stands twice, of which JSON would keep the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"'{twice}' stands twice in one object")
    return found


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number")
