"""Bootstrap intervals of a mean: how much it would change with other models or datasets of the same kind.

All are percentile intervals (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13). Their ends stay
within the range of the values, and they are defined even when every draw agrees. Each interval holds at its level
individually, not jointly with others.

Simulations used 11 or 23 models, normal scores with correlation 0, 0.5 or 0.9, and 250 pools of each. The 95 % interval
covered the expected weighted tau of such a pool in 93 to 97 % of pools. The bias-corrected BCa, undefined at a perfect
ranking, covered the tau in 91 to 96 % and was not narrower. Models are treated as independent, so the interval is too
narrow for a pool of closely related models.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from transfer_exp.errors import InputError
from transfer_exp.evaluation.correlation import mean_taus


def mean_tau_interval(
    scores: Float[np.ndarray, "rows models"],
    accuracies: Float[np.ndarray, "rows models"],
    weights: Float[np.ndarray, " rows"],
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Compute the interval of the mean weighted tau over models drawn with replacement, the same in every row.

    Copies of a model are tied, see `pool_taus`. A draw of the same model M times has tau 0. Its probability is
    1/M^(M-1), which matters below four models.

    Args:
        scores, accuracies, weights: See `mean_taus`. A model without both values in any row is never drawn.
        level: Confidence level, in (0, 1).
        draws, seed: Number of pools drawn, and the seed of the draws.

    Raises:
        InputError: When fewer than two models have both values, ``draws`` is below 1, or ``level`` not in (0, 1).
    """
    members = np.flatnonzero((np.isfinite(scores) & np.isfinite(accuracies)).any(axis=0))
    pools = members[resamples(len(members), draws, seed)]
    return percentile_interval(mean_taus(scores, accuracies, weights, pools), level)


def mean_interval(values: Float[np.ndarray, " values"]) -> tuple[float, float]:
    """Compute the 95 % interval of the mean over n values drawn with replacement, from 2000 draws with seed 0.

    It is too narrow for few values, by a factor of sqrt(1 - 1/n). Raises `InputError` when there are fewer than two
    values, or one is not finite.
    """
    if not np.isfinite(values).all():
        raise InputError(
            f"values must be finite: number {np.flatnonzero(~np.isfinite(values))[0]} is not; leave it out"
        )
    return percentile_interval(values[resamples(len(values), draws=2000, seed=0)].mean(axis=1), level=0.95)


def resamples(count: int, draws: int, seed: int) -> Int[np.ndarray, "draws count"]:
    """Draw ``count`` indices with replacement, a row per draw. Raises `InputError` for fewer than two or no draws."""
    if count < 2 or draws < 1:
        raise InputError(f"cannot resample {count} in {draws} draws: give two or more, and at least one draw")
    return np.random.default_rng(seed).integers(count, size=(draws, count))


def percentile_interval(values: Float[np.ndarray, " draws"], level: float) -> tuple[float, float]:
    """Compute the quantiles (1 - level)/2 and (1 + level)/2. Raises `InputError` when level is not in (0, 1)."""
    if not 0 < level < 1:
        raise InputError(f"level={level} is not a share of the draws: give one between 0 and 1, such as 0.95")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
