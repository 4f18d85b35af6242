"""A sweep of grids of scores: where its rows are, what they reproduce, and which targets failed."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from transfer_exp.report.reproduction.writing import write_reproduction
from transfer_exp.report.sweep import failures
from transfer_exp.report.sweep_cells import collect


def show_scores(folder: Path, rows: Path, published: str | None, console: Console) -> list[str]:
    """Print where the rows of a sweep and what follows from them are, and return one line per grid that failed.

    Parameters
    ----------
    folder
        Of the sweep, where failed grids left their reasons.
    rows
        What the others wrote.
    published
        The pool of published accuracies that the rows are held against, if any.
    console
        To print on.

    Raises
    ------
    InputError
        As `collect` and `write_reproduction`.
    """
    if rows.is_file():
        written = [rows, *(write_reproduction(rows, published) if published else [])]
        for path in written:
            console.print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)
    return failures(collect(folder)) if any(folder.rglob("status.json")) else []
