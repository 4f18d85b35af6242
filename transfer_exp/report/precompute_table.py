"""What the jobs of a stage found in the store and what they put there."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from transfer_exp.errors import InputError
from transfer_exp.report.sweep_cells import read_status


def show_filled(folder: Path, console: Console) -> list[str]:
    """Print how much the jobs below a folder found and computed, and return one line for each that failed.

    Raises
    ------
    InputError
        When no job left word there, or word that cannot be read.
    """
    found: Counter[tuple[str, bool]] = Counter()
    failed = []
    statuses = _statuses(folder)
    for path, status in statuses.items():
        if status.get("state") == "failed":
            name = " ".join(f"{key}={value}" for key, value in status.get("cell", {}).items())
            failed.append(f"{name}: {' '.join(str(status.get('reason', '')).split())}")
        for part in status.get("found", ()):
            try:
                found[part["what"], part["was_there"]] += part["count"]
            except (KeyError, TypeError) as error:
                raise InputError(f"{path} is not the status of a job: delete it, or run the job again") from error
    for what in sorted({what for what, _ in found}):
        there, new = found[what, True], found[what, False]
        console.print(f"{what}: {there} read from the store, {new} computed", highlight=False)
    console.print(f"{len(statuses)} jobs, {len(failed)} failed", highlight=False)
    return failed


def frame_of_jobs(folder: Path) -> pd.DataFrame:
    """Return a row for each job below a folder: the fields of its cell, ``state``, ``reason``, ``folder``.

    Raises
    ------
    InputError
        As `show_filled`.
    """
    rows = [
        {
            **status.get("cell", {}),
            **{key: str(status.get(key, "")) for key in ("state", "reason")},
            "folder": path.parent.name,
        }
        for path, status in _statuses(folder).items()
    ]
    return pd.DataFrame(rows)


def _statuses(folder: Path) -> dict[Path, dict[str, Any]]:
    """Return how each job ended, by the file that says so."""
    found = {path: read_status(path) for path in sorted(folder.glob("*/status.json"))}
    if not found:
        raise InputError(f"no job left word below {folder}: run the stage first")
    return found
