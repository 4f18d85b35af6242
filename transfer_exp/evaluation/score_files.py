"""CSV files of scores in matrix form (a row per cell, a column per model) or long form (a row per cell and model).

A cell is one metric after one perturbation on one dataset, with further fields such as the seed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from transfer_exp.errors import InputError
from transfer_exp.io.accuracies import clean_names
from transfer_exp.io.csv import parse_numbers, read_table, require_columns, write_table
from transfer_exp.store import Lock, open_backend

CELL = ["model_pool", "dataset", "splits", "images_per_class", "seed", "perturbation", "metric"]
"""Columns of the matrix form that identify a cell; every other column is a model."""

_RESULT_COLUMNS = ("accuracy", "reason")
"""Columns of the long form, as this project writes it, that describe a model and not a cell."""

_FIRST_FIELDS = ("metric", "perturbation", "dataset")
"""First levels of the index of `read_scores`; the matrix form has them all."""
_log = logging.getLogger(__name__)


def update_scores(path: Path, rows: Sequence[Mapping[str, str]]) -> int:
    """Write rows into a table in matrix form, where they replace rows of the same cells; return their number.

    Args:
        path: CSV file, created if missing.
        rows: A mapping per cell, with the fields `CELL` followed by the score of every model.

    Raises:
        InputError: When the file contains other models.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows, dtype=str)
    with Lock(open_backend(path.parent), f"{path.stem}.lock"):
        if path.is_file() and rows:
            existing = read_table(path)
            if list(existing.columns) != list(table.columns):
                raise InputError(f"{path} is a table of other models: set rows to another file")
            table = pd.concat([existing, table]).drop_duplicates(CELL, keep="last")
        if rows:
            table = table.sort_values(CELL, kind="stable")
            write_table(path, table)
    return len(rows)


def read_scores(path: Path) -> pd.DataFrame:
    """Read scores in long or matrix form; larger scores are better.

    Args:
        path: CSV file. Long form: columns ``model`` and ``score``, and columns that identify the cell. ``accuracy``
            and ``reason`` are ignored, like properties of models and datasets (see `_unused_columns`); a warning names
            those. Matrix form, as `update_scores` writes it: the columns `CELL`, and one column per model. A score may
            be empty where a metric does not apply.

    Returns:
        A sorted row per cell and a column per model in the order of the file; NaN where a score is missing. The index
        has a text level per field of a cell: ``metric`` (by default the name of the file), ``perturbation`` if present,
        ``dataset`` (by default empty), then further fields.

    Raises:
        InputError: When the file is missing or has neither form, a score is not a finite number, or two rows have the
            same cell and model.
    """
    rows = _read_long_form(path)
    if not (rows["score"] != "").any():
        raise InputError(f"{path} has no score, in {len(rows)} rows: fill in those of two models or more")
    for name, default in (("dataset", ""), ("metric", path.stem)):
        rows = rows if name in rows else rows.assign(**{name: default})
    rows = rows.drop(columns=list(_RESULT_COLUMNS), errors="ignore")
    if unused := _unused_columns(rows):
        _log.warning("%s: %s distinguish(es) no two scores of a model on a dataset: not used", path, ", ".join(unused))
        rows = rows.drop(columns=unused)
    further = [str(name) for name in rows if name not in ("model", "score", *_FIRST_FIELDS)]
    fields = [name for name in _FIRST_FIELDS if name in rows] + further
    _check_duplicates(rows[[*fields, "model"]], path)
    _check_numbers(rows, fields, path)
    scores = pd.to_numeric(rows["score"].replace("", None)).astype(float)
    table = rows.assign(score=scores).set_index([*fields, "model"])["score"].unstack("model")
    return table[list(dict.fromkeys(rows["model"]))]


def _read_long_form(path: Path) -> pd.DataFrame:
    """Return a row per score; all columns are text, and the index is the line in the file."""
    if not path.is_file():
        raise InputError(f"no scores {path}: give a CSV with columns model and score, or the rows of a score_matrix")
    rows = read_table(path)
    if {"model", "score"} & set(rows):
        require_columns(rows, ("model", "score"), path)
        return clean_names(rows, path)
    if set(rows) >= set(_FIRST_FIELDS):
        fields = [name for name in CELL if name in rows]
        if len(fields) == rows.shape[1]:
            raise InputError(f"{path} has no column of a model: add one with the scores of each model")
        return clean_names(rows.melt(fields, var_name="model", value_name="score", ignore_index=False), path)
    names = ", ".join(map(str, list(rows)[:10]))
    raise InputError(
        f"{path} has neither the columns model and score nor those of a grid: {', '.join(CELL)}; it has {names}"
    )


def _unused_columns(rows: pd.DataFrame) -> list[str]:
    """Return the columns with several values that are properties of models or datasets, and not fields of a cell.

    Such a column has one value for each dataset or for each model. If the fields `CELL` alone distinguish all scores of
    a model, all other columns are properties. As fields, they would split the cells.
    """
    fields = [name for name in CELL if name in rows]
    varied = [str(name) for name in rows if name not in ("model", "score", "seed") and rows[name].nunique() > 1]
    further = [name for name in varied if name not in CELL]
    if further and not rows.duplicated([*fields, "model"]).any():
        by_model = further
    else:
        by_model = [name for name in further if rows.groupby("model")[name].nunique().max() == 1]
    by_dataset = [
        name for name in varied if name not in _FIRST_FIELDS and rows.groupby("dataset")[name].nunique().max() == 1
    ]
    return [name for name in varied if name in by_model or name in by_dataset]


def _check_duplicates(keys: pd.DataFrame, path: Path) -> None:
    """Raise when two rows score the same cell and model."""
    duplicates = keys[keys.duplicated()]
    if len(duplicates):
        key = duplicates.iloc[0]
        first = int(keys.index[(keys == key).all(axis=1)][0])
        raise InputError(f"{path} lines {first} and {duplicates.index[0]} both score {_format(key)}: keep one")


def _check_numbers(rows: pd.DataFrame, fields: list[str], path: Path) -> None:
    """Raise when a score is not a number, or not finite."""
    numbers = pd.to_numeric(rows["score"], errors="coerce").to_numpy(dtype=np.float64)
    invalid = np.flatnonzero(~np.isfinite(numbers) & (rows["score"] != "").to_numpy())
    if not len(invalid):
        return
    row, score = rows.iloc[invalid[0]], numbers[invalid[0]]
    if np.isnan(score) and row["score"].lower() != "nan":
        parse_numbers(rows["score"].iloc[invalid[:1]], path)
    further = _format(row[[name for name in fields if name != "metric"]])
    label = f"{row['metric']} ({further})" if further else row["metric"]
    raise InputError(
        f"metric {label} scored model {row['model']} {score}: look at its features, or leave the model out"
    )


def _format(row: pd.Series) -> str:
    """Return the nonempty fields of a row, such as ``dataset pets, model resnet18``."""
    return ", ".join(f"{name} {value}" for name, value in row.items() if value)
