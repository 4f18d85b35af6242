"""A sequence of perturbations, applied one after the other."""

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
"""Default of ``conf/perturbation/sequence.yaml``: the first two of the three steps of Spread-Attract."""


@dataclass(frozen=True)
class Sequence:
    """Perturbations that each transform the output of the previous one.

    Attributes:
        steps: Perturbations in the order of application, at least one, stored as a tuple. They share one generator.

    Raises:
        InputError: If ``steps`` is empty or contains anything that is not a perturbation.
    """

    name: ClassVar[str] = "sequence"
    source: ClassVar[str] = "as its steps"

    steps: Iterable[Perturbation] = EXAMPLE

    def __post_init__(self) -> None:
        # Hydra passes a list, which has no hash and equals no tuple.
        steps = tuple(self.steps) if isinstance(self.steps, Iterable) else ()
        if not steps or not all(isinstance(step, Perturbation) for step in steps):
            raise InputError(f"perturbation.steps={self.steps}: need a list of perturbations, at least one")
        object.__setattr__(self, "steps", steps)

    @property
    def ignores_labels(self) -> bool:
        """True if no step reads the labels."""
        return all(getattr(step, "ignores_labels", False) for step in self.steps)

    def __call__(
        self, features: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> Float[np.ndarray, "samples new_dim"]:
        """Return features (N, D) after all steps, (N, D')."""
        for step in self.steps:
            features = step(features, labels, rng)
        return features
