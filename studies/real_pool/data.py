"""Scores and accuracies of a study: score tables by regime, and the accuracies of single seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.stats import rankdata

from transfer_exp.errors import InputError, suggestion
from transfer_exp.evaluation.correlation import mean_taus
from transfer_exp.evaluation.score_files import read_scores
from transfer_exp.evaluation.score_table import ScoreTable, join_scores, read_accuracies
from transfer_exp.io.csv import parse_numbers, read_table
from transfer_exp.statistics.rounding import merge_ties

Pools = Int[np.ndarray, "pools members"]


class Cell(NamedTuple):
    """Variant of a score: metric, perturbation and number of images per class."""

    metric: str
    perturbation: str = "none"
    images: str = "all"


@dataclass(frozen=True, eq=False)
class StudyTables:
    """Scores of one pool next to its accuracies under several regimes, for the same targets and models.

    Attributes:
        tables: Score table of each regime; all have the same cells and models.
        control: Target that is left out of every mean, because models of the pool were trained on it; may be empty.
    """

    tables: Mapping[str, ScoreTable]
    control: str

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the M models, in the order of the last axis of all arrays."""
        return self._any.models

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the T targets, in the order of the first axis of all arrays."""
        return self._any.datasets

    @cached_property
    def averaged(self) -> tuple[str, ...]:
        """Targets that means are over."""
        return tuple(target for target in self.targets if target != self.control)

    @cached_property
    def accuracies(self) -> Mapping[str, Float[np.ndarray, "targets models"]]:
        """Accuracies by regime, (T, M), mean over seeds."""
        return {
            regime: table.accuracies.loc[list(self.targets)].to_numpy(dtype=np.float64)
            for regime, table in self.tables.items()
        }

    @cached_property
    def scores(self) -> Mapping[Cell, Float[np.ndarray, "targets models"]]:
        """Scores by cell, (T, M), mean over draws of the images; cells that lack a target are left out.

        A model has NaN where the metric does not apply to it in some draw.
        """
        scores = {}
        for variant, rows in self._any.variants.items():
            values = [self._any.scores[rows[target]].mean(axis=0) for target in self.targets if target in rows]
            if len(values) == len(self.targets) and np.isfinite(values).any(axis=1).all():
                scores[Cell(*variant)] = np.array(values)
        return scores

    @property
    def _any(self) -> ScoreTable:
        return next(iter(self.tables.values()))


@dataclass(frozen=True, eq=False)
class Study(StudyTables):
    """Score tables of a pool whose models were fine-tuned here.

    Attributes:
        tables, control: See `StudyTables`; full fine-tuning is the first regime.
        seed_accuracies: Accuracies of every seed by regime, (seeds, T, M); NaN where a seed is missing.
        hours: Training time by regime, in hours, all seeds together.
    """

    seed_accuracies: Mapping[str, Float[np.ndarray, "seeds targets models"]]
    hours: Mapping[str, float]

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """All metrics by name."""
        return tuple(sorted({cell.metric for cell in self.scores}))

    @cached_property
    def perturbations(self) -> tuple[str, ...]:
        """All perturbations; the controls ``none`` and ``pca`` come first."""
        names = {cell.perturbation for cell in self.scores}
        return tuple(sorted(names, key=lambda name: ({"none": 0, "pca": 1}.get(name, 2), name)))

    @cached_property
    def sizes(self) -> tuple[str, ...]:
        """Numbers of images per class that were scored, ascending."""
        sizes = {cell.images for cell in self.scores}
        return tuple(sorted(sizes, key=lambda size: np.inf if size == "all" else int(size)))

    @cached_property
    def perturbable(self) -> tuple[str, ...]:
        """Metrics that perturbations change, and that score every model in every cell."""
        return tuple(metric for metric in self.metrics if self._is_complete(metric) and self._is_perturbable(metric))

    @cached_property
    def distinct(self) -> tuple[str, ...]:
        """Perturbable metrics without those that rank the models like a later one in every cell."""
        ranks: dict[str, list[list[float]]] = {}
        for metric in reversed(self.perturbable):
            cells = [Cell(metric, perturbation, size) for perturbation in self.perturbations for size in self.sizes]
            own = [rankdata(merge_ties(self.scores[cell]), axis=1).ravel().tolist() for cell in cells]
            if own not in ranks.values():
                ranks[metric] = own
        return tuple(sorted(ranks))

    @cached_property
    def further(self) -> tuple[str, ...]:
        """Metrics that PCA changes, with the scores of every model on raw features and after PCA, but not all cells."""
        return tuple(
            metric
            for metric in self.metrics
            if metric not in self.perturbable
            and all(c in self.scores and np.isfinite(self.scores[c]).all() for c in (Cell(metric), Cell(metric, "pca")))
            and self._is_perturbable(metric)
        )

    @cached_property
    def blind(self) -> tuple[str, ...]:
        """Metrics that no perturbation changes, because they use no features."""
        return tuple(
            metric for metric in self.metrics if Cell(metric) in self.scores and not self._is_perturbable(metric)
        )

    def _is_complete(self, metric: str) -> bool:
        cells = [Cell(metric, perturbation, size) for perturbation in self.perturbations for size in self.sizes]
        return all(cell in self.scores and np.isfinite(self.scores[cell]).all() for cell in cells)

    def _is_perturbable(self, metric: str) -> bool:
        cells = [cell for name in self.perturbations if (cell := Cell(metric, name)) in self.scores]
        return any(not is_equal(self.scores[cell], self.scores[Cell(metric)]) for cell in cells)

    def truth(self, regime: str) -> Float[np.ndarray, "targets models"]:
        """Return the accuracies of a regime, (T, M), mean over seeds.

        Raises:
            InputError: When the study does not have the regime.
        """
        if regime not in self.accuracies:
            raise InputError(f"the study has no regime '{regime}': {suggestion(regime, self.accuracies)}")
        return self.accuracies[regime]

    def tau(self, cell: Cell, regime: str, target: str) -> float:
        """Return the weighted tau on one target, mean over draws of the images."""
        return float(self.taus(cell, regime, (target,)).mean())

    def taus(
        self, cell: Cell, regime: str, targets: tuple[str, ...], pools: Pools | None = None
    ) -> Float[np.ndarray, " pools"]:
        """Return the weighted tau of each pool of models, mean over targets and draws of the images.

        By default there is a single pool, of all models that the metric applies to.
        """
        if regime not in self.tables:
            raise InputError(f"the study has no regime '{regime}': {suggestion(regime, self.tables)}")
        table = self.tables[regime]
        rows = np.concatenate([table.variants[cell][target] for target in targets])
        pools = np.arange(len(self.models))[None] if pools is None else pools
        return mean_taus(table.scores[rows], table.cell_accuracies[rows], np.ones(len(rows)), pools)


def read_study_tables(
    accuracies: Path, scores: Path, pool: str | None = None, keep_order: bool = False
) -> dict[str, ScoreTable]:
    """Read the score tables of a study by regime, with models sorted by name or in the order of the file of scores.

    Raises:
        InputError: When a file is missing or invalid, or a scored model lacks an accuracy on a target.
    """
    score_rows = read_scores(scores)
    score_rows = score_rows.droplevel([name for name in score_rows.index.names if name in ("model_pool", "splits")])
    models, targets = list(score_rows), sorted(set(score_rows.index.get_level_values("dataset")))
    tables = {}
    for regime_accuracies in read_accuracies(accuracies, pool):
        complete = regime_accuracies.table.reindex(index=targets, columns=models)
        missing = np.argwhere(complete.isna().to_numpy())
        if len(missing):
            target, model = targets[missing[0, 0]], models[missing[0, 1]]
            raise InputError(f"{accuracies} has no accuracy of {model} on {target}")
        table = join_scores(score_rows, replace(regime_accuracies, table=complete))
        name = table.regime.partition("/")[0] or "full"
        ordered = models if keep_order else list(table.models)
        order = [table.models.index(model) for model in ordered]
        tables[name] = replace(table, regime=name, scores=table.scores[:, order], accuracies=table.accuracies[ordered])
    return tables


def read_study(accuracies: Path, scores: Path, control: str = "") -> Study:
    """Read the rows of a study.

    Args:
        accuracies: File in the form of ``STORE/accuracies.csv``: model, dataset, regime, seed, accuracy, seconds. Rows
            of other models and targets are ignored.
        scores: File that ``python -m transfer_exp -cn score_matrix`` writes.
        control: See `StudyTables`.

    Raises:
        InputError: When a file is missing or invalid, a score lacks its accuracy, or there are fewer than two targets
            besides the control.
    """
    tables = read_study_tables(accuracies, scores, keep_order=True)
    tables = dict(sorted(tables.items(), key=lambda item: (item[0] != "full", item[0])))
    models, targets = next(iter(tables.values())).models, next(iter(tables.values())).datasets
    if len(set(targets) - {control}) < 2:
        raise InputError(f"{scores} has fewer than two targets to average: score more, or set another control")
    rows = read_table(accuracies)
    missing = [name for name in ("seed", "seconds") if name not in rows]
    if missing:
        raise InputError(f"{accuracies} lacks the column {', '.join(missing)}: give accuracies.csv of a store")
    rows = rows.assign(**{name: parse_numbers(rows[name], accuracies) for name in ("seed", "accuracy", "seconds")})
    rows = rows[rows["dataset"].isin(targets) & rows["model"].isin(models)]
    seed_accuracies, hours = {}, {}
    for regime in tables:
        regime_rows = rows[rows["regime"].str.partition("/")[0] == regime]
        wide = regime_rows.pivot_table(index=["seed", "dataset"], columns="model", values="accuracy")
        seeds = sorted(set(regime_rows["seed"]))
        wide = wide.reindex(index=pd.MultiIndex.from_product([seeds, targets]), columns=list(models))
        seed_accuracies[regime] = wide.to_numpy().reshape(len(seeds), len(targets), len(models))
        hours[regime] = float(regime_rows["seconds"].sum()) / 3600
    return Study(tables, control, seed_accuracies, hours)


def is_equal(scores: np.ndarray, reference: np.ndarray | None) -> bool:
    """Return whether two arrays of scores are equal, NaN included."""
    return reference is not None and np.array_equal(scores, reference, equal_nan=True)
