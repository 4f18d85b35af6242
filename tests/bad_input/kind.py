"""One kind of bad input, and the run of its command line in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.command import run_command


@dataclass(frozen=True)
class Kind:
    """One kind of bad input.

    Attributes
    ----------
    name : str
        Description of the input in a few words.
    arguments : tuple of str
        Arguments of the command; paths are relative to its working directory.
    message : str
        Text that the one line on stderr must contain.
    build : callable, optional
        Writes the bad file into a folder.
    command : str
        Command as a user types it: ``transfer-exp COMMAND``, or ``python -m MODULE`` for a study.
    """

    name: str
    arguments: tuple[str, ...]
    message: str
    build: Callable[[Path], object] | None = None
    command: str = "transfer-exp"


def run_kind(kind: Kind, folder: Path) -> tuple[int, str]:
    """Run the command of a kind in an empty folder, and return its exit code and its stderr."""
    if kind.build is not None:
        kind.build(folder)
    process = run_command(folder, *kind.arguments, program=kind.command)
    return process.returncode, process.stderr
