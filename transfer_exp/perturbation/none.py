"""No perturbation: unchanged features, the control for all perturbations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from transfer_exp.statistics.class_statistics import ClassStatistics
from transfer_exp.statistics.feature_set import check_features


@dataclass(frozen=True)
class NoPerturbation:
    """The identity."""

    name: ClassVar[str] = "none"
    source: ClassVar[str] = "control"
    ignores_labels: ClassVar[bool] = True

    def __call__(self, features: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return a float64 copy of the features."""
        return check_features(features, labels).copy()

    def on_statistics(self, statistics: ClassStatistics) -> ClassStatistics:
        """Return the statistics unchanged."""
        return statistics
