"""Stages that run no job: what a command line will take, and what there is of it so far."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from transfer_exp.errors import InputError


def plan(arguments: Sequence[str], conf: Path) -> None:
    """Print what the jobs of a command line will take, on this device and one after the other.

    Raises
    ------
    InputError
        For bad input of any kind.
    """
    from rich.console import Console

    from transfer_exp.cli.overrides import CommandLine
    from transfer_exp.cli.plan import Planner
    from transfer_exp.cli.plan_table import show_plan

    planner = Planner(CommandLine(arguments, conf))
    show_plan(planner.work(), planner.pace, planner.left_out, Console(highlight=False))


def report_again(arguments: Sequence[str], conf: Path) -> None:
    """Show what there is so far of a sweep whose folder is given, as the sweep does at its end.

    Raises
    ------
    InputError
        When no folder is given.
    """
    from transfer_exp.cli.report import main

    key = "hydra.sweep.dir="
    folders = [argument.removeprefix(key) for argument in arguments if argument.startswith(key)]
    if not folders:
        raise InputError(f"stage=report needs to know which sweep: add {key}FOLDER")
    sys.exit(main([folders[-1]]))
