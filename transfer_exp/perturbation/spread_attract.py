"""Spread-Attract: a PCA, then samples move away from their class mean, then class means move towards each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, get_args

import numpy as np
from jaxtyping import Float

from transfer_exp.errors import check_options, check_types
from transfer_exp.perturbation.attract import Sign, attract
from transfer_exp.perturbation.pca import pca
from transfer_exp.perturbation.spread import ForceScale, spread
from transfer_exp.statistics.feature_set import check_features


@dataclass(frozen=True)
class SpreadAttract:
    """The method of the paper: `pca` reduces the features, `spread` widens classes, `attract` moves them together.

    The paper gives dim 64, force 1, sigma 0.6, and alpha 0.005 (supervised pool) or 0.1 (self-supervised pool). It does
    not state ``sign``, ``clamp`` and ``normalise``; the defaults are chosen so that its claim holds: classes move
    together and do not pass each other.

    Attributes:
        dim: Number of principal components. None leaves out the PCA.
        force: Distance that `spread` moves every sample from its class mean.
        force_scale: Unit of ``force``: ``"absolute"`` for feature units, ``"radius"`` for the radius of the class.
        alpha: Strength of `attract`. When normalised, a class moves by at most alpha times its mean gap to the other
            classes; for 21 classes, 0.1 then equals 0.005 without normalisation.
        sigma: Number of class radii within which two classes count as touching.
        sign: ``"together"``, or ``"released"`` for the opposite direction of the released code.
        clamp: True if overlapping classes stay, as in `ped`, on which the method builds; otherwise they move apart.
        normalise: True to divide by C - 1. Otherwise class means pass each other if alpha (C - 1) exceeds 1.
    """

    name: ClassVar[str] = "spread_attract"
    source: ClassVar[str] = "Khoba et al., WACV 2025"

    dim: int | None = 64
    force: float = 1.0
    force_scale: ForceScale = "absolute"
    alpha: float = 0.1
    sigma: float = 0.6
    sign: Sign = "together"
    clamp: bool = True
    normalise: bool = True

    def __post_init__(self) -> None:
        check_types("perturbation", self)
        checks = {
            "dim": (self.dim is None or self.dim >= 1, "at least 1 (64 is the usual choice), or null for no PCA"),
            "force": (0 <= self.force < np.inf, "a finite number, at least 0"),
            "force_scale": (self.force_scale in get_args(ForceScale), " or ".join(get_args(ForceScale))),
            "alpha": (0 <= self.alpha < np.inf, "a finite number, at least 0"),
            "sigma": (0 <= self.sigma < np.inf, "a finite number, at least 0"),
            "sign": (self.sign in get_args(Sign), " or ".join(get_args(Sign))),
        }
        check_options("perturbation", self, checks)

    def __call__(
        self, features: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> Float[np.ndarray, "samples new_dim"]:
        """Return perturbed features (N, min(dim, N, D)), or (N, D) without a PCA; ``rng`` is unused."""
        features = check_features(features, labels)
        reduced = features if self.dim is None else pca(features, self.dim)
        spread_features = spread(reduced, labels, self.force, self.force_scale)
        return attract(spread_features, labels, self.alpha, self.sigma, self.sign, self.clamp, self.normalise)
