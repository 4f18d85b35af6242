"""Tables of ground-truth accuracies in CSV files: read, checked and converted to [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from transfer_exp.errors import InputError, suggestion
from transfer_exp.io.csv import read_table

PUBLISHED = Path(__file__).parents[1] / "ground_truth" / "tables" / "published.csv"
_TEXT_COLUMNS = ("model", "dataset", "regime", "pool", "protocol", "source", "measure", "sound")
_PERFECT = {"fraction": 1.0, "percent": 100.0}


def read_accuracy_rows(path: Path, required: Sequence[str]) -> pd.DataFrame:
    """Return the rows of a CSV with the required columns; names are read as text.

    Raises:
        InputError: If the file is missing, is not a CSV table, or lacks a column.
    """
    if not path.is_file():
        raise InputError(f"no table {path}: give a CSV with columns {', '.join(required)}")
    rows = read_table(path, dtype=dict.fromkeys(_TEXT_COLUMNS, str))
    missing = [column for column in required if column not in rows]
    if missing:
        raise InputError(f"{path} lacks the column {', '.join(missing)}: need {', '.join(required)}")
    return rows


def select_rows(rows: pd.DataFrame, column: str, value: str | None, path: Path, option: str) -> pd.DataFrame:
    """Return the rows with one value in a column.

    Args:
        rows: A table of `read_accuracy_rows`.
        column, value: The column and its value. None selects all rows, and requires that they agree in the column.
        path, option: The file and the option that sets the value, for messages.

    Raises:
        InputError: If the column or value does not exist, or several values exist and None is given.
    """
    if column not in rows:
        if value is not None:
            raise InputError(f"{path} has no column {column}: leave {option} out")
        return rows
    values = sorted(set(rows[column].dropna()))
    if value is None and len(values) > 1:
        raise InputError(f"{path} has several values of {column}: set {option} to one of {', '.join(values[:20])}")
    if value is not None and value not in values:
        raise InputError(f"{path} has no {column} '{value}': {suggestion(value, values)}")
    return rows if value is None else rows[rows[column] == value]


def to_fractions(rows: pd.DataFrame, unit: str, path: Path, option: str) -> pd.DataFrame:
    """Return the rows with accuracies in [0, 1].

    Raises:
        InputError: If ``unit`` is neither ``fraction`` nor ``percent``, or an accuracy is out of its range. The message
            names the line, and the ``option`` that sets the unit.
    """
    if unit not in _PERFECT:
        raise InputError(f"{option}={unit}: choose fraction or percent")
    accuracies = pd.to_numeric(rows["accuracy"], errors="coerce") / _PERFECT[unit]
    invalid = rows[~np.isfinite(accuracies) | (accuracies < 0) | (accuracies > 1)]
    if len(invalid):
        line, value = int(invalid.index[0]) + 2, invalid["accuracy"].iloc[0]
        raise InputError(f"{path} line {line}: accuracy {value} is not a {unit}: correct it or {option}")
    return rows.assign(accuracy=accuracies)


def is_unsound(rows: pd.DataFrame) -> pd.Series:
    """Return which rows have ``no`` in the optional column ``sound``."""
    return rows["sound"] == "no" if "sound" in rows else pd.Series(False, index=rows.index)
