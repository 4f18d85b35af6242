"""Result of a search: models in order, how certain that order is, and the accuracies they are expected to reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class SearchedModel:
    """One model of the pool. Finalists are the models of the last round.

    Attributes:
        model: Name of the model.
        rank: Final rank, 1 for the best; None without a score.
        score: Score on the last images that the model was scored on, larger is better. Scores on different numbers of
            images are not comparable.
        images: Number of these images.
        low, high: Interval of the score on other samples of as many images; None for models that are not finalists.
        best_rank, worst_rank: Interval of the rank, simultaneous for all finalists; None for other models.
        expected, expected_low, expected_high: Expected accuracy after full fine-tuning in [0, 1], and its interval;
            None for models that are not finalists, and for a metric without calibration.
        reason: Why the model has no score; empty otherwise.
    """

    model: str
    rank: int | None = None
    score: float | None = None
    images: int = 0
    low: float | None = None
    high: float | None = None
    best_rank: int | None = None
    worst_rank: int | None = None
    expected: float | None = None
    expected_low: float | None = None
    expected_high: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class SearchResult:
    """All models of a pool, and the course of the search.

    Attributes:
        cell: Labels of the search: ``model_pool``, ``dataset``, ``perturbation``, ``metric``, ``seed``.
        models: Models in order of rank, then models without a score.
        stop_reason: Why the search ended, see `HalvingResult`.
        images: Number of images available, N.
        forward_passes: Images passed through a model, summed over models.
        seconds: Duration of the search.
        regret: Expected loss of accuracy of fine-tuning only the first model instead of all; None for a metric without
            calibration.
        notes: Remarks for the reader.
    """

    cell: Mapping[str, str]
    models: tuple[SearchedModel, ...]
    stop_reason: str
    images: int
    forward_passes: int
    seconds: float
    regret: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> tuple[str, ...]:
        """Models that cannot be distinguished from the best; only the first if the intervals are unknown."""
        possibly_best = [model.model for model in self.models if model.best_rank == 1]
        return tuple(possibly_best or [model.model for model in self.models[:1]])
