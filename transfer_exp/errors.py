"""Errors with a message for the user, and helpers to write such messages."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from difflib import get_close_matches
from numbers import Integral, Real
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)
_HEAD, _TAIL = 600, 400
"""Characters of a long message to keep: the problem is at its start, the fix at its end."""
_EXIT_HOOKS = str(Path("wandb", "sdk", "lib", "exit_hooks.py"))
"""File with the function that wandb puts in the place of ``sys.exit``."""
_CREDENTIALS = re.compile(
    r"(?<=://)[^/\s@]+(?=@)|(?<=[?&])[^=&\s]*(?:token|secret|password|signature|sig|key|credential)[^=&\s]*=[^&\s]+",
    re.I,
)
"""User and password in a URL, or a parameter of a URL with the name of a secret."""


class InputError(ValueError):
    """Invalid input from the user. It ends the run with exit code 1 and no traceback.

    Args:
        message: The problem, its cause and the fix. `one_line` cleans it, because it may quote an untrusted file.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class TerminatedError(KeyboardInterrupt):
    """Raised where the process receives SIGTERM: an interrupt with another message and exit code."""


class SharedInputError(InputError):
    """Invalid input that every model shares, such as a damaged image or a full disk: going on would be in vain."""


class NoModelError(InputError):
    """Raised when none of the models of a pool can be used."""


class IncompleteOutputError(InputError):
    """Raised when the results are written, but not everything that shows them.

    Args:
        records: Files of the results.
        problems: What could not be written, and why.
    """

    def __init__(self, records: Sequence[Path], problems: Sequence[str]) -> None:
        files = ", ".join(map(str, records))
        super().__init__(f"cannot write the {' or the '.join(problems)}: the results are in {files}")


class NotApplicableError(Exception):
    """A metric, model and dataset that do not fit each other. The run goes on, and lists the model as skipped.

    Args:
        message: The reason. `one_line` cleans it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class ModelFailureError(NotApplicableError):
    """A model that cannot be loaded, run, scored or trained because of an error. The other models go on."""


def redact_urls(text: str) -> str:
    """Return a text with ``...`` for the credentials in its URLs."""
    return _CREDENTIALS.sub("...", text)


def has_credentials(text: str) -> bool:
    """Return whether a URL in a text contains credentials."""
    return _CREDENTIALS.search(text) is not None


_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that control a terminal or the direction of text, or break a line, and bytes that are not UTF-8."""


def escape_controls(text: str) -> str:
    """Return a text with control characters as escapes, so that a terminal, a figure or a file can show it."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def escape_surrogates(text: str) -> str:
    """Return a text with the bytes that are not characters (of a path, say) as escapes, so that UTF-8 can hold it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def escape_all(value: Any) -> Any:
    """Return plain data with `escape_controls` applied to every text in it, keys included."""
    if isinstance(value, str):
        return escape_controls(value)
    if isinstance(value, Mapping):
        return {escape_all(key): escape_all(item) for key, item in value.items()}
    if isinstance(value, list | tuple) and not isinstance(next(iter(value), None), int | float):
        return [escape_all(item) for item in value]
    return value


def one_line(text: str) -> str:
    """Return a text as one printable line of limited length, without credentials in URLs."""
    line = redact_urls(" ".join(text.split()))
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
    close = get_close_matches(name, names, n=limit)
    if close:
        return f"did you mean {', '.join(close)}?"
    if not names:
        return "there is none to choose from"
    return f"available: {', '.join(names[:10])}{', ...' if len(names) > 10 else ''}"


@contextmanager
def explain_model_failure(problem: str, setting: str) -> Iterator[None]:
    """Replace any error of a model's network inside the context by the reason why the model is left out.

    Errors that are not the network's pass unchanged: `InputError`, `NotApplicableError` and errors of files.

    Args:
        problem: What the network cannot do, in plain words, such as ``its network cannot take the images``.
        setting: Configuration key to lower if memory runs out, such as ``features.batch_size``.

    Raises:
        ModelFailureError: If the network raises an error, or memory runs out on the CPU or on an accelerator.
    """
    try:
        yield
    except (InputError, NotApplicableError, OSError):
        raise
    except (Exception, SystemExit) as error:  # networks of any library run here
        _log.debug("%s", problem, exc_info=True)
        # torch is not imported here, and has no error class for the memory of the CPU.
        is_torch_error = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
        if isinstance(error, MemoryError) or is_torch_error:
            raise ModelFailureError(f"it does not fit into memory: lower {setting}") from error
        raise ModelFailureError(f"{problem} ({first_line(error)})") from error


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message; for TorchScript, whose cause comes last, the last line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    line = lines[-1] if "TorchScript" in lines[0] else lines[0]
    # The message of a KeyError is only the key.
    return f"{type(error).__name__}: {line}" if isinstance(error, LookupError) else line


