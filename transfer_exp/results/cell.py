"""Result of one cell of a study: score and accuracy of each model, and how well the two rankings agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from transfer_exp.io.measures import larger_is_better


@dataclass(frozen=True)
class ModelResult:
    """One model of the pool.

    Attributes:
        model: Name of the model.
        score: Value of the metric, larger is better; None if the model was skipped.
        accuracy: Ground-truth accuracy, in [0, 1] unless the measure of the cell says otherwise, or None.
        reason: Why the score or the accuracy is missing; empty otherwise.
        parts: Parts of the score by name: the parts of a pool metric, the scores at each strength of a path, or both.
            Empty for a score without parts.
        layer: Layer of the features, see `select_layers`; empty for features of the user, and without a score.
        layer_scores: Score of each layer by its name if several were scored; ``layer`` has the highest.
        trainable_parameters: Number of parameters that the regime trained; None if unknown.
        training_seconds: Duration of that training; None if unknown.
    """

    model: str
    score: float | None
    accuracy: float | None = None
    reason: str = ""
    parts: Mapping[str, float] = field(default_factory=dict)
    layer: str = ""
    layer_scores: Mapping[str, float] = field(default_factory=dict)
    trainable_parameters: int | None = None
    training_seconds: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class RankedModel:
    """One row of a ranking.

    Attributes:
        result: Model, score and accuracy.
        score_rank: Rank by score, 1 for the largest; None for a skipped model. Ties share the mean of their ranks.
        accuracy_rank: Rank by accuracy among the scored models, 1 for the best; models without a score are not
            compared.
    """

    result: ModelResult
    score_rank: float | None
    accuracy_rank: float | None


@dataclass(frozen=True)
class CellResult:
    """All models of a pool scored on one dataset, after one perturbation, by one metric, with one seed.

    Attributes:
        cell: Labels of the cell: ``model_pool``, ``dataset``, ``perturbation``, ``metric``, ``ground_truth``, ``seed``.
        models: Models in pool order.
        measures: Measures of agreement by name (``weighted_tau``, ``regret``, ...); empty without ground truth.
        null_band: Interval that holds a share ``null_level`` of the ``weighted_tau`` of random scores, or None.
        tied: True if all scores or all accuracies are equal, so that there is nothing to correlate.
        null_level: Share of random scores inside ``null_band``, in (0, 1).
        measure: Measure of accuracy, see `transfer_exp.io.measures`.
    """

    cell: Mapping[str, str]
    models: tuple[ModelResult, ...]
    measures: Mapping[str, float] = field(default_factory=dict)
    null_band: tuple[float, float] | None = None
    tied: bool = False
    null_level: float = 0.95
    measure: str = "accuracy"

    @property
    def compared(self) -> int:
        """Number of models with both a score and an accuracy, M."""
        return sum(m.score is not None and m.accuracy is not None for m in self.models)

    @property
    def has_layers(self) -> bool:
        """Whether the features of some model are of another layer than the input of the head."""
        return any(model.layer not in ("", "head_input") for model in self.models)

    def quality(self, model: ModelResult) -> float | None:
        """Return the accuracy of a model, or minus its error, so that larger is better; None without one."""
        return None if model.accuracy is None else larger_is_better(model.accuracy, self.measure)

    @property
    def most_accurate(self) -> ModelResult | None:
        """The first of the scored models with the best accuracy, which is the smallest error; None without one."""
        models = [line.result for line in self.ranking() if None not in (line.result.score, line.result.accuracy)]
        return max(models, key=lambda model: self.quality(model) or 0.0, default=None)

    def ranking(self) -> tuple[RankedModel, ...]:
        """Return all models, best score first; equal scores are in pool order, skipped models last."""
        score_ranks = ranks([m.score for m in self.models])
        quality = [None if m.score is None else self.quality(m) for m in self.models]
        accuracy_ranks = ranks(quality)
        rows = [RankedModel(*row) for row in zip(self.models, score_ranks, accuracy_ranks, strict=True)]
        return tuple(sorted(rows, key=lambda row: np.inf if row.score_rank is None else row.score_rank))


def ranks(values: Sequence[float | None]) -> list[float | None]:
    """Return the rank of each value, 1 for the largest; ties share the mean of their ranks, None has no rank."""
    numbers = np.array([v for v in values if v is not None], dtype=np.float64)
    return [None if v is None else float((numbers > v).sum() + ((numbers == v).sum() + 1) / 2) for v in values]
