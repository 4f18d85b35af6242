"""Interfaces of perturbations: seeded maps of features and labels to features."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from transfer_exp.statistics.class_statistics import ClassStatistics


@runtime_checkable
class Perturbation(Protocol):
    """A frozen dataclass whose fields are its hyperparameters.

    Attributes:
        name: Identifier in tables and in ``conf/perturbation``.
        source: Authors, venue and year of the idea.

    A perturbation whose result does not depend on the labels has the class variable ``ignores_labels = True``. Only
    these apply to images with several labels, or with numbers as labels.
    """

    name: ClassVar[str]
    source: ClassVar[str]

    def __call__(
        self, features: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> Float[np.ndarray, "samples new_dim"]:
        """Return perturbed features (N, D') in float64, all finite. The input is not modified.

        Args:
            features: (N, D), any real type.
            labels: (N,), integers.
            rng: The only source of randomness. Deterministic perturbations ignore it.

        Raises:
            InputError: If `check_features` rejects the input or a hyperparameter is out of range.
        """
        ...


@runtime_checkable
class StatisticsPerturbation(Perturbation, Protocol):
    """A perturbation that can act on class statistics alone, so that features can be streamed in batches."""

    def on_statistics(self, statistics: ClassStatistics) -> ClassStatistics:
        """Return the class statistics of the perturbed features, given those of the features.

        Raises:
            InputError: If a hyperparameter is out of range.
        """
        ...
