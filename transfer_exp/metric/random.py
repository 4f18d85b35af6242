"""Random: random scores, the baseline that any metric must exceed by more than the null band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from transfer_exp.errors import check_options, check_types
from transfer_exp.metric.metric import PoolMetric


@dataclass(frozen=True)
class Random(PoolMetric):
    """Uniform scores, drawn together for all models of the pool.

    Attributes:
        seed: Seed of the draw, at least 0. One draw lies anywhere in the null band, so compare with the mean of many.
    """

    name = "random"
    source = "baseline"
    lower = 0.0
    upper = 1.0
    inputs = ()

    seed: int = 0

    def __post_init__(self) -> None:
        check_types("metric", self)
        check_options("metric", self, {"seed": (self.seed >= 0, "at least 0")})

    def parts(self) -> dict[str, float]:
        """Return no parts, because the score does not depend on the model."""
        return {}

    def combine(self, parts: Sequence[Mapping[str, float]]) -> Float[np.ndarray, " models"]:
        """Return a draw in [0, 1) for each model, (M,)."""
        return np.random.default_rng(self.seed).random(len(parts))
