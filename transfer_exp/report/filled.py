"""What the jobs of a stage found in the store and what they put there."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rich.console import Console

from transfer_exp.report.sweep_cells import read_status
from transfer_exp.types import InputError


def show_filled(folder: Path, console: Console) -> list[str]:
    """Print how much the jobs below a folder found and computed, and return one line for each that failed.

    Raises
    ------
    InputError
        When no job left word there, or word that cannot be read.
    """
    found: Counter[tuple[str, bool]] = Counter()
    failed, jobs = [], 0
    for path in sorted(folder.glob("*/status.json")):
        status = read_status(path)
        jobs += 1
        if status.get("state") == "failed":
            name = " ".join(f"{key}={value}" for key, value in status.get("cell", {}).items())
            failed.append(f"{name}: {' '.join(str(status.get('reason', '')).split())}")
        for part in status.get("found", ()):
            try:
                found[part["what"], part["was_there"]] += part["count"]
            except (KeyError, TypeError) as error:
                raise InputError(f"{path} is not the status of a job: delete it, or run the job again") from error
    if not jobs:
        raise InputError(f"no job left word below {folder}: run the stage first")
    for what in sorted({what for what, _ in found}):
        there, new = found[what, True], found[what, False]
        console.print(f"{what}: {there} read from the store, {new} computed", highlight=False)
    console.print(f"{jobs} jobs, {len(failed)} failed", highlight=False)
    return failed
