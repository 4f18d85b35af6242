"""Synthetic features that resemble those of a network: low rank plus noise, rectified, and not quite separable."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

RANK = 64
"""Rank of the signal."""


def synthetic_features(
    samples: int, dim: int, classes: int, seed: int = 0
) -> tuple[Float[np.ndarray, "samples dim"], Int[np.ndarray, " samples"]]:
    """Return float32 features (N, D) and labels (N,) of classes that differ by at most one sample in size."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(samples) % classes)
    scale = 1 / np.sqrt(np.arange(1, RANK + 1))
    latent = (rng.standard_normal((classes, RANK)) * 0.5)[labels] + rng.standard_normal((samples, RANK))
    signal = (latent * scale) @ rng.standard_normal((RANK, dim)) / np.sqrt((scale**2).sum())
    features = 0.5 * signal + 0.2 * rng.standard_normal((samples, dim)) + 0.1
    return np.maximum(features, 0).astype(np.float32), labels


def synthetic_source_probabilities(
    features: Float[np.ndarray, "samples dim"], source_classes: int = 1000, seed: int = 0
) -> Float[np.ndarray, "samples {source_classes}"]:
    """Return the softmax output of a random head on features (N, D): float64 rows that sum to 1, (N, S)."""
    rng = np.random.default_rng(seed)
    logits = (features - features.mean(axis=0)) @ rng.standard_normal((features.shape[1], source_classes))
    logits /= logits.std() / 3
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)
