"""Dropout: feature entries set to zero at random, the rest scaled up to keep every expectation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from transfer_exp.errors import InputError
from transfer_exp.statistics.feature_set import check_features


def dropout(
    features: Float[np.ndarray, "samples dim"], rng: np.random.Generator, rate: float = 0.1
) -> Float[np.ndarray, "samples dim"]:
    """Return x b / (1 - rate), (N, D), with b independently 0 with probability ``rate`` and 1 otherwise.

    The expectation of every entry is the entry itself. An entry far from zero is disturbed most, so the effect
    depends on where a model's features have their origin.

    Parameters
    ----------
    features
        (N, D), finite.
    rng
        Draws b, in the order of the samples.
    rate
        In [0, 1); 0 is the identity.

    Raises
    ------
    InputError
        When ``rate`` is out of range.

    References
    ----------
    Srivastava et al., "Dropout", JMLR 2014, with the scaling done at once.
    """
    if not 0 <= rate < 1:
        raise InputError(f"rate={rate} of dropout must lie in [0, 1)")
    kept = rng.random(features.shape) >= rate
    return np.where(kept, features / (1 - rate), 0.0)


@dataclass(frozen=True)
class Dropout:
    """`dropout` as a perturbation, seeded by the generator it is given.

    Attributes
    ----------
    rate
        Probability of an entry to be set to zero.
    """

    name: ClassVar[str] = "dropout"
    source: ClassVar[str] = "Srivastava et al., JMLR 2014"

    rate: float = 0.1

    def __call__(
        self, features: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> Float[np.ndarray, "samples dim"]:
        """Return `dropout` of features (N, D); the labels are only checked."""
        return dropout(check_features(features, labels), rng, self.rate)
