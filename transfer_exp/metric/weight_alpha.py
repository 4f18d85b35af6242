"""Weight alpha: heaviness of the tail of the weights' spectra, a property of the network that ignores the target."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from transfer_exp.errors import NotApplicableError, check_types
from transfer_exp.metric.metric import Metric, ModelWeights
from transfer_exp.metric.spectrum import squared_singular_values

SMALLEST_SIDE, FEWEST_VALUES, SHORTEST_TAIL = 10, 8, 5
"""Smallest side of a layer that counts, fewest eigenvalues, and shortest tail that a power law is fitted to."""
MOST_CANDIDATES = 60
"""Most candidates of the start of the tail, as in the reference."""


def weight_alpha(layers: Iterable[Float[np.ndarray, "_ _"]], weighted: bool = False) -> float:
    """Compute minus the mean over layers of the exponent a of a power law p(e) ~ e^-a of the eigenvalues e of W W'.

    `tail_exponent` fits each layer. Layers with a side below 10 are left out.

    Args:
        layers: Weights (outputs, inputs times kernel size).
        weighted: True to multiply each exponent by log10 of the layer's largest eigenvalue. The score then depends on
            the scale of the weights.

    Returns:
        Value below -1; weighted, any real number. Well-trained layers have exponents between 2 and 6.

    Raises:
        NotApplicableError: If no layer has an exponent, or a weight is not finite.

    References:
        Martin, Peng, Mahoney, "Predicting Trends in the Quality of State-of-the-Art Neural Networks without Access to
        Training or Testing Data", Nature Communications 2021, as in alizkzm/te-guide. Their WeightWatcher takes every
        eigenvalue as a candidate and each slice of a convolution separately.
    """
    values = []
    for layer in layers:
        if not np.isfinite(layer).all():
            raise NotApplicableError("the weights hold NaN or infinity: fetch them again")
        if min(layer.shape) >= SMALLEST_SIDE:
            eigenvalues = squared_singular_values(layer.astype(np.float64))
            exponent = tail_exponent(eigenvalues)
            if exponent is not None:
                values.append(exponent * (np.log10(eigenvalues[-1]) if weighted else 1.0))
    if not values:
        raise NotApplicableError(f"no layer has {FEWEST_VALUES} eigenvalues or more with a tail")
    return -float(np.mean(values))


def tail_exponent(eigenvalues: Float[np.ndarray, " values"]) -> float | None:
    """Return the exponent a of a power law in the tail of ascending positive values; None if there are too few.

    The tail starts at one of at most 60 candidates between the 10th and the 90th percentile. a is the exponent of
    maximum likelihood. The start has the smallest Kolmogorov-Smirnov distance (one-sided) between tail and law.
    """
    count = len(eigenvalues)
    if count < FEWEST_VALUES:
        return None
    low = int(0.1 * count)
    candidates = np.unique(eigenvalues[low : max(low + 1, int(0.9 * count))])
    if len(candidates) > MOST_CANDIDATES:
        candidates = candidates[np.linspace(0, len(candidates) - 1, MOST_CANDIDATES).astype(int)]
    best, smallest = None, np.inf
    for start in candidates:
        tail = eigenvalues[eigenvalues >= start]
        logarithms = np.log(tail / start).sum()
        if len(tail) < SHORTEST_TAIL or not logarithms > 0:
            continue
        exponent = 1 + len(tail) / logarithms
        law = 1 - (tail / start) ** (1 - exponent)
        distance = np.abs(np.arange(1, len(tail) + 1) / len(tail) - law).max()
        if distance < smallest:
            best, smallest = float(exponent), distance
    return best


@dataclass(frozen=True)
class WeightAlpha(Metric):
    """`weight_alpha` of all layers, the head included, as a metric. The fields are its options."""

    name = "weight_alpha"
    source = "Martin, Peng and Mahoney, Nature Communications 2021, as in TE-Bench (alizkzm/te-guide)"
    inputs = ("weights",)

    weighted: bool = False

    def __post_init__(self) -> None:
        check_types("metric", self)

    def __call__(self, weights: ModelWeights) -> float:
        """Return `weight_alpha` of the weights of a network."""
        head = () if weights.head is None else weights.head[:1]
        return weight_alpha((*weights.layers, *head), self.weighted)
