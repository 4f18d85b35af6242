"""Scores of a grid as rows, one per cell with a column for each model: written, and read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from transfer_exp.errors import InputError
from transfer_exp.io.atomic import write_atomically
from transfer_exp.io.csv import numbers, read_table
from transfer_exp.store import FileLease

CELL = ["model_pool", "dataset", "splits", "images_per_class", "seed", "perturbation", "metric"]


def keep_scores(path: Path, rows: Sequence[Mapping[str, str]]) -> int:
    """Add rows to a table, in the place of those of the same cells, and return how many were given.

    Raises
    ------
    InputError
        When the file there is a table of other models.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = pd.DataFrame(rows, dtype=str)
    with FileLease(path.with_suffix(".lease")):
        if path.is_file() and rows:
            known = _read(path)
            if list(known.columns) != list(new.columns):
                raise InputError(f"{path} is a table of other models: set rows to another file")
            new = pd.concat([known, new]).drop_duplicates(CELL, keep="last")
        if rows:
            new = new.sort_values(CELL, kind="stable")
            write_atomically(path, lambda temporary: new.to_csv(temporary, index=False, lineterminator="\n"))
    return len(rows)


def read_scores(path: Path) -> pd.DataFrame:
    """Return the cells as text columns, and the scores of every model as numbers, NaN where it has none.

    Raises
    ------
    InputError
        When the file is missing or is no table of scores, one cell is scored twice, or a score is no finite number.
    """
    if not path.is_file():
        raise InputError(f"no scores {path}: write them with python -m transfer_exp -cn score_grid rows={path}")
    frame = _read(path)
    missing = [name for name in CELL if name not in frame]
    if missing:
        raise InputError(f"{path} lacks the column {', '.join(missing)}")
    again = frame.index[frame.duplicated(CELL)]
    if len(again):
        raise InputError(f"{path} line {again[0] + 2} scores a cell that an earlier line scores: keep one")
    for model in frame.columns[len(CELL) :]:
        frame[model] = numbers(frame[model], path)
    return frame


def _read(path: Path) -> pd.DataFrame:
    return read_table(path, dtype=str, keep_default_na=False)
