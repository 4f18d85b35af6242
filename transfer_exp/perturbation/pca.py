"""PCA: the features centred and reduced to their leading directions, the control for Spread-Attract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from transfer_exp.errors import InputError
from transfer_exp.statistics.feature_set import check_features
from transfer_exp.statistics.rounding import deviations

SEED = 1919
"""Of the randomised solver, fixed by the release: equal features give equal components in every run."""


def pca(features: Float[np.ndarray, "samples dim"], dim: int = 64) -> Float[np.ndarray, "samples new_dim"]:
    """Return the scores of the first min(dim, N, D) principal components, (N, D').

    Randomised, with one power iteration and a fixed seed, as released: components far down the spectrum are
    approximate, so with ``dim`` >= D this is not quite a rotation of the centred features.

    Parameters
    ----------
    features
        (N, D), finite.
    dim
        Directions to keep, at least 1.

    Raises
    ------
    InputError
        When ``dim`` is below 1.

    References
    ----------
    Halko, Martinsson, Tropp, SIAM Review 2011, algorithm 4.4; settings of Bolya et al., "PARC", NeurIPS 2021,
    and of Khoba et al., WACV 2025.
    """
    # Imported here because scikit-learn takes a second to load and most runs do without it.
    from sklearn.decomposition import PCA

    if dim < 1:
        raise InputError(f"dim={dim} of pca must be at least 1 (64 is the published choice)")
    solver = PCA(min(dim, *features.shape), svd_solver="randomized", iterated_power=1, random_state=SEED)
    # Centred by us first, so that a constant feature gives exact zeros. Where all are constant the solver divides
    # by no variance, for the explained ratio, which is not used.
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(solver.fit_transform(deviations(features, features.mean(axis=0))), dtype=np.float64)


@dataclass(frozen=True)
class Pca:
    """`pca` as a perturbation.

    Attributes
    ----------
    dim
        Directions to keep, at most N and D.
    """

    name: ClassVar[str] = "pca"
    source: ClassVar[str] = "Bolya et al., NeurIPS 2021; Khoba et al., WACV 2025"

    dim: int = 64

    def __call__(
        self, features: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> Float[np.ndarray, "samples new_dim"]:
        """Return `pca` of features (N, D); ``rng`` is not used, the solver has a seed of its own."""
        return pca(check_features(features, labels), self.dim)
