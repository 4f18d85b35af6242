"""The accuracies that scores are put beside: those of one pool, by regime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from transfer_exp.errors import InputError
from transfer_exp.io.accuracies import in_fractions, is_unsound, read_rows, rows_of


@dataclass(frozen=True, eq=False)
class Truth:
    """Accuracies under one regime.

    Attributes
    ----------
    regime
        Its name; empty where the table has no such column.
    accuracies
        A row per dataset and a column per model, in [0, 1], mean over seeds; NaN where there is none.
    notes
        What was left out, in lines.
    """

    regime: str
    accuracies: pd.DataFrame
    notes: tuple[str, ...] = ()


def read_truths(
    path: Path,
    pool: str | None = None,
    regimes: Sequence[str] = (),
    unit: str = "fraction",
    unsound: bool = False,
) -> list[Truth]:
    """Read the accuracies of a pool.

    Parameters
    ----------
    path
        CSV with columns ``model``, ``accuracy``, and optionally ``dataset``, ``regime``, ``pool``, ``protocol``,
        ``sound``. Rows of one dataset and model are averaged.
    pool
        May go unsaid where there is one.
    regimes
        To read, in this order; by default every one that the pool has.
    unit, unsound
        As in `AccuracyTable`.

    Raises
    ------
    InputError
        When the table cannot be read, an accuracy is none, or a pool, regime or protocol is missing or ambiguous.
    """
    rows = rows_of(read_rows(path, ("model", "accuracy")), "pool", pool, path, "--pool")
    for column in ("dataset", "regime"):
        rows = rows.assign(**{column: rows[column].fillna("") if column in rows else ""})
    chosen = dict.fromkeys(regimes or rows["regime"])
    return [_truth(name, rows_of(rows, "regime", name, path, "--regime"), path, unit, unsound) for name in chosen]


def _truth(regime: str, rows: pd.DataFrame, path: Path, unit: str, unsound: bool) -> Truth:
    """Average the rows of one regime."""
    protocols = sorted(set(rows["protocol"].dropna())) if "protocol" in rows else []
    if len(protocols) > 1:
        raise InputError(f"{path} has several protocols of {regime}: keep the rows of one of {', '.join(protocols)}")
    rows = in_fractions(rows, unit, path, "--unit")
    doubtful = rows[is_unsound(rows)]
    if doubtful.empty or unsound:
        return Truth(regime, _averaged(rows))
    datasets = ", ".join(sorted(set(doubtful["dataset"])))
    note = f"{len(doubtful)} unsound accuracies left out ({datasets}): --unsound uses them"
    return Truth(regime, _averaged(rows.drop(doubtful.index)), (note,))


def _averaged(rows: pd.DataFrame) -> pd.DataFrame:
    """Average over seeds; rounded, so that means that differ in the order of adding alone are equal."""
    return rows.groupby(["dataset", "model"])["accuracy"].mean().round(12).unstack("model")
