"""Gaussian noise on every feature of every sample: a control, because it ignores the labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from jaxtyping import Float

from transfer_exp.errors import InputError, check_options, check_types, suggestion
from transfer_exp.statistics.feature_set import Features, check_features
from transfer_exp.statistics.rounding import deviations

NoiseScale = Literal["absolute", "relative"]


def gaussian_noise(
    features: Features, rng: np.random.Generator, strength: float = 0.1, scale: NoiseScale = "relative"
) -> Float[np.ndarray, "samples dim"]:
    """Return the features plus independent noise of one standard deviation, (N, D).

    With the unit u chosen by ``scale`` and standard normal z, every entry x becomes x + strength u z.

    Args:
        features: (N, D), finite.
        rng: Generator of z, which is drawn sample by sample.
        strength: Standard deviation of the noise in units of u, not negative. 0 leaves the features unchanged.
        scale: ``"relative"``: u is the overall standard deviation of the features, sqrt(tr(covariance) / D), so models
            are comparable. ``"absolute"``: u is 1, so models with small features change more.

    Raises:
        InputError: If ``strength`` is negative or not finite, or ``scale`` is unknown.
    """
    if not 0 <= strength < np.inf:
        raise InputError(f"strength={strength} of gaussian_noise must be a finite number, at least 0")
    if scale not in get_args(NoiseScale):
        raise InputError(f"scale={scale} of gaussian_noise: {suggestion(scale, get_args(NoiseScale))}")
    unit = 1.0
    if scale == "relative":
        unit = float(np.sqrt(np.mean(deviations(features, features.mean(axis=0)) ** 2)))
    return features + strength * unit * rng.standard_normal(features.shape)


@dataclass(frozen=True)
class GaussianNoise:
    """`gaussian_noise` as a perturbation. The fields are its options."""

    name: ClassVar[str] = "gaussian_noise"
    source: ClassVar[str] = "control"
    ignores_labels: ClassVar[bool] = True

    strength: float = 0.1
    scale: NoiseScale = "relative"

    def __post_init__(self) -> None:
        check_types("perturbation", self)
        checks = {
            "strength": (0 <= self.strength < np.inf, "a finite number, at least 0"),
            "scale": (self.scale in get_args(NoiseScale), " or ".join(get_args(NoiseScale))),
        }
        check_options("perturbation", self, checks)

    def __call__(self, features: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return `gaussian_noise` of features (N, D). The labels are only checked."""
        return gaussian_noise(check_features(features, labels), rng, self.strength, self.scale)
