"""Scaling of values over the models of a pool: to [0, 1], to z-scores and to ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import scipy
from jaxtyping import Float

from transfer_exp.errors import InputError
from transfer_exp.statistics.rounding import RESOLUTION


def min_max_scaled(parts: Sequence[Mapping[str, float]], name: str) -> Float[np.ndarray, " models"]:
    """Return (v - min) / (max - min) of part ``name`` over the models of a pool, (M,), in [0, 1].

    A part that is equal for all models, up to rounding, becomes 0.

    Raises:
        InputError: If a model lacks the part or its value is not finite.
    """
    values = np.array([part.get(name, np.nan) for part in parts], dtype=np.float64)
    if not np.isfinite(values).all():
        index = int(np.flatnonzero(~np.isfinite(values))[0])
        raise InputError(f"model {index} of the pool has no finite {name}: leave it out of the pool")
    # Halves, because the difference of two huge values of opposite sign could overflow.
    width = values.max(initial=-np.inf) / 2 - values.min(initial=np.inf) / 2
    if len(values) == 0 or width <= RESOLUTION * np.abs(values).max():
        return np.zeros(len(values))
    return np.clip((values / 2 - values.min() / 2) / width, 0.0, 1.0)


def z_scores(scores: Float[np.ndarray, " models"]) -> Float[np.ndarray, " models"]:
    """Return scores minus their mean, divided by their population standard deviation, (M,); zeros if all are equal."""
    if (scores == scores[0]).all():
        return np.zeros(len(scores))
    # Divided first, so that squares of scores of any magnitude neither overflow nor vanish.
    scaled = scores / np.abs(scores).max()
    centred = scaled - scaled.mean()
    return np.asarray(centred / np.sqrt(np.mean(centred**2)))


def unit_ranks(scores: Float[np.ndarray, " models"]) -> Float[np.ndarray, " models"]:
    """Return ranks from 0 (lowest score) to 1 (highest score), equal scores sharing theirs, (M,)."""
    return np.asarray((scipy.stats.rankdata(scores) - 1) / (len(scores) - 1)) if len(scores) > 1 else np.full(1, 0.5)
