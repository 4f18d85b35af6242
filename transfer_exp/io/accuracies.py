"""Accuracies in a CSV: read, checked, and brought to [0, 1]. Needs no network, so a table can be looked at quickly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from transfer_exp.errors import InputError, suggestion
from transfer_exp.io.csv import read_table

PUBLISHED = Path(__file__).parents[1] / "ground_truth" / "tables" / "published.csv"
_TEXT = ("model", "dataset", "regime", "pool", "protocol", "source", "sound")
_FULL_MARK = {"fraction": 1.0, "percent": 100.0}


def read_rows(path: Path, needed: Sequence[str]) -> pd.DataFrame:
    """Return the rows of a CSV with the needed columns; names are text.

    Raises
    ------
    InputError
        When the file is missing, is no CSV, or lacks a column.
    """
    if not path.is_file():
        raise InputError(f"no table {path}: give a CSV with columns {', '.join(needed)}")
    rows = read_table(path, dtype=dict.fromkeys(_TEXT, str))
    missing = [column for column in needed if column not in rows]
    if missing:
        raise InputError(f"{path} lacks the column {', '.join(missing)}: need {', '.join(needed)}")
    return rows


def rows_of(rows: pd.DataFrame, column: str, wanted: str | None, path: Path, option: str) -> pd.DataFrame:
    """Keep the rows with the wanted value of a column, which may go unsaid where there is a single one.

    Raises
    ------
    InputError
        When there is no such column or value, or several and none is wanted; ``option`` is what the user should set.
    """
    if column not in rows:
        if wanted is not None:
            raise InputError(f"{path} has no column {column}: leave {option} out")
        return rows
    values = sorted(set(rows[column].dropna()))
    if wanted is None and len(values) > 1:
        raise InputError(f"{path} has several values of {column}: set {option} to one of {', '.join(values[:20])}")
    if wanted is not None and wanted not in values:
        raise InputError(f"{path} has no {column} '{wanted}': {suggestion(wanted, values)}")
    return rows if wanted is None else rows[rows[column] == wanted]


def in_fractions(rows: pd.DataFrame, unit: str, path: Path, option: str) -> pd.DataFrame:
    """Return the rows with accuracies in [0, 1], whatever their unit.

    Raises
    ------
    InputError
        When ``unit`` is neither ``fraction`` nor ``percent``, or an accuracy is none in it, naming the line; ``option``
        is what sets the unit.
    """
    if unit not in _FULL_MARK:
        raise InputError(f"{option}={unit}: choose fraction or percent")
    accuracies = pd.to_numeric(rows["accuracy"], errors="coerce") / _FULL_MARK[unit]
    bad = rows[~np.isfinite(accuracies) | (accuracies < 0) | (accuracies > 1)]
    if len(bad):
        line, value = int(bad.index[0]) + 2, bad["accuracy"].iloc[0]
        raise InputError(f"{path} line {line}: accuracy {value} is not a {unit}: correct it or {option}")
    return rows.assign(accuracy=accuracies)


def is_unsound(rows: pd.DataFrame) -> pd.Series:
    """Return which rows say in a column ``sound``, where there is one, that they are not."""
    return rows["sound"] == "no" if "sound" in rows else pd.Series(False, index=rows.index)
