"""A sweep of grids of scores: where its rows are, and which targets failed."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from transfer_exp.report.sweep import failures
from transfer_exp.report.sweep_cells import collect


def show_scores(folder: Path, rows: Path, console: Console) -> list[str]:
    """Print where the rows of a sweep are, and return one line per grid that failed.

    Parameters
    ----------
    folder
        Of the sweep, where failed grids left their reasons.
    rows
        What the others wrote.
    console
        To print on.

    Raises
    ------
    InputError
        As `collect`.
    """
    if rows.is_file():
        console.print(f"wrote {rows}", markup=False, highlight=False, soft_wrap=True)
    return failures(collect(folder)) if any(folder.rglob("status.json")) else []
