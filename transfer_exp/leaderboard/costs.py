"""Cost of a variant: processor seconds of a metric after a perturbation for the features of one model."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import process_time
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from transfer_exp.metric.metric import Metric, PoolMetric
from transfer_exp.perturbation.perturbation import Perturbation
from transfer_exp.perturbation.strength_path import StrengthPath
from transfer_exp.statistics.class_statistics import class_statistics

SAMPLES, DIM, CLASSES = 1000, 1280, 10
"""Size of the features: (1000, 1280) of ten classes."""

RANK = 64
"""Rank of the signal in synthetic features."""


def measure_seconds(
    metric: Metric | PoolMetric, perturbation: Perturbation | StrengthPath, repeats: int = 3, limit: float = np.inf
) -> float | None:
    """Return the processor seconds of a variant for synthetic features of one model, median of several runs.

    The forward pass is not part of it. The result is None for a strength path, and for a metric that needs more than
    features, labels and source probabilities.

    Args:
        metric, perturbation: Objects of the config groups.
        repeats: Number of runs.
        limit: Seconds after which no further run starts.
    """
    raw, labels = synthetic_features(SAMPLES, DIM, CLASSES)
    if isinstance(perturbation, StrengthPath):
        return None
    source_probabilities = synthetic_source_probabilities(raw) if "source_probabilities" in metric.inputs else None
    score = metric.parts if isinstance(metric, PoolMetric) else metric
    times: list[float] = []
    for _ in range(repeats):
        if sum(times) > limit:
            break
        start = process_time()
        features = perturbation(raw.astype(np.float64), labels, np.random.default_rng(0))
        inputs: dict[str, Callable[[], Any]] = {
            "features": lambda: features,  # noqa: B023
            "labels": lambda: labels,
            "source_probabilities": lambda: source_probabilities,
            "class_statistics": lambda: class_statistics(features, labels),  # noqa: B023
        }
        if not set(metric.inputs) <= set(inputs):
            return None
        score(*(inputs[name]() for name in metric.inputs))
        times.append(process_time() - start)
    return median(times)


def synthetic_features(
    samples: int, dim: int, classes: int, seed: int = 0
) -> tuple[Float[np.ndarray, "samples dim"], Int[np.ndarray, " samples"]]:
    """Return float32 features (N, D) and labels (N,) of classes that differ by at most one sample in size.

    The features resemble those of a network: low rank plus noise, rectified, and not quite separable.
    """
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
