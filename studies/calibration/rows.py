"""The rows of a pool as arrays: scores by cell and accuracies by regime, over the same targets and models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from studies.real_pool.data import Cell
from transfer_exp.errors import InputError
from transfer_exp.evaluation.accuracy_source import read_truths
from transfer_exp.evaluation.expected_accuracy import Scored
from transfer_exp.evaluation.score_file import read_score_file
from transfer_exp.io.accuracies import PUBLISHED
from transfer_exp.io.atomic import digest
from transfer_exp.io.csv import read_table

BLIND = "a score that says nothing"
"""Stands for a metric that gives every model the same score."""


@dataclass(frozen=True)
class Source:
    """Where the rows of a pool are.

    Attributes
    ----------
    scores
        As ``python -m transfer_exp -cn score_grid`` writes them.
    accuracies
        Columns model, dataset, accuracy; and where they tell more than one apart, regime and pool.
    classes
        Columns dataset and classes.
    pool
        Of the accuracies; may go unsaid where there is one.
    control
        A target that nothing is fitted to and no mean is over, because models of the pool were trained on it.
    """

    scores: Path
    accuracies: Path
    classes: Path
    pool: str | None = None
    control: str = ""

    @cached_property
    def digest(self) -> str:
        """Of the rows."""
        files = {
            field: getattr(self, field).read_text(encoding="utf-8") for field in ("scores", "accuracies", "classes")
        }
        return digest({**files, "pool": self.pool, "control": self.control})


@dataclass(frozen=True, eq=False)
class Rows:
    """Scores and accuracies of one pool.

    Attributes
    ----------
    models, targets
        M and T names, the order of the axes of all arrays.
    classes
        By target.
    accuracies
        By regime, (T, M), in [0, 1].
    scores
        By cell, (T, M), NaN where a metric does not apply to a model.
    control
        See `Source`.
    """

    models: tuple[str, ...]
    targets: tuple[str, ...]
    classes: Mapping[str, int]
    accuracies: Mapping[str, Float[np.ndarray, "targets models"]]
    scores: Mapping[Cell, Float[np.ndarray, "targets models"]]
    control: str

    @cached_property
    def averaged(self) -> tuple[str, ...]:
        """The targets that are fitted to and that means are over."""
        return tuple(t for t in self.targets if t != self.control)

    def cells(self, images: str = "all") -> tuple[Cell, ...]:
        """Return the cells of raw features and of PCA, what no perturbation changes only once."""
        found = [c for c in self.scores if c.images == images and c.perturbation in ("none", "pca")]
        bare = {c.metric: self.scores[c] for c in found if c.perturbation == "none"}
        return tuple(c for c in found if c.perturbation == "none" or not _same(self.scores[c], bare.get(c.metric)))

    def scored(self, cell: Cell, anchor: str | None, target: str, models: np.ndarray | None = None) -> Scored:
        """Return a target's models as a calibration takes them.

        Parameters
        ----------
        cell
            Whose scores; `BLIND` is a metric here, too.
        anchor
            A metric of accuracies, read on raw features of as many images; or None.
        models
            Indices of those to take; by default all that the metric applies to.
        """
        at, chosen = self.targets.index(target), self.applies(cell) if models is None else models
        scores = np.zeros(len(chosen)) if cell.metric == BLIND else self.scores[cell][at, chosen]
        anchors = None if anchor is None else self.scores[Cell(anchor, images=cell.images)][at, chosen]
        return Scored(scores, self.classes[target], anchors)

    def applies(self, cell: Cell) -> np.ndarray:
        """Return the indices of the models that a metric applies to on every target."""
        if cell.metric == BLIND:
            return np.arange(len(self.models))
        return np.flatnonzero(np.isfinite(self.scores[cell]).all(axis=0))


def sources(results: Path) -> dict[str, Source]:
    """Return where the rows of the page are, given the folder that it is in; the first are what is calibrated on."""
    classes = results / "target_classes.csv"
    measured = Path(__file__).parents[1] / "real_pool" / "accuracies.csv"
    return {
        "real_pool": Source(results / "real_pool_scores.csv", measured, classes, control="cifar10"),
        "builtin": Source(results / "builtin_pool_scores.csv", results / "builtin_pool.csv", classes),
        "modelspider_cnn10": Source(results / "modelspider_scores.csv", PUBLISHED, classes, "modelspider_cnn10"),
    }


def read_rows(source: Source) -> Rows:
    """Read the rows of a pool.

    Raises
    ------
    InputError
        When a file is missing or no sound table, or a score lacks its accuracy or its number of classes.
    """
    scored, truths = read_score_file(source.scores), read_truths(source.accuracies, source.pool)
    models = tuple(map(str, scored.columns))
    targets = tuple(sorted(set(scored.index.get_level_values("dataset"))))
    accuracies = {}
    for truth in truths:
        table = truth.accuracies.reindex(index=list(targets), columns=list(models))
        lacking = np.argwhere(table.isna().to_numpy())
        if len(lacking):
            target, model = targets[lacking[0, 0]], models[lacking[0, 1]]
            raise InputError(f"{source.accuracies} has no accuracy of {model} on {target}")
        accuracies[truth.regime.partition("/")[0] or "full"] = table.to_numpy(dtype=np.float64)
    return Rows(
        models, targets, _classes(source.classes, targets), accuracies, _by_cell(scored, targets), source.control
    )


def _by_cell(scored: pd.DataFrame, targets: tuple[str, ...]) -> dict[Cell, np.ndarray]:
    """Return scores by cell, for those that all targets have, mean over draws of the images."""
    found = {}
    for names, own in scored.groupby(level=["metric", "perturbation", "images_per_class"]):
        table = own.groupby(level="dataset").mean().reindex(list(targets))
        if np.isfinite(table.to_numpy()).any(axis=1).all():
            found[Cell(*map(str, names))] = table.to_numpy(dtype=np.float64)
    return found


def _classes(path: Path, targets: tuple[str, ...]) -> dict[str, int]:
    """Read the number of classes of each target."""
    table = read_table(path, dtype={"dataset": str, "classes": int}).set_index("dataset")["classes"]
    missing = sorted(set(targets) - set(table.index))
    if missing:
        raise InputError(f"{path} does not say how many classes {missing[0]} has: add a row")
    return {target: int(table[target]) for target in targets}


def _same(scores: np.ndarray, others: np.ndarray | None) -> bool:
    return others is not None and np.array_equal(scores, others, equal_nan=True)
