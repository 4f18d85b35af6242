"""LiDAR: effective number of directions that separate objects, from views of each, relative to the spread of views."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import xlogy

from transfer_exp.errors import InputError, check_options, check_types
from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.metric.spectrum import within_class_axes
from transfer_exp.statistics.class_statistics import ClassStatistics

ADDEND = 1e-8
"""Addend of every eigenvalue, as in the reference."""


def lidar(statistics: ClassStatistics, delta: float = 1e-4) -> float:
    """Compute exp(-sum_k p_k ln p_k) of the D eigenvalues of (W + delta I)^(-1/2) B (W + delta I)^(-1/2).

    The objects are the classes, and their views the samples. W is the scatter within objects over N - C, and B that of
    the C object means, equally weighted, over C - 1. p_k is an eigenvalue plus 1e-8, over the sum of all.

    Args:
        statistics: Statistics of features (N, D) and labels. The published score needs several augmented views of each
            unlabelled image: pass the number of the image as the label.
        delta: Variance that is added to every direction, in squared feature units, positive.

    Returns:
        Value in [1, D], in practice at most about min(D, C - 1).

    Raises:
        InputError: If ``delta`` is not positive, or no object has two views.

    References:
        Thilak et al., "LiDAR", ICLR 2024, as in rbalestr-lab/stable-pretraining. The paper divides by N and C.
    """
    if not 0 < delta < np.inf:
        raise InputError(f"delta={delta} of lidar must be positive (1e-4 is the published choice)")
    counts, dim = statistics.counts, len(statistics.mean)
    if statistics.samples == len(counts):
        raise InputError("every class has one sample, hence no spread of views for lidar: take more samples")
    means = statistics.offsets - statistics.offsets.mean(axis=0)
    squares, axes = within_class_axes(statistics)
    # The inverse is 1/delta outside the axes of W. Only C eigenvalues can differ from zero, those of M (W + dI)^-1 M'.
    along = means @ axes
    outside = means - along @ axes.T
    variances = squares / (statistics.samples - len(counts)) + delta
    gram = (along / variances) @ along.T + outside @ outside.T / delta
    eigenvalues = np.zeros(max(dim, len(counts)))
    eigenvalues[: len(counts)] = np.maximum(np.linalg.eigvalsh(gram)[::-1] / (len(counts) - 1), 0.0)
    return _effective_number(eigenvalues[:dim] + ADDEND)


def _effective_number(values: Float[np.ndarray, " dim"]) -> float:
    """Return the exponential of the entropy of positive values divided by their sum, at least 1."""
    shares = values / values.sum()
    return max(float(np.exp(-xlogy(shares, shares).sum())), 1.0)


@dataclass(frozen=True)
class LiDAR(FormulaMetric):
    """`lidar` as a metric, with the target's classes as objects. The fields are its options."""

    name = "lidar"
    source = "Thilak et al., ICLR 2024, with classes as objects"
    formula = staticmethod(lidar)
    lower = 1.0
    inputs = ("class_statistics",)
    invariances = ("rotation", "translation")

    delta: float = 1e-4

    def __post_init__(self) -> None:
        check_types("metric", self)
        check_options(
            "metric", self, {"delta": (0 < self.delta < np.inf, "a positive number (1e-4 is the published choice)")}
        )
