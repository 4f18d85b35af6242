"""Reports at the end of a sweep: of scored cells, of score matrices, or of jobs that fill the store (precompute)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from rich.console import Console

from transfer_exp.errors import IncompleteOutputError, InputError
from transfer_exp.io.csv import write_table
from transfer_exp.report.html.page import write_page
from transfer_exp.report.published_comparison import write_published_comparison
from transfer_exp.report.regime_table import regime_frame, regime_table
from transfer_exp.report.sweep_cells import cell_fields, collect, read_status, read_statuses
from transfer_exp.report.sweep_figure import sweep_figure
from transfer_exp.report.sweep_table import change_table, shots_frame, shots_table, sweep_table
from transfer_exp.report.write_run import Output
from transfer_exp.results.folder import STATUS


def show_sweep(folder: Path, console: Console) -> tuple[list[str], IncompleteOutputError | None]:
    """Write ``sweep.csv``, ``sweep.png`` and ``report.html``, and print the tables.

    Sweeps over regimes or shots have ``regimes.csv`` or ``shots.csv``, too. A sweep that filled the store has no file,
    only the counts of `show_precompute`. The file ``sweep.csv`` is written first, so it exists even if another one
    cannot be written.

    Returns the `failures` of cells, and the error about files that cannot be written, or None.

    Raises `InputError` if the folder holds no cell, or a record cannot be read.
    """
    frame = collect(folder)
    # "?" is a field that a job lacks: jobs that only fill the store have no metric.
    if not frame["metric"].ne("?").any() and any("found" in read_status(path) for path in folder.glob(f"*/{STATUS}")):
        return show_precompute(folder, console), None
    output = Output([write_table(folder / "sweep.csv", frame)])
    regimes, shots = regime_frame(folder, frame), shots_frame(frame)
    for table in (sweep_table(frame), change_table(frame), regime_table(regimes), shots_table(shots)):
        if table is not None:
            console.print(table)
            console.print()
    if not regimes.empty:
        output.add("table of regimes", lambda: write_table(folder / "regimes.csv", regimes))
    if not shots.empty:
        output.add("table of shots", lambda: write_table(folder / "shots.csv", shots))
    output.add("figure", lambda: sweep_figure(frame, folder / "sweep.png"))
    output.add("page", lambda: write_page(folder, frame))
    _print_paths(output.written, console)
    return failures(frame), output.problem


def failures(frame: pd.DataFrame) -> list[str]:
    """Return one line for each cell of a frame of `collect` that did not finish everything: its fields, the reason."""
    fields = cell_fields(frame)
    lines = []
    for row in frame[(frame["state"] != "done") | (frame["reason"] != "")].to_dict("records"):
        name = " ".join(f"{field}={row[field]}" for field in fields if row[field] != "?") or row["folder"]
        lines.append(f"{name}: {' '.join(str(row['reason']).split()) or row['state']}")
    return lines


def show_score_matrix(folder: Path, rows: Path, published: str | None, console: Console) -> list[str]:
    """Print where the rows of a sweep of score matrices are, and write their comparison with published results.

    A score matrix has the scores of several metrics after several perturbations on one dataset.

    Args:
        folder: Folder of the sweep.
        rows: CSV file that the jobs added their scores to.
        published: Name of the pool of published accuracies to compare the rows with, or None.
        console: Console to print on.

    Returns:
        `failures` of the jobs.

    Raises:
        InputError: If a status or the rows cannot be read, or the rows do not match the published pool.
    """
    if rows.is_file():
        _print_paths([rows, *(write_published_comparison(rows, published) if published else [])], console)
    return failures(collect(folder)) if any(folder.rglob(STATUS)) else []


def show_precompute(folder: Path, console: Console) -> list[str]:
    """Print how much the jobs of a precompute sweep read from the store and computed; return a line per failed job.

    Raises `InputError` if the folder has no job, or a status cannot be read.
    """
    counts: Counter[tuple[str, bool]] = Counter()
    failed = []
    statuses = read_statuses(folder)
    for path, status in statuses.items():
        if status.get("state") == "failed":
            name = " ".join(f"{key}={value}" for key, value in status.get("cell", {}).items())
            failed.append(f"{name}: {' '.join(str(status.get('reason', '')).split())}")
        for entry in status.get("found", ()):
            try:
                counts[entry["what"], entry["was_there"]] += entry["count"]
            except (KeyError, TypeError) as error:
                raise InputError(f"{path} is not the status of a job: delete it, or run the job again") from error
    for what in sorted({what for what, _ in counts}):
        n_read, n_computed = counts[what, True], counts[what, False]
        console.print(f"{what}: {n_read} read from the store, {n_computed} computed", highlight=False)
    console.print(f"{len(statuses)} jobs, {len(failed)} failed", highlight=False)
    return failed


def _print_paths(paths: Iterable[Path | str], console: Console) -> None:
    for path in paths:
        console.print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)
