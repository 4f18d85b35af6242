"""Scores made elsewhere: a CSV with a row per score, or the one of a grid with a column per model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from transfer_exp.errors import InputError
from transfer_exp.evaluation.ranking import Ranking
from transfer_exp.evaluation.score_rows import CELL
from transfer_exp.io.csv import read_table
from transfer_exp.results.cell import ModelResult

NOT_OF_A_CELL = ("accuracy", "reason")
"""Columns of rows that this project writes which tell of the model, not of the cell."""

_FIRST = ("metric", "perturbation", "dataset")
"""Fields in the order in which rows are read; a grid has them all."""


def read_score_file(path: Path) -> pd.DataFrame:
    """Read scores of either form; larger is better.

    Parameters
    ----------
    path
        With columns ``model`` and ``score``, every other column (but `NOT_OF_A_CELL`) saying which cell a row is of;
        or as `keep_scores` writes it, all columns but `CELL` being models. A score may be empty, where a metric does
        not apply.

    Returns
    -------
    DataFrame
        A row per cell and a column per model, both sorted; NaN where there is no score. The index has a level for
        each field of a cell as text: ``metric`` (the name of the file where it is unsaid), ``perturbation`` where there
        is one, ``dataset`` (empty where it is unsaid), then the others as they come.

    Raises
    ------
    InputError
        When the file is missing or has neither form, a score is no finite number, or two rows tell of one cell and
        model.
    """
    rows = _rows(path)
    for name, unsaid in (("dataset", ""), ("metric", path.stem)):
        rows = rows if name in rows else rows.assign(**{name: unsaid})
    others = [str(name) for name in rows if name not in ("model", "score", *NOT_OF_A_CELL, *_FIRST)]
    fields = [name for name in _FIRST if name in rows] + others
    _refuse_twice(rows[[*fields, "model"]], path)
    _refuse_no_number(rows, fields, path)
    scores = pd.to_numeric(rows["score"].str.strip().replace("", None))
    return rows.assign(score=scores.astype(float)).set_index([*fields, "model"])["score"].unstack("model")


def _rows(path: Path) -> pd.DataFrame:
    """Return a row per score, all columns text, with the line of the file as index."""
    if not path.is_file():
        raise InputError(f"no scores {path}: give a CSV with columns model and score, or the rows of a score_grid")
    rows = read_table(path, dtype=str, keep_default_na=False)
    rows.index += 2
    if {"model", "score"} <= set(rows):
        return rows
    if set(rows) >= set(_FIRST) and not {"model", "score"} & set(rows):
        fields = [name for name in CELL if name in rows]
        return rows.melt(fields, var_name="model", value_name="score", ignore_index=False)
    raise InputError(f"{path} has neither the columns model and score nor those of a grid: {', '.join(CELL)}")


def _refuse_twice(names: pd.DataFrame, path: Path) -> None:
    """Refuse two scores of one cell and model."""
    again = names[names.duplicated()]
    if len(again):
        first = int(names.index[(names == again.iloc[0]).all(axis=1)][0])
        raise InputError(f"{path} lines {first} and {again.index[0]} both score {_named(again.iloc[0])}: keep one")


def _refuse_no_number(rows: pd.DataFrame, fields: list[str], path: Path) -> None:
    """Refuse a score that is not finite in the words of `Ranking`, and one that is no number at all."""
    text = rows["score"].str.strip()
    odd = rows[~np.isfinite(pd.to_numeric(text, errors="coerce")) & (text != "")]
    if odd.empty:
        return
    row = odd.iloc[0]
    try:
        score = float(row["score"])
    except ValueError:
        raise InputError(
            f"{path} line {odd.index[0]}: score '{row['score']}' is no number: correct or empty it"
        ) from None
    rest = _named(row[[name for name in fields if name != "metric"]])
    Ranking()(f"{row['metric']} ({rest})" if rest else str(row["metric"]), [ModelResult(str(row["model"]), score)])


def _named(row: pd.Series) -> str:
    """Return the fields of a row that say something, as ``dataset pets, model resnet18``."""
    return ", ".join(f"{name} {value}" for name, value in row.items() if value)
