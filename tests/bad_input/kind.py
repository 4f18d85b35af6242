"""What a kind of bad input is, and how one is put before a command line in this process."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

from hydra.core.global_hydra import GlobalHydra


@dataclass(frozen=True)
class Kind:
    """One kind of bad input.

    Attributes
    ----------
    name
        In words.
    arguments
        Of the command line, paths being relative to a folder of its own.
    message
        What the one line on stderr must contain.
    build
        Puts the bad file into that folder.
    command
        Module of `studies`, or below ``transfer_exp``; the application itself by default.
    """

    name: str
    arguments: tuple[str, ...]
    message: str
    build: Callable[[Path], object] | None = None
    command: str = "__main__"

    @property
    def module(self) -> str:
        """The module whose ``main`` runs the command."""
        return self.command if self.command.startswith("studies.") else f"transfer_exp.{self.command}"

    @property
    def typed(self) -> str:
        """The command as a user types it."""
        return self.module.removesuffix(".__main__")


def complaint(kind: Kind, folder: Path) -> tuple[int, str]:
    """Return the exit code and what is on stderr when ``kind`` is put before its command line in an empty folder."""
    if kind.build is not None:
        kind.build(folder)
    module = import_module(kind.module)
    here, said, code = Path.cwd(), io.StringIO(), 0
    GlobalHydra.instance().clear()
    os.chdir(folder)
    try:
        typed = patch.object(sys, "argv", [kind.typed, *kind.arguments])
        with typed, redirect_stdout(io.StringIO()), redirect_stderr(said):
            code = module.main() or 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    finally:
        os.chdir(here)
    return code, said.getvalue()
