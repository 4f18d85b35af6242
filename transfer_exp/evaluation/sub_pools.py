"""Stability of a result when the pool changes: weighted tau with models left out, and within groups of models.

Sub-pools follow Agostinelli, Pándy, Uijlings, Mensink and Ferrari, "How stable are Transferability Metrics
evaluations?", ECCV 2022, who count how often each metric ranks best over many pools and datasets.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import comb

import numpy as np
from jaxtyping import Float, Int

from transfer_exp.errors import InputError
from transfer_exp.evaluation.correlation import PerModel, check_pair, pool_taus, weighted_tau

TAU_TOLERANCE = 1e-12
"""Weighted taus that differ by at most this count as tied."""


def sub_pools(
    models: int, leave_out: int = 2, max_pools: int = 5000, seed: int = 0
) -> Int[np.ndarray, "pools members"]:
    """List the pools that remain when ``leave_out`` of ``models`` are left out, as rows of model indices.

    Args:
        models: Number of models, M.
        leave_out: Number of models to leave out, k, at least 1; two or more must remain.
        max_pools: Maximum number of sub-pools. If C(M, k) is larger, this number is drawn with ``seed``, independently
            of each other, so a sub-pool may recur.
        seed: Seed of that draw.

    Raises:
        InputError: When no model is left out, fewer than two remain, or ``max_pools`` is below 1.
    """
    if leave_out < 1 or models - leave_out < 2 or max_pools < 1:
        raise InputError(
            f"no sub-pools of {models} models with leave_out={leave_out} and max_pools={max_pools}: leave out at least "
            "one model, keep at least two, and allow at least one sub-pool"
        )
    if comb(models, leave_out) <= max_pools:
        left_out = np.array(list(combinations(range(models), leave_out)))
    else:
        shuffled = np.random.default_rng(seed).permuted(np.tile(np.arange(models), (max_pools, 1)), axis=1)
        left_out = shuffled[:, :leave_out]
    is_member = np.full((len(left_out), models), True)
    np.put_along_axis(is_member, left_out, False, axis=1)
    return np.nonzero(is_member)[1].reshape(len(left_out), models - leave_out)


def win_rates(
    scores: Float[np.ndarray, "metrics datasets models"],
    accuracies: Float[np.ndarray, "datasets models"],
    pools: Int[np.ndarray, "pools members"],
) -> Float[np.ndarray, "metrics datasets"]:
    """Compute the share of sub-pools in which each metric has the highest weighted tau, by dataset.

    Tied metrics share the win, so each column sums to 1. The mean over columns is the win rate over all pairs of
    sub-pool and dataset.

    Raises:
        InputError: When there is no sub-pool or metric, the shapes differ, or values are not finite, see `pool_taus`.
    """
    if len(pools) == 0:
        raise InputError("no sub-pool to count: give one or more rows of model indices")
    if len(scores) == 0 or scores.shape[1:] != accuracies.shape:
        raise InputError(
            f"scores must be (metrics, datasets, models), at least one metric with {accuracies.shape} as in the "
            f"accuracies: got {scores.shape}"
        )
    rates = np.zeros(scores.shape[:2])
    for dataset, dataset_accuracies in enumerate(accuracies):
        taus = np.array([pool_taus(metric[dataset], dataset_accuracies, pools) for metric in scores])
        is_best = taus >= taus.max(axis=0) - TAU_TOLERANCE
        rates[:, dataset] = (is_best / is_best.sum(axis=0)).mean(axis=1)
    return rates


def leave_one_out(scores: PerModel, accuracies: PerModel) -> PerModel:
    """Compute the weighted tau without each model in turn; element i leaves out model i.

    An element far from the tau of the full pool shows a result that depends on a single model.

    Raises:
        InputError: When there are fewer than three models, or `pool_taus` raises it.
    """
    # With as many sub-pools as models, row i of `sub_pools` leaves out model i. At least 1, so that an empty pool is
    # refused for its number of models.
    pools = sub_pools(len(scores), leave_out=1, max_pools=max(1, len(scores)))
    return pool_taus(scores, accuracies, pools)


def grouped_tau(scores: PerModel, accuracies: PerModel, groups: Sequence[str]) -> float:
    """Compute the weighted tau within groups of models, such as families, averaged over groups; in [-1, 1].

    It removes the part of a correlation that is due to the order of the groups. Each group is weighted by its number of
    pairs of models. With Kendall's tau, this mean would be the number of concordant minus discordant pairs within
    groups over all such pairs, as in Torgerson, "A Nonparametric Test of Correlation Using Rank Orders within
    Subgroups", Psychometrika 1956; the weighted tau is our choice. A group whose scores or accuracies are all equal
    counts as 0.

    Args:
        scores, accuracies: (M,), larger is better.
        groups: Group of each model.

    Raises:
        InputError: When `check_pair` raises it, a model has no group, or no group has two models.
    """
    check_pair(scores, accuracies)
    if len(groups) != len(scores):
        raise InputError(f"need a group for each of {len(scores)} models: got {len(groups)}")
    names = np.array(groups)
    members = [np.flatnonzero(names == name) for name in dict.fromkeys(groups)]
    members = [group for group in members if len(group) > 1]
    if not members:
        raise InputError("no group has two models, so nothing is ranked within groups: give coarser groups")
    taus = [weighted_tau(scores[group], accuracies[group]) for group in members]
    return float(np.average(taus, weights=[len(group) * (len(group) - 1) / 2 for group in members]))
