"""Static rank: mean accuracy rank on other targets, a baseline that ignores this target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Float

from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.metric.metric import PoolMetric


@dataclass(frozen=True)
class StaticRank(PoolMetric):
    """Minus the mean rank of a model's accuracy among the pool (1 is best), over all targets but the current one.

    The ranking is the same for every target, except for the target left out. Published metrics rarely beat it, so a
    table without it flatters them. It needs a table of accuracies on several targets.
    """

    name = "static_rank"
    source = "baseline"
    upper = -1.0
    inputs = ("accuracies_elsewhere",)

    def parts(self, accuracies_elsewhere: Mapping[str, float]) -> dict[str, float]:
        """Return the accuracy on every other target, by its name; raises `NotApplicableError` if there is none."""
        if not accuracies_elsewhere:
            raise NotApplicableError("no accuracy on another target in the table")
        return dict(accuracies_elsewhere)

    def combine(self, parts: Sequence[Mapping[str, float]]) -> Float[np.ndarray, " models"]:
        """Return minus the mean rank, in [-M, -1], (M,), over the targets for which all models have an accuracy.

        Raises:
            InputError: If no target has an accuracy of every model.
        """
        targets = sorted(set.intersection(*(set(part) for part in parts))) if parts else []
        if parts and not targets:
            raise InputError("no other target has an accuracy of every model, so ranks do not compare")
        ranks = [scipy.stats.rankdata([-part[target] for part in parts]) for target in targets]
        return -np.mean(ranks, axis=0) if ranks else np.empty(0)
