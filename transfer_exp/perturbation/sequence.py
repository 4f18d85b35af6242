"""A sequence: perturbations applied one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from transfer_exp.errors import InputError
from transfer_exp.perturbation.pca import Pca
from transfer_exp.perturbation.perturbation import Perturbation
from transfer_exp.perturbation.spread import Spread

EXAMPLE: tuple[Perturbation, ...] = (Pca(), Spread())
"""What ``conf/perturbation/sequence.yaml`` shows: the first two of the three steps of Spread-Attract."""


@dataclass(frozen=True)
class Sequence:
    """Each perturbation applied to what the one before it returned.

    Attributes
    ----------
    steps
        The perturbations, at least one, in the order in which they are applied; kept as a tuple. Those that draw
        share one generator, in that order.

    Raises
    ------
    InputError
        When ``steps`` is empty or holds anything else.
    """

    name: ClassVar[str] = "sequence"
    source: ClassVar[str] = "as its steps"

    steps: Iterable[Perturbation] = EXAMPLE

    def __post_init__(self) -> None:
        # Hydra hands over a list, which has no hash and equals no tuple.
        steps = tuple(self.steps) if isinstance(self.steps, Iterable) else ()
        if not steps or not all(isinstance(step, Perturbation) for step in steps):
            raise InputError(f"steps={self.steps} of sequence must be a list of perturbations, at least one")
        object.__setattr__(self, "steps", steps)

    def __call__(
        self, features: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> Float[np.ndarray, "samples new_dim"]:
        """Return features (N, D) after every step, (N, D')."""
        for step in self.steps:
            features = step(features, labels, rng)
        return features
