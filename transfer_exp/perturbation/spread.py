"""Spread: move every sample away from its class mean, which raises the variance within classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from jaxtyping import Float

from transfer_exp.errors import InputError, check_options, check_types, suggestion
from transfer_exp.statistics.class_statistics import class_statistics
from transfer_exp.statistics.feature_set import Features, Labels, check_features, encode_labels
from transfer_exp.statistics.rounding import inverse_length

ForceScale = Literal["absolute", "radius"]


def spread(
    features: Features, labels: Labels, force: float = 1.0, force_scale: ForceScale = "absolute"
) -> Float[np.ndarray, "samples dim"]:
    """Return x + force (x - mu_c) / |x - mu_c|, (N, D).

    A sample that equals its class mean, such as the only sample of a class, has no direction and does not move.

    Args:
        features, labels: (N, D) and (N,) integers.
        force: Distance that every sample moves, not negative.
        force_scale: ``"absolute"``: distance in feature units, as published, so models with small features change more.
            ``"radius"``: distance in units of the class radius s_c = sqrt(sum_k Var_k), so models are comparable.

    Raises:
        InputError: If `check_features` rejects the input, or an option is negative, not finite or unknown.

    References:
        Khoba et al., "Feature Space Perturbation", WACV 2025, and its released code.
    """
    if not 0 <= force < np.inf:
        raise InputError(f"force={force} of spread must be a finite number, at least 0")
    if force_scale not in get_args(ForceScale):
        raise InputError(f"force_scale={force_scale} of spread: {suggestion(force_scale, get_args(ForceScale))}")
    features = check_features(features, labels)
    codes, _ = encode_labels(labels)
    classes = class_statistics(features, labels)
    offsets = features - classes.means[codes]
    inverse_lengths = inverse_length(np.linalg.norm(offsets, axis=1), features)
    distance = force * (classes.radii[codes] if force_scale == "radius" else 1.0)
    return features + (distance * inverse_lengths)[:, None] * offsets


@dataclass(frozen=True)
class Spread:
    """`spread` as a perturbation, without a PCA. The fields are its options."""

    name: ClassVar[str] = "spread"
    source: ClassVar[str] = "Khoba et al., WACV 2025"

    force: float = 1.0
    force_scale: ForceScale = "absolute"

    def __post_init__(self) -> None:
        check_types("perturbation", self)
        checks = {
            "force": (0 <= self.force < np.inf, "a finite number, at least 0"),
            "force_scale": (self.force_scale in get_args(ForceScale), " or ".join(get_args(ForceScale))),
        }
        check_options("perturbation", self, checks)

    def __call__(self, features: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return `spread` of features (N, D)."""
        return spread(check_features(features, labels), labels, self.force, self.force_scale)
