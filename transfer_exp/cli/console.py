"""Arguments and output that all commands share: parser, streams, printed sizes and paths, answers to file errors."""

from __future__ import annotations

import argparse
import errno
import io
import os
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, TextIO

from transfer_exp.errors import InputError, one_line, suggestion

_HELP_WIDTH = 79
_REQUIRED = "the following arguments are required: "
_INVALID_CHOICE = re.compile(
    r"argument (?P<argument>.+): invalid choice: '(?P<value>.*)' \(choose from (?P<choices>.*)\)"
)


class Parser(argparse.ArgumentParser):
    """Argument parser of a command that raises `InputError` for a wrong argument instead of ending the process.

    Args:
        examples: Command lines that the help shows last.
        **options: Options of `argparse.ArgumentParser`.
    """

    def __init__(self, *, examples: Sequence[str] = (), **options: Any) -> None:
        self._examples = examples
        epilog = "\n".join(["examples:", *(f"  {example}" for example in examples)]) if examples else None
        lines = str(options.pop("description", "")).splitlines()
        description = "\n".join(textwrap.fill(line, _HELP_WIDTH) for line in lines)
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(description=description, epilog=epilog, formatter_class=formatter, **options)

    def run(self, command: Callable[[argparse.Namespace], object], arguments: Sequence[str] | None = None) -> int:
        """Call a command with its parsed arguments (by default those of the process), and return the exit code.

        The exit code is 0, or 1 after one line on stderr about bad input or a file that cannot be used.
        """
        try:
            command(self.parse_args(arguments))
        except (InputError, OSError) as error:
            text = one_line(str(error))
            if isinstance(error, OSError) and error.errno in ACCESS_ERRORS:
                text = cannot_write(error, "name another place")
            elif isinstance(error, OSError) and error.filename is not None:
                text = one_line(f"cannot use {error.filename} ({error.strerror}): name another place")
            print(f"transfer_exp: {text}", file=sys.stderr)
            return 1
        return 0

    def error(self, message: str) -> NoReturn:
        """Raise `InputError` with the message of argparse, the nearest option or choice, and the command for help."""
        invalid = _INVALID_CHOICE.fullmatch(message)
        if invalid is not None:
            choices = [choice.strip("' ") for choice in invalid["choices"].split(",")]
            advice = f"{suggestion(invalid['value'], choices)} (see {self.prog} --help)"
            raise InputError(f"{invalid['argument']}: there is no '{invalid['value']}': {advice}")
        if message.startswith(_REQUIRED) and self._examples:
            missing = message.removeprefix(_REQUIRED)
            raise InputError(
                f"the argument {missing} is missing: write, for example, {self._examples[0]} (see {self.prog} --help)"
            )
        first_word = message.removeprefix("unrecognized arguments: ").split(" ")[0].partition("=")[0]
        close = get_close_matches(first_word, self._option_string_actions, n=1, cutoff=0.7)
        commands = [action.metavar for action in self._actions if isinstance(action, argparse._SubParsersAction)]
        advice = f"did you mean {close[0]}? See" if close else "see"
        helps = [f"{self.prog} --help", *(f"{self.prog} {command} --help" for command in commands)]
        raise InputError(f"{message}: {advice} {' or '.join(helps)}")


class SafeStream:
    """Text stream that discards output when nobody reads it any more, as after ``| head``, instead of raising."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text, or discard it if the pipe is closed; return its length."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._discard()
            return len(text)

    def flush(self) -> None:
        """Flush the stream, or discard its buffer if the pipe is closed."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._discard()

    def _discard(self) -> None:
        """Send the buffer and all later output to the null device."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


def make_output_safe() -> None:
    """Let stdout and stderr escape characters outside of their encoding, and discard output after a closed pipe."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
            setattr(sys, name, SafeStream(stream))


def format_bytes(count: int) -> str:
    """Return a number of bytes with three significant digits and the unit that fits, for example ``3.14 MB``."""
    size, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while size >= 999.5 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:.3g} {units[0]}"


def relative_path(path: Path | str) -> str:
    """Return a path relative to the working directory if it is absolute and inside, and unchanged otherwise."""
    absolute = Path(path)
    is_inside = absolute.is_absolute() and absolute.is_relative_to(Path.cwd())
    return str(absolute.relative_to(Path.cwd())) if is_inside else str(path)


def is_allowed(path: str | os.PathLike[str], mode: int) -> bool:
    """Return whether this process may access a file or folder; ``mode`` is that of `os.access`, such as ``os.R_OK``."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


ACCESS_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
"""Numbers of the errors that `cannot_write` explains: full disk, quota, read-only disk, no permission."""


def cannot_write(error: OSError, advice: str = "name another folder with --out FOLDER") -> str:
    """Return a one-line message for an error of `ACCESS_ERRORS`.

    The message names the path that cannot be written, and gives ``advice``. If the path or a folder above it cannot be
    read, the message names that one instead.
    """
    if isinstance(error, PermissionError) and error.filename is not None:
        path = Path(os.fsdecode(error.filename))
        # The outermost folder that cannot be entered, or the file itself.
        unreadable = [f for f in reversed(path.parents) if f.is_dir() and not is_allowed(f, os.X_OK)]
        unreadable += [path] if os.path.lexists(path) and not is_allowed(path, os.R_OK) else []
        if unreadable:
            return one_line(
                f"cannot read {unreadable[0]} ({error.strerror}): give yourself access, or name another file"
            )
    room = "make room, or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return one_line(f"cannot write to {error.filename or 'the disk'} ({error.strerror}): {room}{advice}")
