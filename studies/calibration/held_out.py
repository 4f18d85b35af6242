"""Each target predicted by a calibration on the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from studies.calibration.rows import Rows
from studies.real_pool.data import Cell
from transfer_exp.evaluation.expected_accuracy import (
    Calibration,
    ExpectedAccuracies,
    ScoredPool,
    expected_accuracies,
    expected_regrets,
    fit_calibration,
)
from transfer_exp.evaluation.selection import rel_at_k

LEVEL = 0.8
"""Share of accuracies that the intervals of the page are meant to hold."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What was expected of the models of one target, and what came.

    Attributes
    ----------
    target
        Its name.
    calibration, pool, accuracies
        Fitted without it; its models, and what they reach.
    """

    target: str
    calibration: Calibration
    pool: ScoredPool
    accuracies: np.ndarray

    @cached_property
    def expected(self) -> ExpectedAccuracies:
        """With intervals of `LEVEL`."""
        return expected_accuracies(self.calibration, self.pool, LEVEL)

    @cached_property
    def error(self) -> float:
        """Mean absolute, over models."""
        return float(np.abs(self.expected.accuracies - self.accuracies).mean())

    @cached_property
    def bias(self) -> float:
        """Expected minus reached, mean over models."""
        return float((self.expected.accuracies - self.accuracies).mean())

    @cached_property
    def coverage(self) -> float:
        """Share of models whose accuracy the interval holds."""
        return float(((self.expected.low <= self.accuracies) & (self.accuracies <= self.expected.high)).mean())

    @cached_property
    def width(self) -> float:
        """Of the intervals, mean over models."""
        return float((self.expected.high - self.expected.low).mean())

    @cached_property
    def expected_regrets(self) -> np.ndarray:
        """By how many models are chosen."""
        return expected_regrets(self.calibration, self.pool)

    def regret(self, k: int) -> float:
        """Return the realised regret of choosing the best k scores."""
        return float(self.accuracies.max() * (1 - rel_at_k(self.pool.scores, self.accuracies, k)))


# Tables and the figure ask for the same again.
@cache
def held_out(
    rows: Rows, regime: str, cell: Cell, anchor: str | None, targets: tuple[str, ...] = ()
) -> tuple[Judged, ...]:
    """Return every target (by default those that means are over) as judged by a calibration on the others.

    Neither takes part in a calibration: the target itself, and the control.
    """
    models = rows.applies(cell)
    return tuple(
        Judged(
            target,
            calibrated(rows, regime, cell, anchor, without=target),
            rows.scored(cell, anchor, target),
            rows.accuracies[regime][rows.targets.index(target), models],
        )
        for target in targets or rows.averaged
    )


def calibrated(
    rows: Rows, regime: str, cell: Cell, anchor: str | None, without: str = "", models: np.ndarray | None = None
) -> Calibration:
    """Fit a calibration to a pool, ``without`` one target, to the ``models`` of these indices or all."""
    chosen = rows.applies(cell) if models is None else np.intersect1d(rows.applies(cell), models)
    targets = [target for target in rows.averaged if target != without]
    truth = rows.accuracies[regime]
    pools = [rows.scored(cell, anchor, target, chosen) for target in targets]
    return fit_calibration(pools, [truth[rows.targets.index(target), chosen] for target in targets])


def transferred(source: Rows, rows: Rows, regimes: tuple[str, str], cell: Cell, anchor: str | None) -> list[Judged]:
    """Return the targets of one pool as judged by a calibration on all targets of another, regimes in that order."""
    calibration = calibrated(source, regimes[0], cell, anchor)
    models = rows.applies(cell)
    truth = rows.accuracies[regimes[1]]
    return [
        Judged(target, calibration, rows.scored(cell, anchor, target), truth[rows.targets.index(target), models])
        for target in rows.averaged
    ]


def mean(judged: Sequence[Judged], what: str) -> float:
    """Return the mean over targets of one of the numbers of `Judged`."""
    return float(np.mean([getattr(one, what) for one in judged]))
