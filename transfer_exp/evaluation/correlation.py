"""Rank and linear correlation of scores and accuracies, where a constant side means 0 and never NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

from transfer_exp.errors import InputError, suggestion

CONVENTIONS = ("symmetric", "by_accuracy")


def check_pair(scores: Float[np.ndarray, " models"], accuracies: Float[np.ndarray, " models"]) -> None:
    """Refuse what has no correlation.

    Raises
    ------
    InputError
        When the lengths differ, fewer than two models are given, or a value is NaN or infinite (which scipy would
        rank without a word).
    """
    if len(scores) != len(accuracies) or len(scores) < 2:
        raise InputError(f"need two or more scores and as many accuracies: got {len(scores)} and {len(accuracies)}")
    for name, values in (("scores", scores), ("accuracies", accuracies)):
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise InputError(f"{name} must be finite: number {bad[0]} is {values[bad[0]]}; leave that model out")


def is_constant(values: Float[np.ndarray, " models"]) -> bool:
    """Whether all values are equal, so that they rank nothing."""
    return bool((values == values[0]).all())


def weighted_tau(
    scores: Float[np.ndarray, " models"],
    accuracies: Float[np.ndarray, " models"],
    convention: str = "symmetric",
) -> float:
    """Weighted Kendall's tau with additive hyperbolic weights, in [-1, 1].

    A pair of models at ranks r and s (from 0, best first) weighs 1/(r+1) + 1/(s+1), so a swap near the top costs more
    (Vigna, "A weighted correlation index for rankings with ties", WWW 2015, eq. 4). The literature uses two rankings:

    - ``"symmetric"``: the mean of the value ranked by score and the value ranked by accuracy. It is scipy's default
      (``rank=True``) and the convention of SFDA, PED and TLLIB.
    - ``"by_accuracy"``: ranked by accuracy alone, scipy's ``weightedtau(accuracies, scores, rank=None)``. Model-Spider.

    Parameters
    ----------
    scores, accuracies
        (M,), larger is better. 0 is returned when either is constant.
    convention
        Which ranks weigh the pairs.

    Raises
    ------
    InputError
        As `check_pair`, and for an unknown convention.
    """
    if convention not in CONVENTIONS:
        raise InputError(f"unknown convention {convention} of weighted tau: {suggestion(convention, CONVENTIONS)}")
    if convention == "by_accuracy":
        by_first: Any = None  # scipy's word for "ranked by the first argument", which its stubs leave out
        return _or_zero(lambda s, a: stats.weightedtau(a, s, rank=by_first).statistic, scores, accuracies)
    return _or_zero(lambda s, a: stats.weightedtau(s, a).statistic, scores, accuracies)


def kendall(scores: Float[np.ndarray, " models"], accuracies: Float[np.ndarray, " models"]) -> float:
    """Kendall's tau-b, in [-1, 1]; 0 when either side is constant. Raises as `check_pair`."""
    return _or_zero(lambda s, a: stats.kendalltau(s, a).statistic, scores, accuracies)


def spearman(scores: Float[np.ndarray, " models"], accuracies: Float[np.ndarray, " models"]) -> float:
    """Spearman's rho, in [-1, 1]; 0 when either side is constant. Raises as `check_pair`."""
    return _or_zero(lambda s, a: stats.spearmanr(s, a).statistic, scores, accuracies)


def pearson(scores: Float[np.ndarray, " models"], accuracies: Float[np.ndarray, " models"]) -> float:
    """Pearson's r, in [-1, 1]; 0 when either side is constant, to rounding. Raises as `check_pair`."""
    return _or_zero(_pearson, scores, accuracies)


def _or_zero(
    correlation: Callable[[np.ndarray, np.ndarray], float], scores: np.ndarray, accuracies: np.ndarray
) -> float:
    """Evaluate ``correlation`` where both sides rank something."""
    check_pair(scores, accuracies)
    if is_constant(scores) or is_constant(accuracies):
        return 0.0
    return float(correlation(scores, accuracies))


def _pearson(first: np.ndarray, second: np.ndarray) -> float:
    """Cosine of the centred values, each scaled first so that no square over- or underflows."""
    unit = [values / np.abs(values).max() for values in (first, second)]
    centred = [values - values.mean() for values in unit]
    norm = np.linalg.norm(centred[0]) * np.linalg.norm(centred[1])
    return float(np.clip(centred[0] @ centred[1] / norm, -1, 1)) if norm > 0 else 0.0
