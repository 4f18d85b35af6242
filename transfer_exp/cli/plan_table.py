"""What a sweep will take, in the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from transfer_exp.results.stage_work import Work


def show_plan(
    stages: Mapping[str, Work], pace: Mapping[str, float], left_out: Mapping[str, str], console: Console
) -> None:
    """Print the work of each stage, what was left out of it, and what it rests on.

    Parameters
    ----------
    stages
        Work by stage.
    pace
        Measured seconds an image, by model.
    left_out
        Why a model or a target is not counted.
    console
        To print on.
    """
    table = Table("stage", box=SIMPLE_HEAD)
    for heading in ("jobs", "in the store", "passes of an image", "in all", "longest job", "to store"):
        table.add_column(heading, justify="right")
    for stage, work in stages.items():
        table.add_row(stage, f"{work.jobs:,}", *([] if work.done is None else _cells(work, work.done)))
    console.print(table)
    for name, reason in left_out.items():
        console.print(f"{name} is left out: {reason}", markup=False, soft_wrap=True, style="yellow")
    if pace:
        low, high = 1000 * min(pace.values()), 1000 * max(pace.values())
        console.print(f"{len(pace)} models timed here: {low:.1f} to {high:.1f} ms an image")


def _cells(work: Work, done: int) -> list[str]:
    storage = f"{work.storage / 1e6:,.1f} MB" if work.storage else ""
    return [f"{done:,}", f"{work.passes:,}", _duration(work.seconds), _duration(work.longest), storage]


def _duration(seconds: float) -> str:
    """Return a time in the unit in which it is easily read."""
    for unit, size in {"h": 3600, "min": 60}.items():
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} s"
