"""Results as rows, one per cell and model: the form in which numbers are kept for documents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from transfer_exp.errors import InputError
from transfer_exp.evaluation.ranking import Ranking
from transfer_exp.io.atomic import write_atomically
from transfer_exp.io.csv import numbers, read_table
from transfer_exp.report.record import read_record
from transfer_exp.results.cell import CellResult, ModelResult

_CELL = ("model_pool", "dataset", "perturbation", "metric", "ground_truth", "seed")
_MODEL = ("model", "score", "accuracy", "reason")


def write_rows(sweep: Path, path: Path) -> int:
    """Write every model of every finished cell below ``sweep`` as CSV, and return how many cells there were.

    Raises
    ------
    InputError
        When there is no finished cell.
    """
    cells = [read_record(record) for record in sorted(sweep.rglob("result.json"))]
    if not cells:
        raise InputError(f"no finished cell below {sweep}: give the folder that a sweep wrote")
    rows = [
        {**{key: cell.cell.get(key, "") for key in _CELL}, **{key: getattr(model, key) for key in _MODEL}}
        for cell in cells
        for model in cell.models
    ]
    frame = pd.DataFrame(rows, columns=[*_CELL, *_MODEL]).sort_values(list(_CELL), kind="stable")
    write_atomically(path, lambda temporary: frame.to_csv(temporary, index=False, lineterminator="\n"))
    return len(cells)


def read_rows(path: Path) -> Sequence[CellResult]:
    """Read cells back from rows, and evaluate them again with the default `Ranking`.

    Raises
    ------
    InputError
        When the file is missing or is no table of rows, or a score or accuracy is no finite number.
    """
    if not path.is_file():
        raise InputError(f"no rows {path}: write them with python -m transfer_exp.report SWEEP_DIR --rows {path}")
    frame = read_table(path, dtype=str, keep_default_na=False)
    missing = [key for key in (*_CELL, *_MODEL) if key not in frame]
    if missing:
        raise InputError(f"{path} lacks the column {', '.join(missing)}")
    for key in ("score", "accuracy"):
        frame[key] = numbers(frame[key], path)
    return [_cell({key: str(group[key].iloc[0]) for key in _CELL}, group) for _, group in frame.groupby(list(_CELL))]


def _cell(fields: dict[str, str], group: pd.DataFrame) -> CellResult:
    """Evaluate the rows of one cell."""
    models = tuple(
        ModelResult(row["model"], _number(row["score"]), _number(row["accuracy"]), row["reason"])
        for row in group.to_dict("records")
    )
    found = Ranking()(fields["metric"], models)
    return CellResult(fields, models, found.measures, found.null_band, found.tied, found.null_level)


def _number(value: float) -> float | None:
    return None if pd.isna(value) else float(value)
