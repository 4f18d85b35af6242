"""Run a command of the package in the process of the tests, which have imported torch and the other libraries already.

A test that is about processes, such as one of kills, takes `tests.processes`; one of the entry point starts a process.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from subprocess import CompletedProcess
from unittest.mock import patch

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from transfer_exp import progress

SMALL_DATASET = ("dataset=shapes", "dataset.train_per_class=4", "dataset.test_per_class=2")
"""Arguments for a dataset of ten classes that takes a moment to draw, to score and to train on."""


def run_command(
    folder: Path, *arguments: str, program: str = "transfer-exp", **environment: str
) -> CompletedProcess[str]:
    """Run a program like ``subprocess.run`` does, but in this process.

    Parameters
    ----------
    folder : Path
        Working directory of the program.
    *arguments : str
        Arguments of the program.
    program : str
        Program as a user types it: ``transfer-exp``, with a command or without, or ``python -m MODULE``.
    **environment : str
        Environment variables that the program has in addition to those of the tests.

    Returns
    -------
    CompletedProcess
        Exit code, stdout and stderr. An exception that is not caught leaves this function as it is.
    """
    main, argv = _find_main(program)
    stdout, stderr = io.StringIO(), io.StringIO()
    with _new_process(folder, [*argv, *arguments], environment), redirect_stdout(stdout), redirect_stderr(stderr):
        try:
            code = main() or 0
        except SystemExit as stop:
            code = stop.code or 0
    if not isinstance(code, int):
        stderr.write(f"{code}\n")
        code = 1
    return CompletedProcess([program, *arguments], code, stdout.getvalue(), stderr.getvalue())


def _find_main(program: str) -> tuple[Callable[[], int | None], list[str]]:
    """Return the function that runs a program, and the first entries of its ``sys.argv``."""
    parts = program.split()
    if parts[:2] != ["python", "-m"]:
        return import_module("transfer_exp.cli.main").main, parts
    spec = find_spec(parts[2])
    assert spec is not None
    name = parts[2] if spec.submodule_search_locations is None else f"{parts[2]}.__main__"
    return import_module(name).main, parts[2:]


@contextmanager
def _new_process(folder: Path, argv: list[str], environment: dict[str, str]) -> Iterator[None]:
    """Let Hydra, the environment and logging look as in a new process, and restore them at the end."""
    working_directory, root, package = Path.cwd(), logging.getLogger(), logging.getLogger("transfer_exp")
    handlers, levels, raises = list(root.handlers), (root.level, package.level), logging.raiseExceptions
    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None
    os.chdir(folder)
    try:
        with (
            patch.object(sys, "argv", argv),
            patch.dict(os.environ, {"COLUMNS": "100", **environment}),
            patch.object(progress, "_LINE_INTERVAL", 3600.0),  # a slow machine must not print more than a fast one
        ):
            yield
    finally:
        os.chdir(working_directory)
        for handler in set(root.handlers) - set(handlers):
            with suppress(OSError):  # a file on a full disk
                handler.close()
        root.handlers[:], logging.raiseExceptions = handlers, raises
        root.setLevel(levels[0])
        package.setLevel(levels[1])
        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = None
