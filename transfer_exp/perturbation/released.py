"""Spread-Attract as its two released codes compute it: without the spread, with attraction of opposite signs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy.linalg import eigvalsh

from transfer_exp.errors import check_options, check_types
from transfer_exp.perturbation.attract import attract
from transfer_exp.perturbation.pca import pca
from transfer_exp.statistics.feature_set import Features, check_features
from transfer_exp.statistics.rounding import deviations

THRESHOLD = float(np.log(1e9) / 5)
"""4.1447, in squared feature units: where exp(-5 x), the shrinkage of SFDA, falls below 1e-9."""


def gate_opens(features: Features) -> bool:
    """Return whether the mean of the two largest eigenvalues of the features' covariance exceeds `THRESHOLD`.

    The covariance is divided by N. The scale of the features matters, so a ranking can mix perturbed and raw features.
    """
    centred = deviations(features, features.mean(axis=0))
    samples, dim = centred.shape
    gram = centred @ centred.T if samples <= dim else centred.T @ centred
    last = len(gram) - 1
    largest = eigvalsh(gram / samples, subset_by_index=[max(last - 1, 0), last])
    return bool(largest.mean() > THRESHOLD)


@dataclass(frozen=True)
class Released:
    """The features that the released code scores: `pca` then `attract` if the gate opens, otherwise raw features.

    The release computes the spread and then overwrites it, so no spreading force is applied here. Its attraction
    pushes separated classes apart, is not clamped and grows with the number of classes.

    Attributes:
        alpha: Strength of `attract`: 0.005 for the supervised pool, 0.1 for the self-supervised pool.
        sigma: Option of `attract`.
        dim: Number of principal components.
    """

    name: ClassVar[str] = "released"
    source: ClassVar[str] = "released code of Khoba et al., WACV 2025"

    alpha: float = 0.005
    sigma: float = 0.6
    dim: int = 64

    def __post_init__(self) -> None:
        check_types("perturbation", self)
        checks = {
            "alpha": (0 <= self.alpha < np.inf, "a finite number, at least 0"),
            "sigma": (0 <= self.sigma < np.inf, "a finite number, at least 0"),
            "dim": (self.dim >= 1, "at least 1 (64 is the usual choice)"),
        }
        check_options("perturbation", self, checks)

    def __call__(
        self, features: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> Float[np.ndarray, "samples new_dim"]:
        """Return a copy of features (N, D), or the perturbed principal components (N, min(dim, N, D))."""
        features = check_features(features, labels)
        if not gate_opens(features):
            return features.copy()
        reduced = pca(features, self.dim)
        return attract(reduced, labels, self.alpha, self.sigma, "released", clamp=False, normalise=False)


@dataclass(frozen=True)
class SecondRelease(Released):
    """The features that the second release scores: `pca`, then `attract` of the sign in the paper, without a gate.

    Every class moves by exactly minus its displacement in the first release. Separated classes therefore come together
    and overlapping classes move apart. In many dimensions nearly all classes overlap by sigma times their radii, and
    then most of them move apart. The spread is computed and not used, as in the first release.

    The attributes are those of `Released`.
    """

    name: ClassVar[str] = "second_release"
    source: ClassVar[str] = "code of prafful-kumar/PEFT_SELECTION, after Khoba et al., WACV 2025"

    def __call__(
        self, features: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> Float[np.ndarray, "samples new_dim"]:
        """Return the perturbed principal components of features (N, D), (N, min(dim, N, D))."""
        reduced = pca(check_features(features, labels), self.dim)
        return attract(reduced, labels, self.alpha, self.sigma, "together", clamp=False, normalise=False)
