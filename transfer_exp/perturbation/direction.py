"""Unit vectors that stay defined where two points coincide."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from transfer_exp.types.class_statistics import RESOLUTION


def inverse_length(
    length: Float[np.ndarray, "*shape"], magnitude: Float[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape"]:
    """Return 1 / length, or 0 where the length is only rounding and has no direction.

    Parameters
    ----------
    length
        Of differences of points, not negative.
    magnitude
        Of the points themselves: a length up to `RESOLUTION` times this counts as zero.
    """
    return np.divide(1.0, length, out=np.zeros_like(length), where=length > RESOLUTION * magnitude)
