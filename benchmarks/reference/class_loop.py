"""Python loops over classes, shared by the reference implementations."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def class_rows(
    features: Float[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]
) -> list[Float[np.ndarray, "_ dim"]]:
    """Return the rows of each class, one mask per class."""
    return [features[labels == c] for c in range(labels.max() + 1)]


def class_mean_rows(
    features: Float[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]
) -> Float[np.ndarray, "samples dim"]:
    """Return features with every row replaced by its class mean."""
    replaced = np.zeros_like(features)
    for c in range(labels.max() + 1):
        replaced[labels == c] = features[labels == c].mean(axis=0)
    return replaced
