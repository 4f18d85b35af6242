"""What every perturbation is: a seeded map of features and labels to features."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from transfer_exp.statistics.class_statistics import ClassStatistics


@runtime_checkable
class Perturbation(Protocol):
    """A frozen dataclass whose fields are its hyperparameters.

    Attributes
    ----------
    name
        As shown in tables and used in ``conf/perturbation``.
    source
        Authors, venue and year of the idea.
    """

    name: ClassVar[str]
    source: ClassVar[str]

    def __call__(
        self, features: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> Float[np.ndarray, "samples new_dim"]:
        """Return perturbed features (N, D') in float64, all finite; the input is left as it was.

        Parameters
        ----------
        features
            (N, D), any real type.
        labels
            (N,), integers.
        rng
            The only source of randomness of a perturbation that draws: same state, same output.

        Raises
        ------
        InputError
            As `check_features`, or when a hyperparameter is out of range.
        """
        ...


@runtime_checkable
class StatisticsPerturbation(Perturbation, Protocol):
    """A perturbation whose effect on class statistics follows from these alone, so that samples can be streamed."""

    def on_statistics(self, statistics: ClassStatistics) -> ClassStatistics:
        """Return the class statistics of what the call returns for features that have ``statistics``.

        Raises
        ------
        InputError
            When a hyperparameter is out of range.
        """
        ...
