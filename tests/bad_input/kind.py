"""One kind of bad input, and the run of its command line in this process."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

from hydra.core.global_hydra import GlobalHydra


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
    main, arguments = _find_main(kind.command)
    working_directory, stderr, code = Path.cwd(), io.StringIO(), 0
    GlobalHydra.instance().clear()
    os.chdir(folder)
    try:
        argv = patch.object(sys, "argv", [*arguments, *kind.arguments])
        with argv, redirect_stdout(io.StringIO()), redirect_stderr(stderr):
            code = main() or 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    finally:
        os.chdir(working_directory)
    return code, stderr.getvalue()


def _find_main(command: str) -> tuple[Callable[[], int | None], list[str]]:
    """Return the function that runs a command, and the first entries of its ``sys.argv``."""
    parts = command.split()
    if parts[:2] != ["python", "-m"]:
        return import_module("transfer_exp.__main__").main, parts
    spec = find_spec(parts[2])
    assert spec is not None
    name = parts[2] if spec.submodule_search_locations is None else f"{parts[2]}.__main__"
    return import_module(name).main, parts[2:]
