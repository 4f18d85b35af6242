"""Accuracies read from a CSV table: a table of the user's, or the published accuracies in this package."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pandas as pd

from transfer_exp.errors import InputError, suggestion
from transfer_exp.ground_truth.regime import Accuracy
from transfer_exp.io.accuracies import (
    PUBLISHED,
    check_repetitions,
    is_unsound,
    parse_accuracy_rows,
    read_accuracy_text,
    select_rows,
    to_fractions,
    unequal_seeds,
)
from transfer_exp.io.measures import larger_is_better
from transfer_exp.io.text import expand_user
from transfer_exp.progress import Track

if TYPE_CHECKING:
    from transfer_exp.features.model_on_target import Pairing  # imports torch

_log = logging.getLogger(__name__)
_COLUMNS = ("model", "dataset", "accuracy")


@dataclass(frozen=True)
class AccuracyTable:
    """Accuracies by model and dataset; rows that differ in the seed only are averaged.

    Attributes:
        path: CSV with columns ``model``, ``dataset``, ``accuracy``, and optionally ``source``, ``seed``, ``regime``,
            ``pool``, ``protocol``, ``measure`` and ``sound``. The ``accuracies.csv`` of a store has this form. The file
            is read again after a change. A row without an accuracy is left out.
        regime, pool, protocol: Rows to use. None is allowed where the table has one value or no such column.
        unit: ``fraction`` for accuracies in [0, 1], ``percent`` for [0, 100].
        unsound: Use rows with ``no`` in the column ``sound``, too.

    Raises:
        InputError: When the table cannot be read or lacks a column.
    """

    trains: ClassVar[bool] = False

    path: str
    regime: str | None = None
    pool: str | None = None
    protocol: str | None = None
    unit: str = "fraction"
    unsound: bool = False

    def __post_init__(self) -> None:
        read_accuracy_text(self._file, _COLUMNS)

    def __call__(self, pairing: Pairing, track: Track) -> Accuracy | None:
        """Return the accuracy of a model, or None if the table lacks the model.

        Raises:
            InputError: When the table cannot be read, lacks a column or the dataset, or its rows are ambiguous.
        """
        dataset, rows = pairing.dataset.name, self._rows()
        rows_of_dataset = rows[rows["dataset"] == dataset]
        if rows_of_dataset.empty:
            if dataset in set(self._rows(include_unsound=True)["dataset"]):
                raise InputError(
                    f"{self.path} has only unsound rows for dataset '{dataset}': leave it out, or set "
                    "ground_truth.unsound=true"
                )
            raise InputError(
                f"{self.path} has no rows for dataset '{dataset}': {suggestion(dataset, set(rows['dataset']))}"
            )
        check_repetitions(rows_of_dataset, self._file)
        for note in unequal_seeds(rows_of_dataset, self._file):
            _warn_once(note)
        matches = rows_of_dataset[rows_of_dataset["model"] == pairing.name]
        if matches.empty:
            return None
        sources = sorted(set(matches.get("source", ())) - {""})
        measure = next(filter(None, matches.get("measure", ())), "accuracy")
        return Accuracy(float(matches["accuracy"].mean()), measure, source="; ".join(sources))

    def other_accuracies(self, model: str, dataset: str) -> dict[str, float]:
        """Return the accuracies of a model on every dataset of the table except ``dataset``; errors with a minus sign.

        Raises:
            InputError: When the table cannot be read, lacks a column, or its rows are ambiguous.
        """
        rows = self._rows()
        matches = rows[(rows["model"] == model) & (rows["dataset"] != dataset)]
        check_repetitions(matches, self._file)
        accuracies = {}
        for name, of_dataset in matches.groupby("dataset"):
            measure = next(filter(None, of_dataset.get("measure", ())), "accuracy")
            accuracies[str(name)] = float(larger_is_better(of_dataset["accuracy"].to_numpy(), measure).mean())
        return accuracies

    @property
    def _file(self) -> Path:
        return expand_user(self.path)

    def _rows(self, include_unsound: bool = False) -> pd.DataFrame:
        text = read_accuracy_text(self._file, _COLUMNS)
        rows = _load_rows(text, self._file, self.regime, self.pool, self.protocol, self.unit)
        return rows if self.unsound or include_unsound else rows[~is_unsound(rows)]


def published(pool: str | None = None, regime: str | None = "vanilla_ft", unsound: bool = False) -> AccuracyTable:
    """Return the published accuracies of one pool and regime, shipped with this package.

    Pools: the eleven supervised CNNs and twelve self-supervised ResNet-50s of Spread-Attract's lineage, thirteen ViTs
    (EMMS), TLLIB, Model-Spider, PARC and TransferGraph; and of recent encoders MIEB (few-shot linear probe, zero-shot),
    ITM, LOVM (zero-shot), and nine ways to adapt one ViT. The column ``source`` names the source of each row. Each pool
    was fine-tuned differently, so accuracies of different pools are never mixed.

    Args:
        pool: Name in the column ``pool``, for example ``group1_supervised_cnn11``.
        regime: Name in the column ``regime``; in the lineage ``vanilla_ft``, ``last_block_ft`` or ``linear_ft``.
        unsound: Use accuracies marked unsound, too: sun397, cifar10 and cifar100 in the lineage's ``last_block_ft`` and
            ``linear_ft``. They look like training accuracy, and the released loaders do read the training split there.
            On sun397 they average 91 and 99 % with the last block, but 62 and 60 % with full fine-tuning (one per
            pool).
    """
    return AccuracyTable(str(PUBLISHED), regime, pool, unsound=unsound)


@lru_cache(maxsize=8)
def _warn_once(note: str) -> None:
    """Log a warning that holds for every model."""
    _log.warning(note)


@lru_cache(maxsize=8)  # by the text, because a file may be edited while the process runs
def _load_rows(
    text: str, file: Path, regime: str | None, pool: str | None, protocol: str | None, unit: str
) -> pd.DataFrame:
    """Return the rows of one regime, pool and protocol, with accuracies in [0, 1]."""
    rows = parse_accuracy_rows(text, file, _COLUMNS)
    for column, value in (("regime", regime), ("pool", pool), ("protocol", protocol)):
        rows = select_rows(rows, column, value, file, f"ground_truth.{column}")
    return to_fractions(rows, unit, file, "ground_truth.unit")
