"""Is one condition better than another over datasets? Paired tests, and their correction for many comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from transfer_exp.errors import InputError
from transfer_exp.evaluation.intervals import mean_interval

DECIMALS = 12
"""Differences are rounded to this many places, so that rounding makes no win out of a tie."""

MOST_FLIPS = 2**16
"""Sign patterns enumerated at most; beyond, as many are drawn."""


@dataclass(frozen=True)
class PairedComparison:
    """Differences first minus second over the datasets that have both.

    Attributes
    ----------
    mean
        Mean difference; None without a pair.
    pairs, wins, ties, losses
        How many datasets have both values, and where the difference is above, equal to or below zero.
    wilcoxon_p, permutation_p
        Two-sided, see `wilcoxon_p` and `sign_flip_p`; 1 when nothing differs or there is no pair. With n <= 16
        datasets neither falls below 2^(1-n), 0.016 for 7: few datasets cannot carry many comparisons.
    interval
        Bootstrap interval of the mean over datasets; None with fewer than two pairs.
    level
        Confidence of ``interval``.
    """

    mean: float | None
    pairs: int
    wins: int
    ties: int
    losses: int
    wilcoxon_p: float
    permutation_p: float
    interval: tuple[float, float] | None
    level: float = 0.95


def compare_paired(
    first: Mapping[str, float | None],
    second: Mapping[str, float | None],
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> PairedComparison:
    """Compare two conditions over datasets, matched by name; a dataset counts once, so average its seeds first.

    Wilcoxon's test over datasets is the advice of Demšar, "Statistical Comparisons of Classifiers over Multiple Data
    Sets", JMLR 2006.

    Parameters
    ----------
    first, second
        Value (weighted tau, say) by dataset. A dataset that either lacks, or has as None, is left out.
    level, draws
        Of the bootstrap interval over datasets.
    seed
        Of the bootstrap, and of the permutation test where it draws.

    Raises
    ------
    InputError
        When a value is NaN or infinite, naming the dataset; as `mean_interval`.
    """
    differences = np.round(_differences(first, second), DECIMALS)
    pairs = len(differences)
    return PairedComparison(
        mean=float(differences.mean()) if pairs else None,
        pairs=pairs,
        wins=int((differences > 0).sum()),
        ties=int((differences == 0).sum()),
        losses=int((differences < 0).sum()),
        wilcoxon_p=wilcoxon_p(differences),
        permutation_p=sign_flip_p(differences, seed),
        interval=mean_interval(differences, level, draws, seed) if pairs > 1 else None,
        level=level,
    )


def wilcoxon_p(differences: Float[np.ndarray, " pairs"]) -> float:
    """Two-sided p of Wilcoxon's signed-rank test, exact for any number of pairs and with ties.

    Zeros are dropped before ranking, as by Wilcoxon, "Individual Comparisons by Ranking Methods", Biometrics Bulletin
    1945. Equal magnitudes share their mean rank, and the sum of positive ranks is compared with its distribution over
    all equally likely signs of those very ranks (scipy's exact table assumes none are equal). 1 when no difference
    is left.

    Raises
    ------
    InputError
        When a difference is NaN or infinite.
    """
    moved = _nonzero(differences)
    ranks = (2 * stats.rankdata(np.abs(moved))).astype(np.int64)  # doubled: mean ranks of equals end in .5
    total = int(ranks.sum())
    chances = np.zeros(total + 1)
    chances[0] = 1.0
    for rank in ranks:
        chances = (chances + np.concatenate([np.zeros(rank), chances[:-rank]])) / 2
    distance = np.abs(2 * np.arange(total + 1) - total)
    return min(1.0, float(chances[distance >= distance[ranks[moved > 0].sum()]].sum()))


def sign_flip_p(differences: Float[np.ndarray, " pairs"], seed: int = 0) -> float:
    """Two-sided p of the mean difference when each sign could as well be the other (Fisher's permutation test, 1935).

    The share of sign patterns whose mean is as far from zero as the observed one. All 2^n are enumerated for up to 16
    differences other than zero (zeros have no sign to flip). Beyond, m = 65,536 are drawn, and b as extreme give
    (b + 1)/(m + 1), which is never zero (Phipson and Smyth, "Permutation P-values Should Never Be Zero", 2010). 1 when
    nothing differs.

    Raises
    ------
    InputError
        When a difference is NaN or infinite.
    """
    moved = _nonzero(differences)
    exact = 2 ** len(moved) <= MOST_FLIPS
    if exact:
        flips = np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved)) & 1
    else:
        flips = np.random.default_rng(seed).integers(0, 2, (MOST_FLIPS, len(moved)))
    sums = np.abs((2.0 * flips - 1) @ moved)
    slack = 1e-12 * np.abs(moved).sum()  # the same sum in another order of adding is as extreme
    extreme = int((sums >= abs(moved.sum()) - slack).sum())
    return extreme / len(sums) if exact else (extreme + 1) / (MOST_FLIPS + 1)


def holm(p_values: Float[np.ndarray, " comparisons"]) -> Float[np.ndarray, " comparisons"]:
    """Adjust p-values of one family of comparisons so that any false claim at all is as rare as the level says.

    The i-th smallest of m is multiplied by m - i + 1, made no smaller than the one before it, and cut at 1. Whatever
    the dependence between comparisons (Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979).

    Raises
    ------
    InputError
        When a p-value is NaN or outside [0, 1].
    """
    wrong = np.flatnonzero(~((p_values >= 0) & (p_values <= 1)))
    if len(wrong):
        raise InputError(f"p-value {wrong[0]} is {p_values[wrong[0]]}: give only comparisons that were made, in [0, 1]")
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    factors = len(p_values) - np.arange(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p_values[order] * factors))
    return adjusted


def _differences(first: Mapping[str, float | None], second: Mapping[str, float | None]) -> np.ndarray:
    """Return first minus second of the datasets with both values, in the order of ``first``."""
    found = []
    for dataset, value in first.items():
        other = second.get(dataset)
        if value is not None and other is not None:
            if not np.isfinite([value, other]).all():
                raise InputError(f"dataset {dataset} has {value} and {other}: leave out what has no finite value")
            found.append(value - other)
    return np.array(found, dtype=np.float64)


def _nonzero(differences: np.ndarray) -> np.ndarray:
    """Return the differences that are not zero, rounded."""
    if not np.isfinite(differences).all():
        raise InputError(
            f"difference {np.flatnonzero(~np.isfinite(differences))[0]} is not finite: leave that pair out"
        )
    rounded = np.round(differences, DECIMALS)
    return np.asarray(rounded[rounded != 0])
