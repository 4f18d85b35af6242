"""What one cell of a study yields: a score and an accuracy per model, and how well the two rankings agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class ModelResult:
    """One model of the pool.

    Attributes
    ----------
    model
        Its name in the pool.
    score
        The metric's value (larger is better), or None when the model was skipped.
    accuracy
        Ground truth in [0, 1], or None when there is none.
    reason
        Why the model was skipped; empty when it was scored.
    parts
        What the score was made of, by name: the parts of a metric that looks at the whole pool, or the scores along a
        path of perturbations. Empty for a score that has none.
    """

    model: str
    score: float | None
    accuracy: float | None = None
    reason: str = ""
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RankedModel:
    """One line of a ranking: a model and its place among the others by score and by accuracy.

    Attributes
    ----------
    result
        The model, its score and its accuracy.
    score_rank
        1 for the largest score; None for a skipped model. Ties share the mean of their ranks.
    accuracy_rank
        Likewise by accuracy, among the scored models only: the two ranks of a line are the ones that are compared.
    """

    result: ModelResult
    score_rank: float | None
    accuracy_rank: float | None


@dataclass(frozen=True)
class CellResult:
    """One correlation: all models of a pool, scored on one dataset under one perturbation by one metric.

    Attributes
    ----------
    cell
        What identifies the cell: ``model_pool``, ``dataset``, ``perturbation``, ``metric``, ``ground_truth``, ``seed``.
    models
        In pool order.
    measures
        Agreement of the two rankings by name (``weighted_tau``, ``regret``, ...); empty without ground truth.
    null_band
        Interval that holds ``null_level`` of ``weighted_tau`` for random scores at this number of models, or None.
    tied
        True when all scores (or all accuracies) are equal, so that there is no ranking to speak of.
    null_level
        Share of random scores inside ``null_band``, in (0, 1).
    """

    cell: Mapping[str, str]
    models: tuple[ModelResult, ...]
    measures: Mapping[str, float] = field(default_factory=dict)
    null_band: tuple[float, float] | None = None
    tied: bool = False
    null_level: float = 0.95

    @property
    def compared(self) -> int:
        """M, the number of models that have both a score and an accuracy."""
        return sum(m.score is not None and m.accuracy is not None for m in self.models)

    def ranking(self) -> tuple[RankedModel, ...]:
        """Return all models, best score first, equal scores in pool order, skipped ones last."""
        score_ranks = ranks([m.score for m in self.models])
        accuracy_ranks = ranks([None if m.score is None else m.accuracy for m in self.models])
        lines = [RankedModel(*line) for line in zip(self.models, score_ranks, accuracy_ranks, strict=True)]
        return tuple(sorted(lines, key=lambda line: np.inf if line.score_rank is None else line.score_rank))


def ranks(values: Sequence[float | None]) -> list[float | None]:
    """Rank ``values`` from 1 for the largest; equal values share the mean of their ranks, None has no rank."""
    known = np.array([v for v in values if v is not None], dtype=np.float64)
    return [None if v is None else float((known > v).sum() + ((known == v).sum() + 1) / 2) for v in values]
