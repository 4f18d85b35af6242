"""All cells of a sweep together: the table, the figure, the file, the page, and which cells failed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich.console import Console

from transfer_exp.io.atomic import write_atomically
from transfer_exp.report.html.write import write_page
from transfer_exp.report.sweep_cells import cell_fields, collect
from transfer_exp.report.sweep_figure import sweep_figure
from transfer_exp.report.sweep_table import change_table, sweep_table

__all__ = ["collect", "failures", "show_sweep", "sweep_figure", "sweep_table", "write_sweep"]


def write_sweep(folder: Path, frame: pd.DataFrame | None = None) -> list[Path]:
    """Write ``sweep.csv`` and ``sweep.png`` for the cells below ``folder``, into it, and return their paths.

    Parameters
    ----------
    folder
        Of the sweep.
    frame
        Its cells where they are collected already.

    Raises
    ------
    InputError
        As `collect`.
    """
    cells = collect(folder) if frame is None else frame
    table, figure = folder / "sweep.csv", folder / "sweep.png"
    write_atomically(table, lambda path: cells.to_csv(path, index=False))
    return [table, sweep_figure(cells, figure)]


def failures(frame: pd.DataFrame) -> list[str]:
    """Return one line per cell that did not finish: its fields, then why."""
    fields = cell_fields(frame)
    lines = []
    for row in frame[frame["state"] != "done"].to_dict("records"):
        name = " ".join(f"{field}={row[field]}" for field in fields if row[field] != "?") or row["folder"]
        lines.append(f"{name}: {' '.join(str(row['reason']).split()) or row['state']}")
    return lines


def show_sweep(folder: Path, console: Console) -> list[str]:
    """Aggregate a sweep: write its files, print its tables and their paths, and return the lines of `failures`.

    Raises
    ------
    InputError
        As `collect`.
    """
    frame = collect(folder)
    paths = [*write_sweep(folder, frame), write_page(folder, frame)]
    console.print(sweep_table(frame))
    change = change_table(frame)
    if change is not None:
        console.print()
        console.print(change)
    console.print()
    for path in paths:
        console.print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)
    return failures(frame)
