"""Errors with a message for the user, and helpers to write such messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

_HEAD, _TAIL = 600, 400
"""Characters of a long message to keep: the problem is at its start, the fix at its end."""


class InputError(ValueError):
    """Invalid input from the user. It ends the run with exit code 1 and no traceback.

    Args:
        message: The problem, its cause and the fix. `one_line` cleans it, because it may quote an untrusted file.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class NotApplicableError(Exception):
    """A metric, model and dataset that do not fit each other. The run goes on, and lists the model as skipped.

    Args:
        message: The reason. `one_line` cleans it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def one_line(text: str) -> str:
    """Return a text as one printable line of limited length, safe to show on a terminal."""
    line = " ".join(text.split())
    if not line.isprintable():
        line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    return line if len(line) <= _HEAD + _TAIL else f"{line[:_HEAD]} ... {line[-_TAIL:]}"


def suggestion(name: str, available: Iterable[str], limit: int = 3) -> str:
    """Return a clause with the available names closest to a misspelt one: ``"did you mean a, b?"``.

    Args:
        name: The name that does not exist.
        available: The names that exist. Up to ten of them are listed when none is close.
        limit: Largest number of close names.
    """
    names = sorted(available)
    close = get_close_matches(name, names, n=limit, cutoff=0.5)
    if close:
        return f"did you mean {', '.join(close)}?"
    if not names:
        return "there is none to choose from"
    return f"available: {', '.join(names[:10])}{', ...' if len(names) > 10 else ''}"


@contextmanager
def explain_out_of_memory(model: str, setting: str) -> Iterator[None]:
    """Replace an out-of-memory error inside the context by one line that names the setting to lower.

    Args:
        model: Name of the model.
        setting: Configuration key to lower, such as ``features.batch_size``.

    Raises:
        InputError: If memory runs out on the CPU or on an accelerator.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # torch is not imported here, and has no error class for the memory of the CPU.
        is_torch_error = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
        if not (isinstance(error, MemoryError) or is_torch_error):
            raise
        message = f"{model} does not fit into memory: lower {setting}, or leave the model out with models=[..]"
        raise InputError(message) from error
