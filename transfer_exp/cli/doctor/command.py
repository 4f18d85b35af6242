"""The command itself: every fact a line, and an exit code."""

from __future__ import annotations

import platform
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

from transfer_exp.cli.console import Parser
from transfer_exp.cli.doctor.connections import network, wandb_state
from transfer_exp.cli.doctor.fact import Fact
from transfer_exp.cli.doctor.folders import downloads, store_at
from transfer_exp.cli.doctor.machine import devices, libraries
from transfer_exp.errors import InputError, one_line
from transfer_exp.version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is found, and return the exit code.

    Parameters
    ----------
    arguments
        The command line behind ``doctor``; by default that of the process.

    Returns
    -------
    int
        0, or 1 after one line on stderr when something that every run needs is broken, or the arguments mean nothing.
    """
    parser = Parser(prog="transfer-exp doctor", description="Say what is installed, and what can be reached.")
    parser.add_argument("--store", type=Path, default=Path("outputs/store"), metavar="FOLDER")
    return parser.run(_look, arguments)


def _look(asked: Namespace) -> None:
    """Print every fact, and refuse when one is broken."""
    broken = 0
    for fact in _facts(asked.store.expanduser()):
        broken += fact.broken
        print(one_line(f"{'BROKEN ' if fact.broken else ''}{fact.name}: {fact.text}"), flush=True)
    if broken:
        raise InputError(f"{broken} thing(s) that a run needs are broken: see the lines that begin with BROKEN")


def _facts(store: Path) -> Iterator[Fact]:
    """Yield all facts, quick ones first."""
    yield Fact("transfer_exp", f"{__version__} in {Path(__file__).parents[2]}")
    yield Fact("Python", f"{platform.python_version()} in {sys.prefix}, {platform.platform()}")
    yield from libraries()
    yield from devices()
    yield store_at(store)
    yield from downloads()
    yield from network()
    yield from wandb_state(Path("outputs"))
