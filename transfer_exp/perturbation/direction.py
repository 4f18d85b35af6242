"""Unit vectors that stay defined where two points coincide."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from transfer_exp.statistics.rounding import RESOLUTION


def inverse_length(
    length: Float[np.ndarray, "*shape"], points: Float[np.ndarray, "points dim"]
) -> Float[np.ndarray, "*shape"]:
    """Return 1 / length, or 0 where the length is only rounding and has no direction.

    Parameters
    ----------
    length
        Of differences of points, not negative.
    points
        (P, D), what was subtracted: a length up to `RESOLUTION` times the longest of them counts as zero.
    """
    magnitude = np.linalg.norm(points, axis=1).max()
    return np.divide(1.0, length, out=np.zeros_like(length), where=length > RESOLUTION * magnitude)
