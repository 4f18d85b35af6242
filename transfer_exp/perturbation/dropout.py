"""Dropout: random entries of the features become zero, the rest are scaled up so that expectations stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from transfer_exp.errors import InputError, check_options, check_types
from transfer_exp.statistics.feature_set import Features, check_features


def dropout(features: Features, rng: np.random.Generator, rate: float = 0.1) -> Float[np.ndarray, "samples dim"]:
    """Return x b / (1 - rate), (N, D), with b independently 0 with probability ``rate`` and 1 otherwise.

    Entries far from zero change most, so the effect depends on the origin of a model's features.

    Args:
        features: (N, D), finite.
        rng: Generator of b, drawn in the order of the samples.
        rate: Probability that an entry becomes zero, in [0, 1). 0 is the identity.

    Raises:
        InputError: If ``rate`` is out of range.

    References:
        Srivastava et al., "Dropout", JMLR 2014, with the scaling applied immediately.
    """
    if not 0 <= rate < 1:
        raise InputError(f"rate={rate} of dropout must lie in [0, 1)")
    is_retained = rng.random(features.shape) >= rate
    return np.where(is_retained, features / (1 - rate), 0.0)


@dataclass(frozen=True)
class Dropout:
    """`dropout` as a perturbation. The fields are its options."""

    name: ClassVar[str] = "dropout"
    source: ClassVar[str] = "Srivastava et al., JMLR 2014"
    ignores_labels: ClassVar[bool] = True

    rate: float = 0.1

    def __post_init__(self) -> None:
        check_types("perturbation", self)
        check_options("perturbation", self, {"rate": (0 <= self.rate < 1, "at least 0 and below 1")})

    def __call__(self, features: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return `dropout` of features (N, D). The labels are only checked."""
        return dropout(check_features(features, labels), rng, self.rate)
