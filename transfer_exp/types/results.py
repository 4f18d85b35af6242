"""What one cell of a study yields: a score and an accuracy per model, and how well the two rankings agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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
    """

    model: str
    score: float | None
    accuracy: float | None = None
    reason: str = ""


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
        Interval that holds 95 % of ``weighted_tau`` for random scores at this number of models, or None.
    tied
        True when all scores are equal, so that there is no ranking to speak of.
    """

    cell: Mapping[str, str]
    models: tuple[ModelResult, ...]
    measures: Mapping[str, float] = field(default_factory=dict)
    null_band: tuple[float, float] | None = None
    tied: bool = False
