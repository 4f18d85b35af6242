"""Scaling of values over the models of a pool: to [0, 1], to z-scores and to ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import scipy
from jaxtyping import Float

from transfer_exp.errors import InputError
from transfer_exp.statistics.rounding import RESOLUTION


def min_max_scaled(parts_by_model: Sequence[Mapping[str, float]], name: str) -> Float[np.ndarray, " models"]:
    """Return (v - min) / (max - min) of one part of a score over the models of a pool, (M,), in [0, 1].

    A part that is equal for all models, up to rounding, becomes 0.

    Args:
        parts_by_model: For each of the M models, the parts of its score by name.
        name: Name of the part to scale.

    Raises:
        InputError: If a model lacks the part or its value is not finite.
    """
    values = np.array([part.get(name, np.nan) for part in parts_by_model], dtype=np.float64)
    if not np.isfinite(values).all():
        index = int(np.flatnonzero(~np.isfinite(values))[0])
        raise InputError(f"model {index} of the pool has no finite {name}: leave it out of the pool")
    # Halves, because the difference of two huge values of opposite sign could overflow.
    half_width = values.max(initial=-np.inf) / 2 - values.min(initial=np.inf) / 2
    if len(values) == 0 or half_width <= RESOLUTION * np.abs(values).max():
        return np.zeros(len(values))
    return np.clip((values / 2 - values.min() / 2) / half_width, 0.0, 1.0)


def z_scores(scores: Float[np.ndarray, " models"]) -> Float[np.ndarray, " models"]:
    """Return scores minus their mean, divided by their population standard deviation, (M,).

    Scores that are exactly equal become 0.
    """
    if (scores == scores[0]).all():
        return np.zeros(len(scores))
    # Divided first, so that squares of scores of any magnitude neither overflow nor vanish.
    scaled = scores / np.abs(scores).max()
    centred = scaled - scaled.mean()
    return np.asarray(centred / np.sqrt(np.mean(centred**2)))


def unit_ranks(scores: Float[np.ndarray, " models"]) -> Float[np.ndarray, " models"]:
    """Return (rank - 1) / (M - 1), (M,): ascending, ties have their mean rank; 0.5 for a single model."""
    return (
        np.asarray((scipy.stats.rankdata(scores) - 1) / (len(scores) - 1))
        if len(scores) > 1
        else np.full(len(scores), 0.5)
    )
