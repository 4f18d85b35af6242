"""Rank and linear correlations of scores with accuracies, for one pool of models or for many at once.

Scores and accuracies are arrays with one value per model, larger is better. If all scores or all accuracies are equal,
the correlation is 0, never NaN. Values that differ by rounding only are tied (`merge_ties`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import scipy
from jaxtyping import Float, Int

from transfer_exp.errors import InputError, suggestion
from transfer_exp.statistics.rounding import merge_ties

PerModel: TypeAlias = Float[np.ndarray, " models"]
"""One number for each of the M models of a pool."""
CONVENTIONS = ("symmetric", "by_accuracy")


def check_pair(scores: PerModel, accuracies: PerModel) -> None:
    """Raise `InputError` when lengths differ, there are fewer than two models, or a value is NaN or infinite.

    scipy would rank such values silently.
    """
    if len(scores) != len(accuracies) or len(scores) < 2:
        raise InputError(f"need two or more scores and as many accuracies: got {len(scores)} and {len(accuracies)}")
    for name, values in (("scores", scores), ("accuracies", accuracies)):
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise InputError(f"{name} must be finite: number {bad[0]} is {values[bad[0]]}; leave that model out")


def is_constant(values: PerModel) -> bool:
    """Return whether all values are equal, apart from rounding."""
    values = merge_ties(values)
    return bool((values == values[0]).all())


def weighted_tau(scores: PerModel, accuracies: PerModel, convention: str = "symmetric") -> float:
    """Compute the weighted Kendall's tau with additive hyperbolic weights, in [-1, 1].

    A pair of models at ranks r and s (from 0, best first) weighs 1/(r+1) + 1/(s+1), so a swap near the top costs more.
    Source: Vigna, "A weighted correlation index for rankings with ties", WWW 2015, eq. 4. The literature takes the
    ranks in two ways:

    - ``"symmetric"``: the mean of tau with ranks by score and tau with ranks by accuracy. It is scipy's default
      (``rank=True``) and the convention of SFDA, PED and TLLIB.
    - ``"by_accuracy"``: ranks by accuracy only, scipy's ``weightedtau(accuracies, scores, rank=None)``. It is the
      convention of Model-Spider.

    Args:
        scores, accuracies: (M,), larger is better. The result is 0 when either is constant.
        convention: Ranks that weigh the pairs: ``"symmetric"`` or ``"by_accuracy"``.

    Raises:
        InputError: When `check_pair` raises it, or the convention is unknown.
    """
    if convention not in CONVENTIONS:
        raise InputError(f"unknown convention {convention} of weighted tau: {suggestion(convention, CONVENTIONS)}")
    if convention == "by_accuracy":
        rank: Any = None  # scipy then ranks by its first argument; its type stubs lack this value
        return _or_zero(lambda s, a: scipy.stats.weightedtau(a, s, rank=rank).statistic, scores, accuracies)
    return _or_zero(lambda s, a: scipy.stats.weightedtau(s, a).statistic, scores, accuracies)


def kendall(scores: PerModel, accuracies: PerModel) -> float:
    """Compute Kendall's tau-b, in [-1, 1]. Raises `InputError` when `check_pair` does."""
    return _or_zero(lambda s, a: scipy.stats.kendalltau(s, a).statistic, scores, accuracies)


def spearman(scores: PerModel, accuracies: PerModel) -> float:
    """Compute Spearman's rho, in [-1, 1]. Raises `InputError` when `check_pair` does."""
    return _or_zero(lambda s, a: scipy.stats.spearmanr(s, a).statistic, scores, accuracies)


def pearson(scores: PerModel, accuracies: PerModel) -> float:
    """Compute Pearson's r, in [-1, 1]; 0 when either side is constant to rounding.

    Raises `InputError` when `check_pair` does.
    """
    return _or_zero(_pearson, scores, accuracies)


def weighted_tau_many(
    scores: Float[np.ndarray, "draws models"], accuracies: Float[np.ndarray, "draws models"]
) -> Float[np.ndarray, " draws"]:
    """Compute the symmetric `weighted_tau` of each row, in O(draws M^2) without a loop over draws.

    With p_ij = 1, -1 or 0 for a concordant, discordant or tied pair, the sum over pairs of (w_i + w_j) p_ij equals
    sum_i w_i sum_j p_ij. So three counts per model are enough: concordant minus discordant models, models with a
    different score, and models with a different accuracy. Weights are 1/(rank + 1), with ranks once by score and once
    by accuracy. Equal values are ranked by the other side, as in scipy.

    Raises `InputError` when the shapes differ, a row has fewer than two models, or a value is NaN or infinite.
    """
    if scores.shape != accuracies.shape or scores.shape[1] < 2:
        raise InputError(f"need two or more models a row on both sides: got {scores.shape} and {accuracies.shape}")
    for name, values in (("scores", scores), ("accuracies", accuracies)):
        if not np.isfinite(values).all():
            row, model = np.argwhere(~np.isfinite(values))[0]
            raise InputError(f"{name} must be finite: model {model} of row {row} is not; leave that model out")
    scores, accuracies = merge_ties(scores), merge_ties(accuracies)
    counts = np.zeros((3, *scores.shape))
    for i in range(scores.shape[1]):
        by_score, by_accuracy = _compare(scores, i), _compare(accuracies, i)
        for count, orders in zip(counts, (by_score * by_accuracy, by_score != 0, by_accuracy != 0), strict=True):
            count[:, i] = orders.sum(axis=1)
    return (_tau(counts, _weights(scores, accuracies)) + _tau(counts, _weights(accuracies, scores))) / 2


