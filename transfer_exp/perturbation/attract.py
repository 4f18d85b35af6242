"""Attract: move whole classes along the lines between their means, together or, as released, mostly apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.distance import cdist

from transfer_exp.errors import InputError, suggestion
from transfer_exp.perturbation.direction import inverse_length
from transfer_exp.statistics.class_statistics import ClassStatistics, class_statistics
from transfer_exp.statistics.feature_set import check_features, encode_labels

Sign = Literal["together", "released"]


def attract(
    features: Float[np.ndarray, "samples dim"],
    labels: Int[np.ndarray, " samples"],
    alpha: float = 0.1,
    sigma: float = 0.6,
    sign: Sign = "together",
    clamp: bool = True,
    normalise: bool = True,
) -> Float[np.ndarray, "samples dim"]:
    """Return x + Delta_c for every x of class c, (N, D), where Delta is `class_displacements`.

    Parameters
    ----------
    features
        (N, D).
    labels
        (N,), integers.
    alpha, sigma, sign, clamp, normalise
        As `class_displacements`.

    Raises
    ------
    InputError
        As `check_features`; when ``alpha`` or ``sigma`` is negative or not finite, or ``sign`` is unknown.
    """
    _check(alpha, sigma, sign)
    features = check_features(features, labels)
    codes, _ = encode_labels(labels)
    classes = class_statistics(features, labels)
    return features + class_displacements(classes.offsets, classes.radii, alpha, sigma, sign, clamp, normalise)[codes]


def _check(alpha: float, sigma: float, sign: str) -> None:
    """Refuse a hyperparameter out of range."""
    for name, value in (("alpha", alpha), ("sigma", sigma)):
        if not 0 <= value < np.inf:
            raise InputError(f"{name}={value} of attract must be a finite number, at least 0")
    if sign not in get_args(Sign):
        raise InputError(f"sign={sign} of attract: {suggestion(sign, get_args(Sign))}")


def class_displacements(
    means: Float[np.ndarray, "classes dim"],
    radii: Float[np.ndarray, " classes"],
    alpha: float,
    sigma: float,
    sign: Sign,
    clamp: bool,
    normalise: bool,
) -> Float[np.ndarray, "classes dim"]:
    """Return Delta_i = sum_{j != i} alpha (d_ij - sigma (s_i + s_j)) u_ij for every class, (C, D).

    d_ij is the distance of the means of classes i and j, u_ij the unit vector from i to j, s_i the radius of
    class i. Classes whose means coincide have no u_ij and do not act on each other.

    Parameters
    ----------
    means, radii
        mu, (C, D), and s, (C,), in feature units.
    alpha
        Strength, not negative.
    sigma
        How much of the radii counts as touching, not negative.
    sign
        ``"together"``: separated classes move together, as the paper claims. ``"released"``: the opposite, as
        its code has it: only overlapping classes come together.
    clamp
        Hold d_ij - sigma (s_i + s_j) at zero or above, so that overlapping classes are left alone rather than
        moved the other way.
    normalise
        Divide by C - 1. Without it the pull is alpha (C - 1): beyond 1 the classes pass through one another.

    References
    ----------
    Khoba et al., "Feature Space Perturbation", WACV 2025, and its released code; the clamp is that of Li et
    al., "PED", ICCV 2023.
    """
    distances = cdist(means, means)
    gaps = distances - sigma * (radii[:, None] + radii)
    weights = alpha * (np.maximum(gaps, 0.0) if clamp else gaps)
    weights *= inverse_length(distances, means)
    if normalise:
        weights /= len(means) - 1
    if sign == "released":
        weights = -weights
    # Relative to their centre, where the two terms are small and cancel least.
    centred = means - means.mean(axis=0)
    return weights @ centred - weights.sum(axis=1, keepdims=True) * centred


@dataclass(frozen=True)
class Attract:
    """`attract` as a perturbation, on the features as they are (no PCA).

    Attributes
    ----------
    alpha, sigma, sign, clamp, normalise
        As `class_displacements`. Published: alpha 0.005 (supervised pool) or 0.1 (self-supervised), sigma
        0.6. By default classes come together, overlapping ones are left alone, and the strength does not
        depend on C.
    """

    name: ClassVar[str] = "attract"
    source: ClassVar[str] = "Khoba et al., WACV 2025"

    alpha: float = 0.1
    sigma: float = 0.6
    sign: Sign = "together"
    clamp: bool = True
    normalise: bool = True

    def __call__(
        self, features: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> Float[np.ndarray, "samples dim"]:
        """Return `attract` of features (N, D); ``rng`` is not used."""
        features = check_features(features, labels)
        return attract(features, labels, *self._options)

    def on_statistics(self, statistics: ClassStatistics) -> ClassStatistics:
        """Return the statistics of the perturbed features: only class means move.

        Raises
        ------
        InputError
            As `attract`.
        """
        _check(self.alpha, self.sigma, self.sign)
        return statistics.moved(class_displacements(statistics.offsets, statistics.radii, *self._options))

    @property
    def _options(self) -> tuple[float, float, Sign, bool, bool]:
        return self.alpha, self.sigma, self.sign, self.clamp, self.normalise
