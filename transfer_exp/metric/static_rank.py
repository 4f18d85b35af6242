"""Static rank: how well the model did on other targets, a baseline that never looks at this one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from transfer_exp.errors import InputError, NotApplicableError


@dataclass(frozen=True)
class StaticRank:
    """Minus the mean rank of a model's accuracy among the pool (1 is best), over all targets but the one at hand.

    A ranking that is the same for every target, but for the one left out. Published metrics rarely beat it, so a table
    without it flatters them. Only a table of accuracies knows other targets.
    """

    name: ClassVar[str] = "static_rank"
    source: ClassVar[str] = "baseline"
    lower: ClassVar[float] = -np.inf
    upper: ClassVar[float] = -1.0
    inputs: ClassVar[tuple[str, ...]] = ("accuracies_elsewhere",)
    invariances: ClassVar[tuple[str, ...]] = ()

    def parts(self, accuracies_elsewhere: Mapping[str, float]) -> dict[str, float]:
        """Return the accuracy on every other target, by its name.

        Raises
        ------
        NotApplicableError
            When there is none.
        """
        if not accuracies_elsewhere:
            raise NotApplicableError("no accuracy on another target in the table")
        return dict(accuracies_elsewhere)

    def combine(self, parts: Sequence[Mapping[str, float]]) -> Float[np.ndarray, " models"]:
        """Return minus the mean rank, in [-M, -1], (M,), over the targets for which all models have an accuracy.

        Raises
        ------
        InputError
            When no target has an accuracy of every model.
        """
        shared = sorted(set.intersection(*(set(part) for part in parts))) if parts else []
        if parts and not shared:
            raise InputError("no other target has an accuracy of every model, so ranks do not compare")
        ranks = [rankdata([-part[target] for part in parts]) for target in shared]
        return -np.mean(ranks, axis=0) if ranks else np.empty(0)
