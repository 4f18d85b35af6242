"""How every command ends, and how it says where things are and how large."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from transfer_exp.errors import InputError, one_line

if TYPE_CHECKING:
    from rich.console import Console


class Parser(argparse.ArgumentParser):
    """The arguments of a command; a wrong one is bad input as any other."""

    def run(self, work: Callable[[argparse.Namespace], object], arguments: Sequence[str] | None = None) -> int:
        """Do the work of the command with its arguments, and return the exit code.

        Parameters
        ----------
        work
            Given the arguments.
        arguments
            The command line without the program's name; by default that of the process.

        Returns
        -------
        int
            0, or 1 after one line on stderr for wrong arguments, for other bad input, and where the disk refuses.
        """
        try:
            work(self.parse_args(arguments))
        except (InputError, OSError) as error:
            print(f"transfer_exp: {one_line(str(error))}", file=sys.stderr)
            return 1
        return 0

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments.

        Raises
        ------
        InputError
            Always.
        """
        raise InputError(f"{message}: see {self.prog} --help")


def in_bytes(count: int) -> str:
    """Return a size in bytes with three digits and a unit, as ``3.14 MB``."""
    size, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while size >= 999.5 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:.3g} {units[0]}"


def show_places(console: Console, places: Iterable[Path | str | None]) -> None:
    """Print where what was written is, a line for each that is not None."""
    for place in places:
        if place is not None:
            console.print(f"  {from_here(place)}", style="dim", soft_wrap=True)


def from_here(place: Path | str) -> str:
    """Return a path relative to the working directory where that is shorter; anything else as it is."""
    path = Path(place)
    return str(path.relative_to(Path.cwd())) if path.is_absolute() and path.is_relative_to(Path.cwd()) else str(place)
