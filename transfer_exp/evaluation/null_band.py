"""Distribution of weighted tau for random scores: its central interval (the null band) and standard deviation.

Only a metric whose tau lies above the band ranks the models better than chance.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

from transfer_exp.errors import InputError


@lru_cache(maxsize=256)
def null_band(models: int, level: float = 0.95, draws: int = 10000, seed: int = 0) -> tuple[float, float]:
    """Simulate the interval that holds the share ``level`` of the symmetric weighted tau of random scores.

    The band is for a single ranking: of 100 rankings by random scores, about five lie outside the 95 % band. It is
    [-0.51, 0.55] for 11 models and [-1, 1] for two. The weights make it asymmetric: 95 % of the absolute values for 11
    models lie below 0.53. Ties are not simulated.

    Args:
        models: Number of models, M.
        level: Share of random rankings inside, in (0, 1). The rest is split equally above and below.
        draws, seed: Number of random rankings, and their seed. With 10,000 the ends are accurate to about 0.01.

    Raises:
        InputError: When there are fewer than two models or one draw, or ``level`` is not between 0 and 1.
    """
    if models < 2 or draws < 1 or not 0 < level < 1:
        raise InputError(f"no null band for models={models}, level={level}, draws={draws}: need >= 2, (0, 1), >= 1")
    low, high = np.quantile(_random_taus(models, draws, seed), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@lru_cache(maxsize=256)
def null_deviation(models: int, draws: int = 10000, seed: int = 0) -> float:
    """Simulate the standard deviation of the symmetric weighted tau of random scores: 0.28 for 11 models, 0.20 for 23.

    Parameters are those of `null_band`. Raises `InputError` when there are fewer than two models or one draw.
    """
    if models < 2 or draws < 1:
        raise InputError(f"no deviation for models={models}, draws={draws}: need >= 2, >= 1")
    return float(_random_taus(models, draws, seed).std())


def _random_taus(models: int, draws: int, seed: int) -> Float[np.ndarray, " draws"]:
    """Return the weighted tau of random rankings."""
    return _taus(np.random.default_rng(seed).permuted(np.tile(np.arange(models), (draws, 1)), axis=1))


def _taus(orders: Int[np.ndarray, "draws models"]) -> Float[np.ndarray, " draws"]:
    """Return the symmetric weighted tau of each row of ranks (0 is best) with the ranks 0, 1, .., M-1.

    Without ties tau = sum_i w_i c_i / sum_i w_i (M-1), where w_i = 1/(rank_i + 1) and c_i is the number of models
    concordant with i minus the number discordant. Three to seven times as fast as `weighted_tau_many`, which allows
    ties.
    """
    draws, models = orders.shape
    agreement = np.zeros((draws, models))
    small = orders.astype(np.float32)  # whole numbers stay exact, at half the memory
    for i in range(models):
        agreement[:, i] = np.sign(small[:, [i]] - small) @ np.sign(i - np.arange(models, dtype=np.float32))
    weights = 1 / (np.arange(models) + 1.0)
    weight_sum = weights.sum() * (models - 1)
    by_first, by_second = agreement @ weights, (agreement * weights[orders]).sum(axis=1)
    return np.asarray((by_first + by_second) / (2 * weight_sum))
