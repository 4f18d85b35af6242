"""Subtraction that sets rounding errors to zero."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

RESOLUTION = 1e-12
"""A difference this small relative to what was subtracted is a rounding error and counts as zero."""


def deviations(
    features: Float[np.ndarray, "samples dim"], centres: Float[np.ndarray, "*samples dim"]
) -> Float[np.ndarray, "samples dim"]:
    """Return features minus centres, with rounding errors (`RESOLUTION`) set to exactly zero.

    ``centres`` is one vector (D,) or one row per sample (N, D). A constant feature then has a scatter of exactly
    zero instead of a tiny one that a metric divides by.
    """
    difference = features - centres
    difference[np.abs(difference) <= RESOLUTION * np.abs(centres)] = 0.0
    return difference


def inverse_length(
    length: Float[np.ndarray, "*shape"], points: Float[np.ndarray, "points dim"]
) -> Float[np.ndarray, "*shape"]:
    """Return 1 / length, or 0 where the length is a rounding error and has no direction.

    Args:
        length: Lengths of differences between points, not negative. Up to `RESOLUTION` of the longest point is zero.
        points: (P, D), the points that were subtracted.
    """
    magnitude = np.linalg.norm(points, axis=1).max()
    return np.divide(1.0, length, out=np.zeros_like(length), where=length > RESOLUTION * magnitude)
