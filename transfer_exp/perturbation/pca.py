"""PCA: centred features reduced to their leading directions, the control for Spread-Attract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from transfer_exp.errors import InputError, check_options, check_types
from transfer_exp.statistics.feature_set import Features, check_features
from transfer_exp.statistics.rounding import deviations

SEED = 1919
"""Seed of the randomised solver, from the code of Spread-Attract: equal features give equal components in every run."""


def pca(features: Features, dim: int = 64) -> Float[np.ndarray, "samples new_dim"]:
    """Return the scores of the first min(dim, N, D) principal components, (N, D').

    The solver is randomised, with one power iteration and a fixed seed, as in the code of Spread-Attract. Components
    far down the spectrum are approximate, so the result for ``dim`` >= D is not exactly a rotation of the centred
    features.

    Args:
        features: (N, D), finite.
        dim: Number of directions, at least 1.

    Raises:
        InputError: If ``dim`` is below 1.

    References:
        Halko, Martinsson, Tropp, SIAM Review 2011, algorithm 4.4; settings of Bolya et al., "PARC", NeurIPS 2021, and
        of Khoba et al., WACV 2025.
    """
    # Imported here because scikit-learn takes a second to load and most runs do not need it.
    from sklearn.decomposition import PCA

    if dim < 1:
        raise InputError(f"dim={dim} of pca must be at least 1 (64 is the published choice)")
    solver = PCA(min(dim, *features.shape), svd_solver="randomized", iterated_power=1, random_state=SEED)
    # Centring first gives exact zeros for a constant feature. If all are constant, the solver divides by a zero
    # variance to get the explained ratio, which is not used.
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(solver.fit_transform(deviations(features, features.mean(axis=0))), dtype=np.float64)


@dataclass(frozen=True)
class Pca:
    """`pca` as a perturbation. The fields are its options."""

    name: ClassVar[str] = "pca"
    source: ClassVar[str] = "Bolya et al., NeurIPS 2021; Khoba et al., WACV 2025"
    ignores_labels: ClassVar[bool] = True

    dim: int = 64

    def __post_init__(self) -> None:
        check_types("perturbation", self)
        check_options("perturbation", self, {"dim": (self.dim >= 1, "at least 1 (64 is the usual choice)")})

    def __call__(self, features: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return `pca` of features (N, D), with the fixed seed of the solver instead of ``rng``."""
        return pca(check_features(features, labels), self.dim)
