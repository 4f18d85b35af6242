"""DISCO: separation of the classes along each singular direction of the features, weighted by singular values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transfer_exp.errors import InputError, check_options, check_types
from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.metric.spectrum import principal_components
from transfer_exp.statistics.class_statistics import class_sums
from transfer_exp.statistics.discriminant import centred_features
from transfer_exp.statistics.feature_set import Features, Labels, encode_labels

FLOOR = 1e-8
"""Addend of the variance within classes, in squared feature units, as in the reference."""


def disco(features: Features, labels: Labels, components: int = 64) -> float:
    """Compute sum_g w_g b_g / v_g over the leading principal components g of the features.

    w_g is the singular value of component g over the sum of all that count, b_g the variance of the class means along
    it, and v_g the mean over classes of the variance within the class (plus 1e-8). Classes count equally.

    Args:
        features, labels: (N, D); (N,) integers, at least two classes.
        components: Number of components that count, at least 1; at most min(N, D) are available.

    Returns:
        Value of at least 0; 0 for constant features.

    Raises:
        InputError: If ``components`` is below 1.

    References:
        Zhang et al., "DISCO", AAAI 2025 (arXiv 2412.19085), as in alizkzm/te-guide. The paper scores each component by
        a nearest-centroid classifier, groups components and samples hard examples; its authors released no code.
    """
    if components < 1:
        raise InputError(f"components={components} of disco must be at least 1 (64 is the published choice)")
    centred = centred_features(features, labels)
    codes, counts = encode_labels(labels)
    eigenvalues, coordinates = principal_components(centred)
    eigenvalues, coordinates = eigenvalues[-components:], coordinates[:, -components:]
    sizes = counts[:, None]
    means = class_sums(coordinates, codes, len(counts)) / sizes
    within = (class_sums((coordinates - means[codes]) ** 2, codes, len(counts)) / sizes + FLOOR).mean(axis=0)
    singular_values = np.sqrt(eigenvalues)
    return float(singular_values @ (means.var(axis=0) / within) / max(singular_values.sum(), np.finfo(float).tiny))


@dataclass(frozen=True)
class DISCO(FormulaMetric):
    """`disco` as a metric. The fields are its options."""

    name = "disco"
    source = "Zhang et al., AAAI 2025, as in TE-Bench (alizkzm/te-guide)"
    formula = staticmethod(disco)
    lower = 0.0
    invariances = ("rotation", "translation")

    components: int = 64

    def __post_init__(self) -> None:
        check_types("metric", self)
        check_options("metric", self, {"components": (self.components >= 1, "at least 1 (64 is the published choice)")})
