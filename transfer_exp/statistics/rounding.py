"""What is only rounding counts as zero."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

RESOLUTION = 1e-12
"""A difference this small, relative to what was subtracted, is rounding and counts as zero."""


def deviations(
    features: Float[np.ndarray, "samples dim"], centres: Float[np.ndarray, "*samples dim"]
) -> Float[np.ndarray, "samples dim"]:
    """Return features minus centres, with what is only rounding (`RESOLUTION`) set to exactly zero.

    ``centres`` is one vector (D,) or one row per sample (N, D). A constant feature then has no scatter at
    all, rather than a tiny one that a metric divides by.
    """
    difference = features - centres
    difference[np.abs(difference) <= RESOLUTION * np.abs(centres)] = 0.0
    return difference
