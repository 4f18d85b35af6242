"""What the jobs of a stage found in the store and what they put there."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from rich.console import Console

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
        try:
            status = json.loads(path.read_text(encoding="utf-8"))
            jobs += 1
            if status["state"] == "failed":
                name = " ".join(f"{key}={value}" for key, value in status["cell"].items())
                failed.append(f"{name}: {' '.join(status['reason'].split())}")
            for part in status.get("found", ()):
                found[part["what"], part["was_there"]] += part["count"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"cannot read {path} ({error}): delete it, or run the job again") from error
    if not jobs:
        raise InputError(f"no job left word below {folder}: run the stage first")
    for what in sorted({what for what, _ in found}):
        there, new = found[what, True], found[what, False]
        console.print(f"{what}: {there} read from the store, {new} computed", highlight=False)
    console.print(f"{jobs} jobs, {len(failed)} failed", highlight=False)
    return failed
