"""Scores and accuracies of the pools of the study, with the number of classes of every target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from studies.real_pool.data import Cell, StudyTables, is_equal, read_study_tables
from transfer_exp.errors import InputError
from transfer_exp.evaluation.expected_accuracy import ScoredPool
from transfer_exp.io.accuracies import PUBLISHED
from transfer_exp.io.atomic import digest
from transfer_exp.io.csv import read_table

CONSTANT = "constant score"
"""Name of a metric that gives every model the same score: the baseline of scores without information."""


@dataclass(frozen=True)
class PoolFiles:
    """Files of a pool.

    Attributes:
        scores: File that ``python -m transfer_exp -cn score_matrix`` writes.
        accuracies: Columns model, dataset, accuracy; and regime and pool if there are several.
        classes: Columns dataset and classes.
        pool: Value of the column ``pool`` of the accuracies; None if the file has no other.
        excluded: Target that no calibration or mean uses, because models of the pool were trained on it; empty if none.
    """

    scores: Path
    accuracies: Path
    classes: Path
    pool: str | None = None
    excluded: str = ""

    @cached_property
    def digest(self) -> str:
        """Digest that changes with the files and settings."""
        files = {
            field: getattr(self, field).read_text(encoding="utf-8") for field in ("scores", "accuracies", "classes")
        }
        return digest({**files, "pool": self.pool, "control": self.excluded})


@dataclass(frozen=True, eq=False)
class PoolData(StudyTables):
    """Scores, accuracies by regime, and number of classes of every target of a pool.

    A `Cell` is a metric, a perturbation and a number of images per class. ``scores[cell]`` has the shape (targets,
    models).
    """

    classes: Mapping[str, int]

    def cells(self, images: str = "all") -> tuple[Cell, ...]:
        """Return the cells of raw features and of PCA; a metric that PCA does not change has one cell.

        Args:
            images: Images per class as in the rows of scores, or ``all``.
        """
        cells = [cell for cell in self.scores if cell.images == images and cell.perturbation in ("none", "pca")]
        raw = {cell.metric: self.scores[cell] for cell in cells if cell.perturbation == "none"}
        return tuple(
            cell
            for cell in cells
            if cell.perturbation == "none" or not is_equal(self.scores[cell], raw.get(cell.metric))
        )

    def scored_pool(self, cell: Cell, anchor: str | None, target: str, models: np.ndarray | None = None) -> ScoredPool:
        """Return the input of a calibration for one target.

        Args:
            cell: Cell of the scores; its metric may be `CONSTANT`.
            anchor: Metric whose score is itself an accuracy (such as ``knn``), on raw features of the same images. It
                sets the level of the expected accuracies. None for no such metric.
            target: Name of the target.
            models: Indices of the models; by default all models that the metric applies to.
        """
        index = self.targets.index(target)
        models = self.applicable_models(cell) if models is None else models
        scores = np.zeros(len(models)) if cell.metric == CONSTANT else self.scores[cell][index, models]
        anchors = None if anchor is None else self.scores[Cell(anchor, images=cell.images)][index, models]
        return ScoredPool(scores, self.classes[target], anchors)

    def applicable_models(self, cell: Cell) -> np.ndarray:
        """Return the indices of the models with a score on every target."""
        if cell.metric == CONSTANT:
            return np.arange(len(self.models))
        return np.flatnonzero(np.isfinite(self.scores[cell]).all(axis=0))


def pool_files(results: Path) -> dict[str, PoolFiles]:
    """Return the files of each pool; calibrations are fitted to the first.

    They are in the folder of results, in ``studies/real_pool``, and in the package (published accuracies).
    """
    classes = results / "target_classes.csv"
    accuracies = Path(__file__).parents[1] / "real_pool" / "accuracies.csv"
    return {
        "real_pool": PoolFiles(results / "real_pool_scores.csv", accuracies, classes, excluded="cifar10"),
        "builtin": PoolFiles(results / "builtin_pool_scores.csv", results / "builtin_pool_accuracies.csv", classes),
        "modelspider_cnn10": PoolFiles(
            results / "modelspider_scores.csv", PUBLISHED, classes, pool="modelspider_cnn10"
        ),
    }


def read_pool(files: PoolFiles) -> PoolData:
    """Read the files of a pool; models are sorted by name.

    Raises:
        InputError: When a file is missing or invalid, or a score lacks its accuracy or its number of classes.
    """
    tables = read_study_tables(files.accuracies, files.scores, files.pool)
    targets = next(iter(tables.values())).datasets
    classes = read_table(files.classes).set_index("dataset")["classes"].astype(int)
    missing = sorted(set(targets) - set(classes.index))
    if missing:
        raise InputError(f"{files.classes} does not say how many classes {missing[0]} has: add a row")
    return PoolData(tables, files.excluded, {target: int(classes[target]) for target in targets})
