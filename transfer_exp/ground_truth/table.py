"""Ground truth that somebody measured already: a CSV of accuracies with a source column."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import pandas as pd

from transfer_exp.errors import InputError, suggestion
from transfer_exp.ground_truth.regime import Accuracy, Pairing
from transfer_exp.io.accuracies import in_fractions, is_unsound, read_rows, rows_of
from transfer_exp.progress import Track

_COLUMNS = ("model", "dataset", "accuracy", "source")


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
        return rows if self.unsound or unsound else rows[~is_unsound(rows)]


@lru_cache(maxsize=8)
def _rows(path: str, regime: str | None, pool: str | None, protocol: str | None, unit: str) -> pd.DataFrame:
    """Read the rows of one regime, pool and protocol, accuracies in [0, 1]."""
    place = Path(path).expanduser()
    rows = read_rows(place, _COLUMNS)
    for column, wanted in (("regime", regime), ("pool", pool), ("protocol", protocol)):
        rows = rows_of(rows, column, wanted, place, f"ground_truth.{column}")
    return in_fractions(rows, unit, place, "ground_truth.unit")
