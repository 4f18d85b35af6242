"""The rows of a study as arrays: accuracies by regime, scores by cell, all over the same targets and models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from transfer_exp.errors import InputError, suggestion
from transfer_exp.evaluation.score_rows import CELL, read_scores
from transfer_exp.evaluation.weighted_tau_many import weighted_tau_many
from transfer_exp.io.csv import numbers, read_table

Accuracies = Float[np.ndarray, "seeds targets models"]
Scores = Float[np.ndarray, "draws targets models"]
Pools = Int[np.ndarray, "pools members"]


@dataclass(frozen=True)
class Cell:
    """What decides a score besides model and target."""

    metric: str
    perturbation: str = "none"
    images: str = "all"


@dataclass(frozen=True, eq=False)
class Study:
    """Accuracies and scores of one pool on the same targets.

    Attributes
    ----------
    models, targets
        M and T names, the order of the last two axes of all arrays.
    accuracies
        By regime, full fine-tuning first; NaN where a seed is missing.
    hours
        By regime, spent on measuring them, all seeds together.
    scores
        By cell; NaN where a metric does not apply to a model.
    control
        A target that is shown but left out of every mean, because models of the pool were trained on it.
    """

    models: tuple[str, ...]
    targets: tuple[str, ...]
    accuracies: Mapping[str, Accuracies]
    hours: Mapping[str, float]
    scores: Mapping[Cell, Scores]
    control: str

    @cached_property
    def averaged(self) -> tuple[str, ...]:
        """The targets that means are over."""
        return tuple(t for t in self.targets if t != self.control)

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """All metrics by name."""
        return tuple(sorted({cell.metric for cell in self.scores}))

    @cached_property
    def perturbations(self) -> tuple[str, ...]:
        """All perturbations, ``none`` and ``pca`` first, which the others are compared with."""
        found = {cell.perturbation for cell in self.scores}
        return tuple(sorted(found, key=lambda p: ({"none": 0, "pca": 1}.get(p, 2), p)))

    @cached_property
    def sizes(self) -> tuple[str, ...]:
        """How many images a class were scored, fewest first."""
        found = {cell.images for cell in self.scores}
        return tuple(sorted(found, key=lambda size: np.inf if size == "all" else int(size)))

    @cached_property
    def perturbable(self) -> tuple[str, ...]:
        """Metrics that perturbations change, and that score every model in every cell."""
        return tuple(metric for metric in self.metrics if self._complete(metric) and self._moved(metric))

    @cached_property
    def blind(self) -> tuple[str, ...]:
        """Metrics that no perturbation changes, because they look at no features."""
        return tuple(metric for metric in self.metrics if Cell(metric) in self.scores and not self._moved(metric))

    def _complete(self, metric: str) -> bool:
        cells = [Cell(metric, p, size) for p in self.perturbations for size in self.sizes]
        return all(cell in self.scores and np.isfinite(self.scores[cell]).all() for cell in cells)

    def _moved(self, metric: str) -> bool:
        bare = self.scores[Cell(metric)]
        found = [self.scores[cell] for p in self.perturbations if (cell := Cell(metric, p)) in self.scores]
        return any(not np.array_equal(scores, bare, equal_nan=True) for scores in found)

    def truth(self, regime: str) -> Float[np.ndarray, "targets models"]:
        """Return accuracies, mean over seeds; equal ones stay equal, whatever the order in which they were added.

        Raises
        ------
        InputError
            For a regime that the study has not.
        """
        if regime not in self.accuracies:
            raise InputError(f"the study has no regime '{regime}': {suggestion(regime, self.accuracies)}")
        return np.asarray(np.nanmean(self.accuracies[regime], axis=0).round(12))

    def tau(self, cell: Cell, regime: str, target: str) -> float:
        """Return the weighted tau on one target, mean over draws of the images."""
        return float(self.taus(cell, regime, (target,)).mean())

    def taus(
        self, cell: Cell, regime: str, targets: tuple[str, ...], pools: Pools | None = None
    ) -> Float[np.ndarray, " pools"]:
        """Return the weighted tau of each pool of models, mean over targets and draws of the images.

        Without pools: of all models that the metric applies to. With them, it must apply to all.
        """
        at = [self.targets.index(target) for target in targets]
        scores, truth = self.scores[cell][:, at], self.truth(regime)[at]
        if pools is None:
            pools = np.flatnonzero(np.isfinite(scores).all(axis=(0, 1)))[None]
        rows = [
            weighted_tau_many(draw[place][pools], truth[place][pools])
            for draw in scores
            for place in range(len(targets))
        ]
        return np.asarray(np.mean(rows, axis=0))


def read_study(accuracies: Path, scores: Path, control: str = "") -> Study:
    """Read the rows of a study.

    Parameters
    ----------
    accuracies
        As ``STORE/accuracies.csv``: model, dataset, regime, seed, accuracy, seconds; rows of other targets stay out.
    scores
        As ``python -m transfer_exp -cn score_grid`` writes them.
    control
        See `Study`.

    Raises
    ------
    InputError
        When a file is missing or no sound table, a score lacks its accuracy, or there are fewer than two targets
        besides the control.
    """
    if not accuracies.is_file():
        raise InputError(f"no accuracies {accuracies}: run the sweep and copy accuracies.csv of its store there")
    measured, scored = read_table(accuracies, dtype=str, keep_default_na=False), read_scores(scores)
    lacking = [name for name in ("model", "dataset", "regime", "seed", "accuracy", "seconds") if name not in measured]
    if lacking:
        raise InputError(f"{accuracies} lacks the column {', '.join(lacking)}: give accuracies.csv of a store")
    measured = measured.assign(**{n: numbers(measured[n], accuracies) for n in ("seed", "accuracy", "seconds")})
    models = tuple(str(name) for name in scored.columns[len(CELL) :])
    targets = tuple(sorted(set(scored["dataset"])))
    if len(set(targets) - {control}) < 2:
        raise InputError(f"{scores} has fewer than two targets to average: score more, or set another control")
    missing = {(d, m) for d in targets for m in models} - set(zip(measured["dataset"], measured["model"], strict=True))
    if missing:
        raise InputError(f"{accuracies} has no accuracy of {min(missing)[1]} on {min(missing)[0]}")
    measured = measured[measured["dataset"].isin(targets) & measured["model"].isin(models)]
    measured = measured.assign(regime=measured["regime"].str.partition("/")[0])
    hours = {str(regime): float(spent) / 3600 for regime, spent in measured.groupby("regime")["seconds"].sum().items()}
    measured_by, by_cell = _accuracies(measured, targets, models), _scores(scored, targets, models)
    return Study(models, targets, measured_by, hours, by_cell, control)


def _accuracies(rows: pd.DataFrame, targets: tuple[str, ...], models: tuple[str, ...]) -> dict[str, Accuracies]:
    """Return accuracies by regime."""
    found = {}
    for regime in sorted(set(rows["regime"]), key=lambda name: (name != "full", name)):
        own = rows[rows["regime"] == regime]
        wide = own.pivot_table(index=["seed", "dataset"], columns="model", values="accuracy")
        seeds = sorted(set(own["seed"]))
        wide = wide.reindex(index=pd.MultiIndex.from_product([seeds, targets]), columns=list(models))
        found[regime] = wide.to_numpy().reshape(len(seeds), len(targets), len(models))
    return found


def _scores(rows: pd.DataFrame, targets: tuple[str, ...], models: tuple[str, ...]) -> dict[Cell, Scores]:
    """Return scores by cell, for the cells that all targets have."""
    found = {}
    for (metric, perturbation, images), own in rows.groupby(["metric", "perturbation", "images_per_class"]):
        by_draw = [draw.set_index("dataset").reindex(list(targets)) for _, draw in own.groupby("seed")]
        values = np.array([draw[list(models)].to_numpy(dtype=np.float64) for draw in by_draw])
        if np.isfinite(values).any(axis=2).all():
            found[Cell(str(metric), str(perturbation), str(images))] = values
    return found
