"""Paired comparison of two conditions over datasets: sign-flip test, interval of the mean, and Holm's correction.

A condition is a way of scoring, such as a metric after one perturbation. Its value on a dataset is, for example, its
weighted tau there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from transfer_exp.errors import InputError
from transfer_exp.evaluation.intervals import mean_interval
from transfer_exp.statistics.rounding import RESOLUTION

DECIMALS = 12
"""Decimals of differences between values of about 1; rounding errors beyond them would turn ties into wins."""

MAX_SIGN_PATTERNS = 2**16
"""Maximum number of sign patterns of a sign-flip test: all of them if they are fewer, otherwise random ones."""
_BLOCK = 50
"""Number of comparisons that are tested at a time, which bounds the memory."""


@dataclass(frozen=True)
class PairedComparison:
    """Differences first minus second over the datasets that have both values.

    Attributes:
        differences: The differences, rounded to `DECIMALS`.
        mean: Mean difference; None without a pair.
        pairs: Number of datasets that have both values.
        wins, ties, losses: Number of datasets with a difference above, equal to and below zero.
        sign_flip_p: Two-sided p-value of this comparison alone, see `sign_flip_p_values`; 1 when nothing differs. If n
            <= 16 datasets differ, the minimum is 2^(1-n), 0.016 for 7. So few datasets cannot support many comparisons.
        interval: Interval of the mean by `mean_interval` at level 0.95; None with fewer than two pairs.
    """

    differences: tuple[float, ...]
    mean: float | None
    pairs: int
    wins: int
    ties: int
    losses: int
    sign_flip_p: float
    interval: tuple[float, float] | None


def compare_paired(first: Mapping[str, float | None], second: Mapping[str, float | None]) -> PairedComparison:
    """Compare two conditions over datasets, matched by name.

    A dataset counts once, so average its seeds first.

    Args:
        first, second: Values by dataset, such as weighted tau. A dataset that is missing or None on either side is left
            out.

    Raises:
        InputError: When a value is NaN or infinite.
    """
    differences = _differences(first, second)
    pairs = len(differences)
    return PairedComparison(
        differences=tuple(differences.tolist()),
        mean=float(differences.mean()) if pairs else None,
        pairs=pairs,
        wins=int((differences > 0).sum()),
        ties=int((differences == 0).sum()),
        losses=int((differences < 0).sum()),
        sign_flip_p=float(sign_flip_p_values(differences[differences != 0][:, None])[0]),
        interval=mean_interval(differences) if pairs > 1 else None,
    )


def sign_flip_p_values(
    differences: Float[np.ndarray, "pairs comparisons"], seed: int = 0
) -> Float[np.ndarray, " comparisons"]:
    """Compute the two-sided p-value of each mean difference by the sign-flip test (Fisher, 1935).

    It is the share of sign patterns whose mean is at least as far from zero as the actual mean. All 2^n patterns are
    enumerated for up to 16 pairs. With more, m = 65,536 patterns are drawn; b extreme ones give (b + 1)/(m + 1), which
    is never zero (Phipson and Smyth, "Permutation P-values Should Never Be Zero", 2010). The p-value is 1 when all
    differences are zero. ``scipy.stats.permutation_test`` enumerates the same patterns (and draws others) in Python,
    one comparison at a time; it took 30 times as long.

    Args:
        differences: Differences of comparisons over the same pairs, a column each; all get the same sign patterns.
        seed: Seed of drawn patterns.

    Raises:
        InputError: When a difference is NaN or infinite.
    """
    if not np.isfinite(differences).all():
        raise InputError("a difference is not finite: leave its comparison out")
    differences = np.round(differences, DECIMALS)
    pairs = len(differences)
    is_exact = 2**pairs <= MAX_SIGN_PATTERNS
    if is_exact:
        flips = np.arange(2**pairs)[:, None] >> np.arange(pairs) & 1
    else:
        flips = np.random.default_rng(seed).integers(0, 2, (MAX_SIGN_PATTERNS, pairs))
    signs = 2.0 * flips - 1
    p_values = np.empty(differences.shape[1])
    for start in range(0, differences.shape[1], _BLOCK):
        part = differences[:, start : start + _BLOCK]
        tolerance = RESOLUTION * np.abs(part).sum(axis=0)  # sums that differ only by the order of summation are equal
        n_extreme = (np.abs(signs @ part) >= np.abs(part.sum(axis=0)) - tolerance).sum(axis=0)
        p_values[start : start + _BLOCK] = (n_extreme + (not is_exact)) / (len(signs) + (not is_exact))
    return p_values


def holm(p_values: Float[np.ndarray, " comparisons"]) -> Float[np.ndarray, " comparisons"]:
    """Adjust the p-values of one family of comparisons to control the family-wise error rate.

    Rejecting wherever the adjusted p-value is at most alpha gives even one false rejection in the family with
    probability at most alpha, for any dependence between the comparisons. The i-th smallest of m p-values is multiplied
    by m - i + 1, made no smaller than its predecessor, and capped at 1. Source: Holm, "A Simple Sequentially Rejective
    Multiple Test Procedure", 1979. Raises `InputError` when a p-value is NaN or outside [0, 1].
    """
    invalid = np.flatnonzero(~((p_values >= 0) & (p_values <= 1)))
    if len(invalid):
        raise InputError(f"p-value {invalid[0]} is {p_values[invalid[0]]}: give p-values in [0, 1] only")
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    factors = len(p_values) - np.arange(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p_values[order] * factors))
    return adjusted


def _differences(first: Mapping[str, float | None], second: Mapping[str, float | None]) -> np.ndarray:
    """Return first minus second, rounded, of the datasets with both values in the order of ``first``."""
    differences = []
    for dataset, value in first.items():
        control = second.get(dataset)
        if value is not None and control is not None:
            if not np.isfinite([value, control]).all():
                raise InputError(f"dataset {dataset} has {value} and {control}: leave out values that are not finite")
            differences.append(value - control)
    return np.round(np.array(differences, dtype=np.float64), DECIMALS)
