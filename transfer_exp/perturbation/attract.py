"""Attract: move all samples of a class along the lines between the class means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist

from transfer_exp.errors import InputError, check_options, check_types, suggestion
from transfer_exp.statistics.class_statistics import ClassStatistics, class_statistics
from transfer_exp.statistics.feature_set import Features, Labels, check_features, encode_labels
from transfer_exp.statistics.rounding import inverse_length

Sign = Literal["together", "released"]


def attract(
    features: Features,
    labels: Labels,
    alpha: float = 0.1,
    sigma: float = 0.6,
    sign: Sign = "together",
    clamp: bool = True,
    normalise: bool = True,
) -> Float[np.ndarray, "samples dim"]:
    """Return the features plus the displacement of their class, x + Delta_c for every x of class c, (N, D).

    Args:
        features, labels: (N, D) and (N,) integers.
        alpha, sigma, sign, clamp, normalise: Options of `class_displacements`, which computes Delta_c.

    Raises:
        InputError: If `check_features` rejects the input, or an option is negative, not finite or unknown.
    """
    _check_options(alpha, sigma, sign)
    features = check_features(features, labels)
    codes, _ = encode_labels(labels)
    classes = class_statistics(features, labels)
    return features + class_displacements(classes.offsets, classes.radii, alpha, sigma, sign, clamp, normalise)[codes]


def _check_options(alpha: float, sigma: float, sign: str) -> None:
    """Reject a hyperparameter that is out of range; `Attract` checks its fields earlier, by their names as settings."""
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
    """Return Delta_i = sum_{j != i} w_ij u_ij for every class i, (C, D), with w_ij = alpha (d_ij - sigma (s_i + s_j)).

    Here d_ij is the distance between the means of classes i and j, u_ij the unit vector from i to j, and s_i the radius
    of class i: the square root of the sum of its variances. Classes with equal means have no u_ij and do not act on
    each other. Classes overlap if their means are less than sigma (s_i + s_j) apart.

    Args:
        means, radii: Class means (C, D), relative to any origin, and radii s (C,), in feature units; C is at least 2.
        alpha: Strength of the attraction, not negative.
        sigma: Share of the radii within which classes overlap, not negative.
        sign: ``"together"``: separated classes move together, and overlapping ones apart, as the paper claims.
            ``"released"``: the opposite, as in the code that the paper released, which does not clamp.
        clamp: True to set a negative w_ij to zero: overlapping classes do not move.
        normalise: True to divide the sum by C - 1. Otherwise, at sigma 0 and alpha C > 1, equidistant classes overshoot
            their common centre.

    References:
        Khoba et al., "Feature Space Perturbation", WACV 2025, and its code; clamp of Li et al., "PED", ICCV 2023.
    """
    distances = cdist(means, means)
    gaps = distances - sigma * (radii[:, None] + radii)
    weights = alpha * (np.maximum(gaps, 0.0) if clamp else gaps)
    pulls = weights * inverse_length(distances, means)  # w_ij / d_ij; 0 for i = j and for means that are equal
    if normalise:
        pulls /= len(means) - 1
    if sign == "released":
        pulls = -pulls
    # sum_j pulls_ij (mu_j - mu_i). Its two terms would be large and nearly cancel without a common centre at 0.
    centred = means - means.mean(axis=0)
    return pulls @ centred - pulls.sum(axis=1, keepdims=True) * centred


@dataclass(frozen=True)
class Attract:
    """`attract` as a perturbation, without the PCA that `SpreadAttract` does first.

    Attributes:
        alpha, sigma, sign, clamp, normalise: Options of `class_displacements`. Published: alpha 0.005 (supervised pool)
            or 0.1 (self-supervised pool), sigma 0.6. By default classes move together, overlapping classes stay, and
            the strength does not depend on C.
    """

    name: ClassVar[str] = "attract"
    source: ClassVar[str] = "Khoba et al., WACV 2025"

    alpha: float = 0.1
    sigma: float = 0.6
    sign: Sign = "together"
    clamp: bool = True
    normalise: bool = True

    def __post_init__(self) -> None:
        check_types("perturbation", self)
        checks = {
            "alpha": (0 <= self.alpha < np.inf, "a finite number, at least 0"),
            "sigma": (0 <= self.sigma < np.inf, "a finite number, at least 0"),
            "sign": (self.sign in get_args(Sign), " or ".join(get_args(Sign))),
        }
        check_options("perturbation", self, checks)

    def __call__(self, features: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return `attract` of features (N, D); ``rng`` is not used, because nothing is random."""
        return attract(check_features(features, labels), labels, *self._options)

    def on_statistics(self, statistics: ClassStatistics) -> ClassStatistics:
        """Return the statistics of the perturbed features, in which only the class means differ."""
        return statistics.shift_classes(class_displacements(statistics.offsets, statistics.radii, *self._options))

    @property
    def _options(self) -> tuple[float, float, Sign, bool, bool]:
        return self.alpha, self.sigma, self.sign, self.clamp, self.normalise
