"""Agreement of the scores of one metric with the accuracies of the same models: all measures, and the null band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import comb

import numpy as np

from transfer_exp.errors import InputError, check_options, check_types
from transfer_exp.evaluation.correlation import (
    PerModel,
    check_pair,
    is_constant,
    kendall,
    pearson,
    spearman,
    weighted_tau,
)
from transfer_exp.evaluation.null_band import null_band
from transfer_exp.io.measures import is_error, larger_is_better
from transfer_exp.results.cell import ModelResult
from transfer_exp.statistics.rounding import merge_ties


@dataclass(frozen=True)
class Agreement:
    """Measures of the agreement of scores with accuracies.

    Attributes:
        measures: Values by name: ``weighted_tau`` (symmetric convention), ``weighted_tau_by_accuracy``, ``kendall``,
            ``spearman``, ``pearson``, ``rel_at_K``, ``recall_at_K``, ``regret``. Empty when fewer than two models have
            both score and accuracy.
        null_band: Interval that holds ``null_level`` of ``weighted_tau`` for random scores; None without measures.
        tied: True when all scores or all accuracies are equal. Correlations are 0 then.
        null_level: Share of random scores inside ``null_band``.
    """

    measures: Mapping[str, float] = field(default_factory=dict)
    null_band: tuple[float, float] | None = None
    tied: bool = False
    null_level: float = 0.95


_MOST_DRAWS = 1_000_000
"""Largest number of draws; each takes some bytes per model."""


@dataclass(frozen=True)
class Ranking:
    """Settings of the comparison; a call compares the scores of one metric with accuracies.

    Attributes:
        k: Number of top models in rel@k and recall@k, at least 1.
        level, draws, seed: Parameters of `null_band`.

    Raises:
        InputError: When ``k``, ``level`` or ``draws`` is out of range.
    """

    k: int = 3
    level: float = 0.95
    draws: int = 10000
    seed: int = 0

    def __post_init__(self) -> None:
        check_types("evaluation", self)
        checks = {
            "k": (self.k >= 1, "at least 1"),
            "level": (0 < self.level < 1, "above 0 and below 1"),
            "draws": (1 <= self.draws <= _MOST_DRAWS, f"from 1 to {_MOST_DRAWS}"),
        }
        check_options("evaluation", self, checks)

    def __call__(self, metric_name: str, models: Sequence[ModelResult], measure: str = "accuracy") -> Agreement:
        """Evaluate the models that have both a score and an accuracy.

        A score should be larger for a smaller error: correlations are with minus the error, ``regret`` is the error of
        the chosen model minus the smallest error, and ``rel_at_K`` is `error_ratio_at_k`.

        Args:
            metric_name: Name of the metric, for messages.
            models: Scores and accuracies, or errors.
            measure: Measure of accuracy, which decides whether larger values are better.

        Raises:
            InputError: When a score or accuracy is NaN or infinite; the message names metric and model.
        """
        for model in models:
            if model.score is not None and not np.isfinite(model.score):
                raise InputError(
                    f"metric {metric_name} scored model {model.model} {model.score}: "
                    "look at its features, or drop it from the pool"
                )
            if model.accuracy is not None and not np.isfinite(model.accuracy):
                raise InputError(
                    f"model {model.model} has accuracy {model.accuracy}, which metric {metric_name} cannot be compared "
                    "with: correct the ground truth"
                )
        pairs = np.array([(m.score, m.accuracy) for m in models if None not in (m.score, m.accuracy)], dtype=np.float64)
        if len(pairs) < 2:
            return Agreement(null_level=self.level)
        scores, values = pairs.T
        accuracies = larger_is_better(values, measure)
        measures = {
            "weighted_tau": weighted_tau(scores, accuracies),
            "weighted_tau_by_accuracy": weighted_tau(scores, accuracies, "by_accuracy"),
            "kendall": kendall(scores, accuracies),
            "spearman": spearman(scores, accuracies),
            "pearson": pearson(scores, accuracies),
            f"rel_at_{self.k}": (error_ratio_at_k if is_error(measure) else rel_at_k)(scores, values, self.k),
            f"recall_at_{self.k}": recall_at_k(scores, accuracies, self.k),
            "regret": regret(scores, accuracies),
        }
        band = null_band(len(pairs), self.level, self.draws, self.seed)
        return Agreement(measures, band, is_constant(scores) or is_constant(accuracies), self.level)


def rel_at_k(scores: PerModel, accuracies: PerModel, k: int) -> float:
    """Compute the best accuracy among the ``k`` models with the largest scores over the best of all, in [0, 1].

    Values below 0, which R2 can have, count as 0. 1 when the best accuracy is 0 (nothing can be lost) and when k is at
    least M. Raises `InputError` when `check_pair` does, or ``k`` is below 1.
    """
    accuracies = np.maximum(accuracies, 0.0)
    best = float(accuracies.max(initial=-np.inf))
    best_of_top = _expected_best(scores, accuracies, k)
    return best_of_top / best if best != 0 else 1.0


def error_ratio_at_k(scores: PerModel, errors: PerModel, k: int) -> float:
    """Compute the smallest error of all models over that of the ``k`` models with the largest scores, in [0, 1].

    It takes the place of `rel_at_k` where smaller values are better. 1 when nothing can be lost. Raises `InputError`
    when `check_pair` does, or ``k`` is below 1.
    """
    of_top = -_expected_best(scores, -errors, k)
    return float(errors.min()) / of_top if of_top != 0 else 1.0


def recall_at_k(scores: PerModel, accuracies: PerModel, k: int) -> float:
    """Compute the probability that a model of the best accuracy is among the top ``k``; 0 or 1 without ties.

    Raises `InputError` when `check_pair` does, or ``k`` is below 1.
    """
    check_pair(scores, accuracies)
    return _expected_best(scores, (accuracies == accuracies.max()).astype(np.float64), k)


def regret(scores: PerModel, accuracies: PerModel) -> float:
    """Compute the best accuracy minus that of the model with the largest score, in the unit of accuracy, >= 0.

    Raises `InputError` when `check_pair` does.
    """
    chosen = _expected_best(scores, accuracies, 1)
    return max(0.0, float(accuracies.max()) - chosen)


def _expected_best(scores: np.ndarray, values: np.ndarray, k: int) -> float:
    """Return the expected largest value among the top ``k`` when tied candidates fill the last ranks at random.

    Of t tied candidates in ascending order, the i-th (from 1) is the largest of r drawn ones with probability
    C(i-1, r-1) / C(t, r).
    """
    check_pair(scores, values)
    if k < 1:
        raise InputError(f"k={k} chooses no model: take at least 1")
    scores = merge_ties(scores)
    threshold = np.sort(scores)[::-1][min(k, len(scores)) - 1]
    above = values[scores > threshold]
    tied = np.sort(values[scores == threshold])
    n_drawn = min(k, len(scores)) - len(above)
    largest = np.maximum(tied, above.max(initial=-np.inf))
    probabilities = [comb(i, n_drawn - 1) / comb(len(tied), n_drawn) for i in range(len(tied))]
    return float(np.dot(probabilities, largest))
