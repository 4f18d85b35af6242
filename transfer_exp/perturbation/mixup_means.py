"""Mixup with class means: samples of uncertain class move towards the other classes, as in SFDA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy.special import softmax

from transfer_exp.errors import InputError, check_options, check_types
from transfer_exp.statistics.class_statistics import class_statistics
from transfer_exp.statistics.discriminant import adaptive_shrinkage, centred_features, fitted_posterior
from transfer_exp.statistics.feature_set import Features, Labels, check_features, encode_labels


def mixup_means(features: Features, labels: Labels, strength: float = 1.0) -> Float[np.ndarray, "samples dim"]:
    """Return x + strength (1 - p(x)) (m_c - x), (N, D); at strength 1 this is p(x) x + (1 - p(x)) m_c.

    m_c averages the means of the other classes. p(x) is the softmax of the posterior of a linear discriminant with the
    shrinkage of SFDA, at the true class. The softmax of a probability lies between 1 / (C - 1 + e) and e / (C - 1 + e).
    So even samples of certain class move, and they move further the more classes there are.

    Args:
        features, labels: (N, D) and (N,) integers.
        strength: Factor of the displacement, not negative. 1 is the published mixture, 0 the identity.

    Raises:
        InputError: If `check_features` rejects the input, ``strength`` is negative or not finite, no sample differs
            from its class mean, or the within-class covariance is too ill-conditioned to invert.

    References:
        Shao et al., "Not All Models Are Equal", ECCV 2022, section 3 (ConfMix), as in the authors' code.
    """
    if not 0 <= strength < np.inf:
        raise InputError(f"strength={strength} of mixup_means must be a finite number, at least 0")
    features = check_features(features, labels)
    centred = centred_features(features, labels)
    codes, _ = encode_labels(labels)
    statistics = class_statistics(centred, labels)
    confidences = softmax(fitted_posterior(centred, statistics, adaptive_shrinkage(statistics)), axis=1)
    uncertainty = 1 - confidences[np.arange(len(codes)), codes]
    targets = (statistics.means.sum(axis=0) - statistics.means) / (len(statistics.counts) - 1)
    return features + strength * ((targets[codes] - centred) * uncertainty[:, None])


@dataclass(frozen=True)
class MixupMeans:
    """`mixup_means` as a perturbation: the self-challenge of SFDA before any metric. The fields are its options."""

    name: ClassVar[str] = "mixup_means"
    source: ClassVar[str] = "Shao et al., ECCV 2022"

    strength: float = 1.0

    def __post_init__(self) -> None:
        check_types("perturbation", self)
        is_allowed = 0 <= self.strength < np.inf
        check_options("perturbation", self, {"strength": (is_allowed, "a finite number, at least 0")})

    def __call__(self, features: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return `mixup_means` of features (N, D)."""
        return mixup_means(check_features(features, labels), labels, self.strength)