def pool_taus(
    scores: PerModel, accuracies: PerModel, pools: Int[np.ndarray, "pools members"]
) -> Float[np.ndarray, " pools"]:
    """Compute the weighted tau of each pool; a pool is a row of model indices, which may repeat.

    A copy of a model is tied with it on both sides: the pair counts as neither concordant nor discordant, but each has
    its own rank. Raises `InputError` when `check_pair` or `weighted_tau_many` does.
    """
    check_pair(scores, accuracies)
    return weighted_tau_many(scores[pools], accuracies[pools])


def mean_taus(
    scores: Float[np.ndarray, "rows models"],
    accuracies: Float[np.ndarray, "rows models"],
    weights: Float[np.ndarray, " rows"],
    pools: Int[np.ndarray, "pools members"],
) -> Float[np.ndarray, " pools"]:
    """Compute the mean weighted tau of each pool over R rows, where values may be missing.

    A row is one dataset, or one seed of it. It uses the members of a pool that have both values in it; its tau is 0
    where fewer than two do. Raises `InputError` for an empty table.

    Args:
        scores, accuracies: (R, M), NaN where a value is missing.
        weights: (R,), weights of the rows in the mean.
        pools: (P, K), model indices; a row per pool.
    """
    if len(scores) == 0:
        raise InputError("no row to average over: give one dataset or more")
    taus = np.zeros((len(scores), len(pools)))
    for row_taus, row_scores, row_accuracies in zip(taus, scores, accuracies, strict=True):
        is_complete = (np.isfinite(row_scores) & np.isfinite(row_accuracies))[pools]
        sizes = is_complete.sum(axis=1)
        for size in set(sizes.tolist()) - {0, 1}:
            same_size = sizes == size
            members = pools[same_size][is_complete[same_size]].reshape(-1, size)
            row_taus[same_size] = weighted_tau_many(row_scores[members], row_accuracies[members])
    return np.asarray(np.average(taus, axis=0, weights=weights))


def _or_zero(
    correlation: Callable[[np.ndarray, np.ndarray], float], scores: np.ndarray, accuracies: np.ndarray
) -> float:
    """Return the correlation, or 0 when either side is constant."""
    check_pair(scores, accuracies)
    scores, accuracies = merge_ties(scores), merge_ties(accuracies)
    if is_constant(scores) or is_constant(accuracies):
        return 0.0
    return float(correlation(scores, accuracies))


def _pearson(first: np.ndarray, second: np.ndarray) -> float:
    """Return the cosine of the centred values; scaling them first keeps squares from over- or underflowing."""
    unit = [values / np.abs(values).max() for values in (first, second)]
    centred = [values - values.mean() for values in unit]
    norm = np.linalg.norm(centred[0]) * np.linalg.norm(centred[1])
    return float(np.clip(centred[0] @ centred[1] / norm, -1, 1)) if norm > 0 else 0.0


def _compare(values: np.ndarray, i: int) -> np.ndarray:
    """Return 1, 0 or -1 where model ``i`` is above, equal to or below each model; comparisons cannot overflow."""
    value = values[:, [i]]
    return np.asarray((value > values).astype(np.int8) - (value < values))


def _weights(primary: np.ndarray, secondary: np.ndarray) -> np.ndarray:
    """Return 1/(rank + 1) of each model in descending order of ``primary``, then of ``secondary``."""
    descending = np.lexsort((secondary, primary), axis=1)[:, ::-1]
    weights_by_rank = np.broadcast_to(1 / (np.arange(primary.shape[1]) + 1.0), primary.shape)
    weights = np.empty(primary.shape)
    np.put_along_axis(weights, descending, weights_by_rank, axis=1)
    return weights


def _tau(counts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted agreement over the geometric mean of the weights of untied pairs; 0 where that mean is 0."""
    agreement, by_score, by_accuracy = (counts * weights).sum(axis=2)
    maximum = np.sqrt(by_score) * np.sqrt(by_accuracy)
    return np.divide(agreement, maximum, out=np.zeros_like(maximum), where=maximum > 0)