def raising_frame(error: BaseException) -> traceback.FrameSummary:
    """Return the line of code that raised an error; not that of wandb, which replaces ``sys.exit``."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame for frame in reversed(frames) if not frame.filename.endswith(_EXIT_HOOKS)), frames[-1])


_TYPES: Mapping[str, tuple[type, str]] = {
    "int": (Integral, "a whole number"),
    "float": (Real, "a number"),
    "bool": (bool, "true or false"),
    "str": (str, "text"),
}
"""Type and words for it, by the annotation of an option."""


def check_types(group: str, options: Any) -> None:
    """Raise `InputError` for the first option of a config group that has another type than its annotation says.

    Args:
        group: Name of the config group.
        options: Dataclass instance with the values. Fields of `_TYPES`, also in tuples or with None, are checked.
    """
    for field in fields(options):
        value = getattr(options, field.name)
        annotation = field.type.__name__ if type(field.type) is type else str(field.type)
        kind = annotation.removesuffix(" | None")
        is_list, is_optional = kind.startswith("tuple["), kind != annotation
        kind = kind.removeprefix("tuple[").removesuffix(", ...]")
        if kind not in _TYPES or (is_optional and value is None):
            continue
        expected, requirement = _TYPES[kind]
        items = value if isinstance(value, Collection) and not isinstance(value, str | Mapping) else (None,)
        if not all(_is_instance(item, expected) for item in (items if is_list else [value])):
            text = repr(value) if isinstance(value, str) else show_value(value)
            requirement = f"a list, each {requirement}" if is_list else requirement
            raise InputError(f"{group}.{field.name}={text}: need {requirement}{', or null' if is_optional else ''}")


def _is_instance(value: object, expected: type) -> bool:
    """Return whether a value is an instance of a type; a truth value is not a number."""
    return isinstance(value, expected) and (expected is bool or not isinstance(value, bool))


def check_options(group: str, options: Any, checks: Mapping[str, tuple[bool, str]]) -> None:
    """Raise `InputError` for the first option of a config group whose value is not allowed.

    Args:
        group: Name of the config group.
        options: Dataclass instance with the values.
        checks: By option, whether its value is allowed, and in words which are.
    """
    for name, (is_allowed, allowed) in checks.items():
        if not is_allowed:
            raise InputError(f"{group}.{name}={show_value(getattr(options, name))}: need {allowed}")


_PLACEHOLDERS = {"root": "FOLDER", "path": "FILE", "id": "OWNER/NAME", "names": "[NAME,NAME]"}
"""What stands for the value of a required option, by the last part of its key."""


def missing_value(key: str) -> InputError:
    """Return the error about a setting that needs a value and has none."""
    return InputError(f"{key} has no value: set {key}={_PLACEHOLDERS.get(key.rpartition('.')[2], '...')}")


def is_missing(key: str, value: object) -> bool:
    """Return whether a setting has no value: that of an option file, or an empty text for a path or an id."""
    return value == "???" or (value == "" and key.rpartition(".")[2] in _PLACEHOLDERS)


def show_value(value: object) -> str:
    """Return a value in the form of the command line: null, true, [1, 2]; an empty text as ''."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(show_value, value))}]"
    return str(value) or "''"


_MOST_DIGITS = 6


def format_apart(value: float, limit: float, form: Callable[[float, int], str]) -> tuple[str, str]:
    """Return a number and its limit as texts that differ, unless they are equal to many digits.

    Args:
        value: Number beyond the limit.
        limit: The limit.
        form: Returns the text of a number with so many further digits; it starts at 0.
    """
    pairs = ((form(value, digits), form(limit, digits)) for digits in range(_MOST_DIGITS))
    return next((pair for pair in pairs if pair[0] != pair[1]), (form(value, _MOST_DIGITS), form(limit, _MOST_DIGITS)))
