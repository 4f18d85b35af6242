"""Output of a result that is already written: each file that shows it may fail without the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from transfer_exp.errors import IncompleteOutputError, first_line

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Output:
    """Paths of what shows a result, and the problems of the steps that write it: each step may fail alone."""

    def __init__(self, records: Sequence[Path]) -> None:
        self.records, self.written, self.problems = records, list[Path | str](records), list[str]()

    def add(self, name: str, write: Callable[[], T]) -> T | None:
        """Call a function that writes a file or an entry and returns its path; return None and go on if it fails."""
        try:
            path = write()
        except Exception as error:  # hours of computing must not be lost to a library that draws
            _log.debug("%s", name, exc_info=True)
            reason = error.strerror if isinstance(error, OSError) else None
            self.problems.append(f"{name} ({reason or first_line(error)})")
            return None
        self.written += [path] if isinstance(path, Path | str) else []
        return path

    def finish(self) -> list[Path | str]:
        """Return the paths; `IncompleteOutputError` if a step failed."""
        if self.problems:
            raise self.error
        return self.written

    @property
    def error(self) -> IncompleteOutputError:
        """The error about the steps that failed."""
        return IncompleteOutputError(self.records, self.problems, self.written)
