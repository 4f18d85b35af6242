"""Scores of a pool joined with its ground-truth accuracies, one table per regime.

A regime is a way to obtain the accuracies, such as full fine-tuning or a linear probe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from transfer_exp.errors import InputError, NotApplicableError, show_value
from transfer_exp.evaluation.accuracy_spread import static_rank_tau
from transfer_exp.evaluation.ranking import Agreement, Ranking
from transfer_exp.io.accuracies import (
    check_repetitions,
    is_unsound,
    parse_accuracy_rows,
    read_accuracy_text,
    select_rows,
    to_fractions,
    unequal_seeds,
)
from transfer_exp.io.csv import check_target, write_table
from transfer_exp.io.measures import common_measure, larger_is_better
from transfer_exp.results.cell import ModelResult
from transfer_exp.statistics.rounding import merge_ties

REPEATED_FIELDS = ("dataset", "seed")
"""Fields of a cell to average over: first the seeds of a dataset, then the datasets."""

_MEASURES_COLUMNS = ("metric", "dataset", "regime", "models", "tied", "null_low", "null_high")
"""Columns that every table of `write_measures` has."""


@dataclass(frozen=True, eq=False)
class RegimeAccuracies:
    """Accuracies of a pool under one regime.

    Attributes:
        regime: Name of the regime; empty where the file has no such column.
        table: A row per dataset and a column per model, mean over seeds; NaN where missing.
        notes: Messages about rows that were left out, and about means over different numbers of seeds.
        measures: Measure of accuracy by dataset; ``accuracy`` for others.
    """

    regime: str
    table: pd.DataFrame
    notes: tuple[str, ...] = ()
    measures: Mapping[str, str] = field(default_factory=dict)


def read_accuracies(
    path: Path,
    pool: str | None = None,
    regimes: Sequence[str] = (),
    unit: str = "fraction",
    include_unsound: bool = False,
) -> list[RegimeAccuracies]:
    """Read the accuracies of a pool by regime.

    Args:
        path: CSV with columns ``model``, ``accuracy``, and optionally ``dataset``, ``regime``, ``pool``, ``protocol``,
            ``seed``, ``measure`` and ``sound``. Rows that differ in the seed only are averaged; rows without accuracy
            are left out.
        pool: Name of the pool; None if the file has only one.
        regimes: Regimes to read, in this order; by default all regimes of the pool.
        unit: ``fraction`` or ``percent``.
        include_unsound: Whether to use rows that the file marks as unsound.

    Raises:
        InputError: When the file cannot be read, an accuracy is out of range, or pool, regime or protocol is missing or
            ambiguous.
    """
    required = ("model", "accuracy")
    rows = parse_accuracy_rows(read_accuracy_text(path, required), path, required)
    rows = select_rows(rows, "pool", pool, path, "--pool")
    if regimes and "regime" not in rows:
        raise InputError(f"{path} has no column regime: leave --regime out")
    for column in ("dataset", "regime"):
        rows = rows if column in rows else rows.assign(**{column: ""})
    tables = []
    for regime in dict.fromkeys(regimes or rows["regime"]):
        regime_rows = select_rows(rows, "regime", regime, path, "--regime") if regime else rows[rows["regime"] == ""]
        tables.append(_average(regime, regime_rows, path, unit, include_unsound))
    return tables


def _average(regime: str, rows: pd.DataFrame, path: Path, unit: str, include_unsound: bool) -> RegimeAccuracies:
    """Average the rows of one regime over seeds; rows of several protocols (training settings) must not be mixed."""
    protocols = sorted(set(rows["protocol"]) - {""}) if "protocol" in rows else []
    if len(protocols) > 1:
        raise InputError(f"{path} has several protocols of {regime}: keep the rows of one of {', '.join(protocols)}")
    rows = to_fractions(rows, unit, path, "--unit")
    unsound, notes = rows[is_unsound(rows)], tuple[str, ...]()
    if len(unsound) and not include_unsound:
        datasets = ", ".join(sorted(set(unsound["dataset"])))
        notes = (f"{len(unsound)} unsound accuracies left out ({datasets}): --unsound uses them",)
        rows = rows.drop(unsound.index)
    check_repetitions(rows, path)
    notes += unequal_seeds(rows, path)
    # Rounding makes means equal that differ only by the order of summation.
    means = rows.groupby(["dataset", "model"])["accuracy"].mean().round(12)
    measures = {
        str(name): common_measure(of_dataset["measure"].replace("", "accuracy"), f"{path}, dataset '{name}',")
        for name, of_dataset in (rows.groupby("dataset") if "measure" in rows else ())
    }
    return RegimeAccuracies(regime, means.unstack("model"), notes, measures)


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Scores of a pool and the accuracies of the same models under one regime.

    A cell is one metric after one perturbation on one dataset, with further fields such as the seed. Cells that differ
    only in `REPEATED_FIELDS` belong to the same variant.

    Attributes:
        regime: Name of the regime; may be empty.
        cells: Text fields of each cell, among them ``metric`` and ``dataset``; a row per cell.
        scores: (cells, M), NaN where missing.
        accuracies: A row per dataset (also of datasets without scores) and a column per model, or NaN.
        notes: Messages about scores and accuracies that were left out.
        ranking: Comparison of the scores of a cell with the accuracies.
        accuracy_measures: Measure of accuracy by dataset; ``accuracy`` for others.
    """

    regime: str
    cells: pd.DataFrame
    scores: Float[np.ndarray, "cells models"]
    accuracies: pd.DataFrame
    notes: tuple[str, ...] = ()
    ranking: Ranking = field(default_factory=Ranking)
    accuracy_measures: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Names of the models, in the order of the columns."""
        return tuple(map(str, self.accuracies.columns))

    @cached_property
    def datasets(self) -> tuple[str, ...]:
        """Sorted names of the datasets with scores."""
        return tuple(sorted(set(self.cells["dataset"])))

    @cached_property
    def comparable_accuracies(self) -> pd.DataFrame:
        """The accuracies, with a minus sign on datasets with a measure of error, so that larger is better."""
        rows = {
            name: larger_is_better(row.to_numpy(dtype=np.float64), self.accuracy_measures.get(str(name), "accuracy"))
            for name, row in self.accuracies.iterrows()
        }
        return pd.DataFrame.from_dict(rows, orient="index", columns=self.accuracies.columns)

    @cached_property
    def cell_accuracies(self) -> Float[np.ndarray, "cells models"]:
        """Comparable accuracies on the dataset of each cell, (cells, M)."""
        return np.asarray(self.comparable_accuracies.loc[self.cells["dataset"]].to_numpy(dtype=np.float64))

    @cached_property
    def model_counts(self) -> tuple[int, ...]:
        """Number of models with both score and accuracy in each cell."""
        return tuple((np.isfinite(self.scores) & np.isfinite(self.cell_accuracies)).sum(axis=1).tolist())

    @cached_property
    def variant_fields(self) -> tuple[str, ...]:
        """Fields that identify a variant."""
        return tuple(str(name) for name in self.cells if name not in REPEATED_FIELDS)

    @cached_property
    def variants(self) -> Mapping[tuple[str, ...], Mapping[str, Int[np.ndarray, " cells"]]]:
        """Row numbers of the cells of each variant by dataset; several rows of a dataset are seeds."""
        variants: dict[tuple[str, ...], dict[str, np.ndarray]] = {}
        for key, cells in self.cells.groupby([*self.variant_fields, "dataset"]):
            *variant, dataset = map(str, key)
            variants.setdefault(tuple(variant), {})[dataset] = cells.index.to_numpy()
        return variants

    @cached_property
    def agreements(self) -> tuple[Agreement, ...]:
        """Agreement of scores and accuracies in each cell."""
        values = _with_none(self.accuracies.loc[self.cells["dataset"]].to_numpy(dtype=np.float64))
        return tuple(
            self.ranking(
                metric,
                [ModelResult(*result) for result in zip(self.models, scores, accuracies, strict=True)],
                self.accuracy_measures.get(dataset, "accuracy"),
            )
            for metric, dataset, scores, accuracies in zip(
                self.cells["metric"], self.cells["dataset"], _with_none(self.scores), values, strict=True
            )
        )

    @cached_property
    def measures(self) -> pd.DataFrame:
        """A row per cell: its fields, regime, number of models, null band, whether tied, and all measures."""
        rows = []
        for count, agreement in zip(self.model_counts, self.agreements, strict=True):
            low, high = agreement.null_band or (np.nan, np.nan)
            row = {"regime": self.regime, "models": count, "tied": agreement.tied, "null_low": low, "null_high": high}
            rows.append({**row, **agreement.measures})
        results = pd.DataFrame(rows)
        if clash := set(results) & set(self.cells):
            raise InputError(
                f"the scores have a column {min(map(str, clash))}, which the results have as well: rename it"
            )
        return pd.concat([self.cells, results], axis=1)

    @cached_property
    def static_taus(self) -> dict[str, float]:
        """Weighted tau of the static ranking by dataset, where other datasets have accuracies of all its models."""
        taus = {}
        for dataset in self.datasets:
            accuracies = self.comparable_accuracies.loc[dataset].dropna()
            other_accuracies = self.comparable_accuracies.drop(index=dataset)[accuracies.index]
            try:
                taus[dataset] = static_rank_tau(accuracies.to_numpy(), other_accuracies.to_numpy())
            except (NotApplicableError, InputError):
                continue
        return taus


def join_scores(scores: pd.DataFrame, accuracies: RegimeAccuracies, ranking: Ranking | None = None) -> ScoreTable:
    """Join the scores of `read_scores` with the accuracies of one regime; models are sorted by name.

    Raises:
        InputError: When only one side names datasets, fewer than two models or no dataset are common, or no cell scores
            two models.
    """
    table = accuracies.table
    source = f"accuracies of {accuracies.regime}" if accuracies.regime else "accuracies"
    cell_datasets = scores.index.get_level_values("dataset")
    if table.empty:
        reason = f" ({'; '.join(accuracies.notes)})" if accuracies.notes else ""
        raise InputError(f"the table has no {source}{reason}: fill in those of two models or more")
    if ("" in set(cell_datasets)) != ("" in table.index):
        side = "scores" if "" in set(cell_datasets) else "accuracies"
        raise InputError(f"the {side} do not name their dataset, but the other table does: add a column dataset")
    models = sorted(set(map(str, scores)) & set(map(str, table)))
    datasets = sorted(set(cell_datasets) & set(table.index))
    if len(models) < 2 or not datasets:
        kind, sides = ("models", (scores, table)) if len(models) < 2 else ("datasets", (cell_datasets, table.index))
        names = [show_value(sorted(set(map(str, side)))[:3]) for side in sides]
        raise InputError(
            f"{len(models)} models and {len(datasets)} datasets have both scores and {source}: need two models and a "
            f"dataset, with the same names in both tables ({kind} begin with {names[0]} and {names[1]})"
        )
    notes = [
        *accuracies.notes,
        *_unmatched("model", scores.columns, table.columns),
        *_unmatched("dataset", cell_datasets, table.index),
    ]
    scores = scores[cell_datasets.isin(datasets)][models]
    cell_accuracies = table.loc[scores.index.get_level_values("dataset"), models]
    is_comparable = np.isfinite(scores.to_numpy() + cell_accuracies.to_numpy()).sum(axis=1) > 1
    if not is_comparable.any():
        fields = ", ".join(str(name) for name in scores.index.names)
        raise InputError(f"no cell scores two models: remove the columns among {fields} that differ between models")
    if not is_comparable.all():
        notes.append(f"{(~is_comparable).sum()} of {len(scores)} cells score fewer than two models: left out")
    scores = scores[is_comparable]
    cells = scores.index.to_frame(index=False)
    values = merge_ties(scores.to_numpy(dtype=np.float64))
    ranking, measures = ranking or Ranking(), accuracies.measures
    return ScoreTable(accuracies.regime, cells, values, table[models], tuple(notes), ranking, measures)


def join_regimes(
    scores: pd.DataFrame, regimes: Sequence[RegimeAccuracies], ranking: Ranking | None = None
) -> tuple[list[ScoreTable], list[str]]:
    """Join scores with the accuracies of every regime that they match.

    Returns:
        tables: One or more tables, with the notes that concern only one regime.
        notes: Notes that concern all tables, and the reasons for regimes that were left out.

    Raises:
        InputError: When no regime can be joined; the error is that of `join_scores` for the first one.
    """
    tables, errors = [], []
    for accuracies in regimes:
        try:
            tables.append(join_scores(scores, accuracies, ranking))
        except InputError as error:
            errors.append(error)
    if not tables:
        raise errors[0] if errors else InputError("the table of accuracies has no row: give one for each model")
    shared = [note for note in tables[0].notes if all(note in table.notes for table in tables)]
    tables = [replace(table, notes=tuple(note for note in table.notes if note not in shared)) for table in tables]
    return tables, [*shared, *(f"left out: {error}" for error in errors)]


def check_measures_target(path: Path, inputs: Iterable[Path]) -> None:
    """Raise `InputError` if `write_measures` would replace an input, or a file that it did not write."""
    check_target(path, inputs, _MEASURES_COLUMNS, "measures")


def write_measures(tables: Sequence[ScoreTable], path: Path, inputs: Iterable[Path]) -> int:
    """Write the measures of every cell under every regime as CSV, and return the number of rows.

    Args:
        tables: Scores and accuracies, one table per regime.
        path: File to write.
        inputs: Files of the scores and accuracies.

    Raises:
        InputError: If `check_measures_target` refuses the file.
    """
    check_measures_target(path, inputs)
    rows = pd.concat([table.measures for table in tables])
    write_table(path, rows)
    return len(rows)


def _unmatched(kind: str, scored: Iterable[str], with_accuracy: Iterable[str]) -> list[str]:
    """Return notes about names that occur in only one of the tables."""
    missing = {"accuracies": set(scored) - set(with_accuracy), "scores": set(with_accuracy) - set(scored)}
    notes = {side: f"({len(names)}): {', '.join(sorted(names))}" for side, names in missing.items() if names}
    return [f"{kind}s without {side} {note}" for side, note in notes.items()]


def _with_none(values: np.ndarray) -> list[list[float | None]]:
    """Return rows of floats, None for NaN."""
    return [[None if np.isnan(value) else float(value) for value in row] for row in values]
