"""Would the verdict be the same from a slightly smaller pool? Models left out, in every way or in a sample of ways.

After Agostinelli, Pándy, Uijlings, Mensink and Ferrari, "How stable are Transferability Metrics evaluations?", ECCV
2022, who vary pool and target and count which metric comes first.
"""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
from jaxtyping import Float, Int

from transfer_exp.errors import InputError
from transfer_exp.evaluation.weighted_tau_many import pool_differences, pool_taus

ROUNDING = 1e-12
"""Weighted taus closer than this are equal."""


def sub_pools(models: int, leave_out: int = 2, most: int = 5000, seed: int = 0) -> Int[np.ndarray, "pools kept"]:
    """Return the indices that remain when ``leave_out`` of ``models`` are left out, a row per sub-pool.

    Parameters
    ----------
    models
        M.
    leave_out
        k, at least 1; two models or more must remain.
    most
        If C(M, k) is no more, all sub-pools are listed; else this many are drawn independently, so one may recur.
    seed
        Of that draw.

    Raises
    ------
    InputError
        When no model is left out, fewer than two remain, or ``most`` is below 1.
    """
    if leave_out < 1 or models - leave_out < 2 or most < 1:
        raise InputError(
            f"no sub-pools of {models} models without {leave_out}, {most} at most: leave out 1 or more, keep 2, take 1"
        )
    if comb(models, leave_out) <= most:
        left_out = np.array(list(combinations(range(models), leave_out)))
    else:
        shuffled = np.random.default_rng(seed).permuted(np.tile(np.arange(models), (most, 1)), axis=1)
        left_out = shuffled[:, :leave_out]
    kept = np.full((len(left_out), models), True)
    np.put_along_axis(kept, left_out, False, axis=1)
    return np.nonzero(kept)[1].reshape(len(left_out), models - leave_out)


def flip_rate(
    first: Float[np.ndarray, "*datasets models"],
    second: Float[np.ndarray, "*datasets models"],
    accuracies: Float[np.ndarray, "*datasets models"],
    pools: Int[np.ndarray, "pools kept"],
) -> float:
    """Share of sub-pools whose verdict (first better, equal, second better) is not that of the full pool, in [0, 1].

    The verdict is the sign of the difference of weighted taus, averaged over datasets.

    Parameters
    ----------
    first, second
        Scores under either condition: (M,), or (datasets, M) with models in one order.
    accuracies
        Of the same shape.
    pools
        From `sub_pools`; the same models are left out on every dataset.

    Raises
    ------
    InputError
        As `pool_differences`; when there is no sub-pool.
    """
    _need_pools(pools)
    everyone = np.arange(first.shape[-1])[None]
    verdict = pool_differences(first, second, accuracies, everyone)
    return share_of_flips(float(verdict[0]), pool_differences(first, second, accuracies, pools))


def share_of_flips(verdict: float, differences: Float[np.ndarray, " pools"]) -> float:
    """Share of the differences whose sign is not that of ``verdict``, in [0, 1]; what is 0 to rounding has its own."""
    return float((_sign(differences) != _sign(np.array([verdict]))).mean())


def win_rates(
    scores: Float[np.ndarray, "metrics datasets models"],
    accuracies: Float[np.ndarray, "datasets models"],
    pools: Int[np.ndarray, "pools kept"],
) -> Float[np.ndarray, "metrics datasets"]:
    """Share of sub-pools in which each metric has the highest weighted tau, by dataset; equal ones share the win.

    Each column sums to 1; the mean over columns is the win rate over all pairs of sub-pool and dataset.

    Parameters
    ----------
    scores
        (metrics, datasets, M), one or more metrics.
    accuracies, pools
        (datasets, M), and rows from `sub_pools`.

    Raises
    ------
    InputError
        As `pool_taus`; when there is no sub-pool or no metric, or the shapes differ.
    """
    _need_pools(pools)
    if len(scores) == 0 or scores.shape[1:] != accuracies.shape:
        raise InputError(f"need one metric or more on all of {accuracies.shape}: got scores of {scores.shape}")
    rates = np.zeros(scores.shape[:2])
    for dataset, truth in enumerate(accuracies):
        taus = np.array([pool_taus(metric[dataset], truth, pools) for metric in scores])
        best = taus >= taus.max(axis=0) - ROUNDING
        rates[:, dataset] = (best / best.sum(axis=0)).mean(axis=1)
    return rates


def leave_one_out(
    scores: Float[np.ndarray, " models"], accuracies: Float[np.ndarray, " models"]
) -> Float[np.ndarray, " models"]:
    """Weighted tau without each model in turn; far from the full pool's where one model carries the result.

    Element i leaves out model i. Raises as `pool_taus`, and `InputError` for fewer than three models.
    """
    models = len(scores)
    pools = sub_pools(models, leave_out=1, most=max(1, models))
    return pool_taus(scores, accuracies, pools)


def _need_pools(pools: np.ndarray) -> None:
    """Refuse a share of nothing."""
    if len(pools) == 0:
        raise InputError("no sub-pool to count: give one or more rows of model indices")


def _sign(differences: np.ndarray) -> np.ndarray:
    """Return 1, 0 or -1, with 0 for what is zero to rounding."""
    return np.sign(np.where(np.abs(differences) <= ROUNDING, 0.0, differences))
