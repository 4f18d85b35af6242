"""Ground truth that somebody measured already: a CSV of accuracies with a source column."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from transfer_exp.ground_truth.regime import Accuracy, Pairing
from transfer_exp.types import InputError, Track, suggestion

_COLUMNS = ("model", "dataset", "accuracy", "source")
_TEXT = ("model", "dataset", "regime", "pool", "protocol", "source", "sound")
_FULL_MARK = {"fraction": 1.0, "percent": 100.0}


@dataclass(frozen=True)
class AccuracyTable:
    """Looks accuracies up by model and dataset; several rows of one cell (seeds, say) are averaged.

    Attributes
    ----------
    path
        CSV with columns ``model``, ``dataset``, ``accuracy``, ``source``, and optionally ``regime``, ``pool``,
        ``protocol`` and ``sound``; ``accuracies.csv`` in the store is one.
    regime, pool, protocol
        Rows to keep. Each may be None where the table has a single one (or no such column).
    unit
        ``fraction`` for accuracies in [0, 1], ``percent`` for [0, 100].
    unsound
        Use rows whose column ``sound``, where there is one, says no.
    """

    trains: ClassVar[bool] = False

    path: str
    regime: str | None = None
    pool: str | None = None
    protocol: str | None = None
    unit: str = "fraction"
    unsound: bool = False

    def __call__(self, pairing: Pairing, track: Track) -> Accuracy | None:
        """Return the accuracy of a model, or None where the table lacks it.

        Raises
        ------
        InputError
            When the table cannot be read, lacks a column or the dataset, or its rows are ambiguous.
        """
        rows = self._rows()
        of_dataset = rows[rows["dataset"] == pairing.dataset.name]
        if of_dataset.empty and not self.unsound and pairing.dataset.name in set(self._rows(True)["dataset"]):
            raise InputError(
                f"{self.path} has only unsound rows for dataset '{pairing.dataset.name}': leave it out, or set "
                "ground_truth.unsound=true"
            )
        if of_dataset.empty:
            hint = suggestion(pairing.dataset.name, set(rows["dataset"]))
            raise InputError(f"{self.path} has no rows for dataset '{pairing.dataset.name}': {hint}")
        found = of_dataset[of_dataset["model"] == pairing.name]
        if found.empty:
            return None
        return Accuracy(float(found["accuracy"].mean()), "accuracy", source="; ".join(sorted(set(found["source"]))))

    def elsewhere(self, model: str, dataset: str) -> dict[str, float]:
        """Return the accuracies of ``model`` on every dataset of the table but ``dataset``, by name, in [0, 1].

        Raises
        ------
        InputError
            As the call, but for a missing dataset.
        """
        rows = self._rows()
        others = rows[(rows["model"] == model) & (rows["dataset"] != dataset)]
        return {str(name): float(value) for name, value in others.groupby("dataset")["accuracy"].mean().items()}

    def _rows(self, unsound: bool = False) -> pd.DataFrame:
        rows = _rows(self.path, self.regime, self.pool, self.protocol, self.unit)
        keep = "sound" not in rows or self.unsound or unsound
        return rows if keep else rows[rows["sound"] != "no"]


@lru_cache(maxsize=8)
def _rows(path: str, regime: str | None, pool: str | None, protocol: str | None, unit: str) -> pd.DataFrame:
    """Read the rows of one regime, pool and protocol, accuracies in [0, 1]."""
    if unit not in _FULL_MARK:
        raise InputError(f"ground_truth.unit={unit}: choose fraction or percent")
    rows = _read(Path(path).expanduser())
    for column, wanted in (("regime", regime), ("pool", pool), ("protocol", protocol)):
        rows = _kept(rows, column, wanted, path)
    accuracies = pd.to_numeric(rows["accuracy"], errors="coerce") / _FULL_MARK[unit]
    bad = rows[~np.isfinite(accuracies) | (accuracies < 0) | (accuracies > 1)]
    if len(bad):
        line, value = int(bad.index[0]) + 2, bad["accuracy"].iloc[0]
        raise InputError(f"{path} line {line}: accuracy {value} is not a {unit}: correct it or ground_truth.unit")
    return rows.assign(accuracy=accuracies)


def _read(path: Path) -> pd.DataFrame:
    """Read the CSV and check its columns."""
    if not path.is_file():
        raise InputError(f"no table {path}: set ground_truth.path to a CSV with columns {', '.join(_COLUMNS)}")
    try:
        rows = pd.read_csv(path, dtype=dict.fromkeys(_TEXT, str))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a CSV table: {error}") from error
    missing = [column for column in _COLUMNS if column not in rows]
    if missing:
        raise InputError(f"{path} lacks the column {', '.join(missing)}: need {', '.join(_COLUMNS)}")
    return rows


def _kept(rows: pd.DataFrame, column: str, wanted: str | None, path: str) -> pd.DataFrame:
    """Keep the rows with the wanted value of a column, which may go unsaid where there is a single one."""
    if column not in rows:
        if wanted is not None:
            raise InputError(f"{path} has no column {column}: leave ground_truth.{column} out")
        return rows
    values = sorted(set(rows[column].dropna()))
    if wanted is None and len(values) > 1:
        raise InputError(f"{path} has several values of {column}: set ground_truth.{column} to one of {values[:8]}")
    if wanted is not None and wanted not in values:
        raise InputError(f"{path} has no {column} '{wanted}': {suggestion(wanted, values)}")
    return rows if wanted is None else rows[rows[column] == wanted]
