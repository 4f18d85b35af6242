"""The two things that can go wrong and are not a bug of ours."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_HEAD, _TAIL = 600, 400
"""Characters kept of a message that is longer: who is the culprit stands at its head, and the way out at its tail."""


class InputError(ValueError):
    """Bad input. The message is one line that names the culprit and the way out; it ends the run with exit code 1.

    Parameters
    ----------
    message
        Brought to `one_line`, because it may quote a stranger's file.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class NotApplicableError(Exception):
    """A metric, model and dataset that do not fit each other. The model is listed as skipped, with this reason.

    Parameters
    ----------
    message
        As of `InputError`.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def one_line(text: str) -> str:
    """Return a text as one line that a terminal may be shown: no line ends, no control characters, not endless."""
    line = " ".join(text.split())
    if not line.isprintable():
        line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    return line if len(line) <= _HEAD + _TAIL else f"{line[:_HEAD]} ... {line[-_TAIL:]}"


def suggestion(name: str, known: Iterable[str], limit: int = 3) -> str:
    """Return a clause with the known names nearest to ``name``: ``"did you mean a, b?"``, or the known ones.

    Parameters
    ----------
    name
        What was asked for and does not exist.
    known
        What does exist.
    limit
        At most this many near matches (at most ten names when none is near).
    """
    names = sorted(known)
    near = get_close_matches(name, names, n=limit, cutoff=0.5)
    if near:
        return f"did you mean {', '.join(near)}?"
    shown = ", ".join(names[:10])
    return f"known: {shown}{', ...' if len(names) > 10 else ''}" if names else "there is none to choose from"
