"""How every command ends, and how it says where things are and how large."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from transfer_exp.types import InputError
from transfer_exp.types.errors import one_line


def ending(work: Callable[[], object]) -> int:
    """Do the work of a command, and return its exit code: 0, or 1 after one line on stderr for what is bad input."""
    try:
        work()
    except (InputError, OSError) as error:
        print(f"transfer_exp: {one_line(str(error))}", file=sys.stderr)
        return 1
    return 0


class Parser(argparse.ArgumentParser):
    """A parser of which a wrong argument is bad input as any other."""

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


def from_here(place: Path | str) -> str:
    """Return a path relative to the working directory where that is shorter; anything else as it is."""
    path = Path(place)
    return str(path.relative_to(Path.cwd())) if path.is_absolute() and path.is_relative_to(Path.cwd()) else str(place)
