"""No perturbation: the features as they are, the control of every other one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from transfer_exp.statistics.class_statistics import ClassStatistics
from transfer_exp.statistics.feature_set import check_features


@dataclass(frozen=True)
class NoPerturbation:
    """The identity."""

    name: ClassVar[str] = "none"
    source: ClassVar[str] = "control"

    def __call__(
        self, features: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> Float[np.ndarray, "samples dim"]:
        """Return a float64 copy of features (N, D); ``rng`` is not used."""
        return check_features(features, labels).copy()

    def on_statistics(self, statistics: ClassStatistics) -> ClassStatistics:
        """Return the statistics as they are."""
        return statistics
