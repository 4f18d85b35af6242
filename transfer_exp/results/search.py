"""What a search of a pool found: models in order, how sure that order is, and what each is expected to reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SearchedModel:
    """One model of the pool.

    Attributes
    ----------
    model
        Its name.
    rank
        1 is best, in the order in which the search ended; None for a model without a score.
    score
        On the last images it was shown; larger is better. Scores on different numbers of images do not compare.
    images
        How many these were.
    low, high
        Ends of the interval that the score on other images of the same number has; None for a model that was dropped
        before the end.
    best_rank, worst_rank
        Ranks it may have, together for all models of the last round; None likewise.
    expected, expected_low, expected_high
        Accuracy it is expected to reach after full fine-tuning, in [0, 1], and the ends of its interval; None likewise,
        and where nothing is known of the metric.
    reason
        Why it has no score; empty when it has one.
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
    """All models of a pool, and how the search went.

    Attributes
    ----------
    cell
        What was searched: ``model_pool``, ``dataset``, ``perturbation``, ``metric``, ``seed``.
    models
        Best first, those without a score last.
    stopped
        Why the search ended, see `Search`.
    images
        N, how many there are to score on.
    pushed
        Images that went through a model, in all models.
    seconds
        That all this took.
    regret
        Accuracy that fine-tuning the first model alone is expected to cost against fine-tuning all; None where nothing
        is known of the metric.
    notes
        What else the reader should know.
    """

    cell: Mapping[str, str]
    models: tuple[SearchedModel, ...]
    stopped: str
    images: int
    pushed: int
    seconds: float
    regret: float | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def best(self) -> tuple[str, ...]:
        """Names of the models that cannot be told from the best; the first alone where that is not known."""
        may_be = [m.model for m in self.models if m.best_rank == 1]
        return tuple(may_be or [m.model for m in self.models[:1]])
