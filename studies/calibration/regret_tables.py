"""The tables of the page that tell what choosing by a score was expected to cost, and what it did cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from studies.calibration.error_tables import ANCHORS, BEST, Pools
from studies.calibration.held_out import Judged, calibrated, held_out, mean
from studies.real_pool.tables import regime_label
from transfer_exp.report.markdown import markdown


def metrics(pools: Pools, regime: str) -> str:
    """Return what each metric adds, and the regret of choosing by it."""
    rows, lines = pools["real_pool"], []
    for cell in sorted(rows.cells(), key=lambda c: (c.metric, c.perturbation)):
        alone, beside = (held_out(rows, regime, cell, anchor) for anchor in (None, BEST))
        slopes = [calibrated(rows, regime, cell, anchor).score_slope for anchor in (None, BEST)]
        regrets = [float(np.mean(of)) for k in (1, 3) for of in both(beside, k)]
        numbers = [mean(alone, "error"), mean(beside, "error"), *slopes, *regrets]
        lines.append([cell.metric, cell.perturbation, *(f"{number:.3f}" for number in numbers)])
    head = ["metric", "perturbation", "error alone", "error beside it", "slope alone", "slope beside it"]
    head += ["expected regret", "realised", "expected, best 3", "realised, best 3"]
    return (
        f"{markdown(head, lines)}\n\nRegime {regime_label(regime)}, "
        f"mean over {len(rows.averaged)} targets left out. `beside "
        f"it`: with {BEST} as the anchor, as are the expected regrets. Slopes: radians for one standard deviation of "
        "the score, fitted to all targets."
    )


def regret(pools: Pools) -> str:
    """Return expected and realised regret by regime and anchor, over all metrics."""
    rows, lines = pools["real_pool"], []
    for regime in rows.accuracies:
        for anchor in ANCHORS:
            by_cell = [held_out(rows, regime, cell, anchor) for cell in rows.cells()]
            shown = [text for k in (1, 3) for text in _compared(by_cell, k)]
            lines.append([regime_label(regime), anchor or "none", *shown])
    head = ["expected", "realised", "off by", "other targets off by", "correlation"]
    return (
        f"{markdown(['regime', 'anchor', *head, *(f'{name}, best 3' for name in head)], lines)}\n\nOver "
        f"{len(rows.cells())} scores and {len(rows.averaged)} targets left out. `off by`: mean absolute difference of "
        "expected and realised regret; `other targets`: of the regret that the same score realised on the other "
        "targets, their mean, from realised regret. `correlation` of expected with realised (Pearson)."
    )


def both(found: Sequence[Judged], k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the expected and the realised regret of the best k scores on each target."""
    return np.array([one.expected_regrets[k - 1] for one in found]), np.array([one.regret(k) for one in found])


def _compared(by_cell: Sequence[Sequence[Judged]], k: int) -> list[str]:
    """Return what the regrets of all cells come to."""
    pairs = [both(found, k) for found in by_cell]
    expected, realised = (np.stack(side) for side in zip(*pairs, strict=True))
    elsewhere = (realised.sum(axis=1, keepdims=True) - realised) / (realised.shape[1] - 1)
    numbers = [expected.mean(), realised.mean(), np.abs(expected - realised).mean()]
    correlation = float(np.corrcoef(expected.ravel(), realised.ravel())[0, 1])
    return [*(f"{n:.3f}" for n in (*numbers, np.abs(elsewhere - realised).mean())), f"{correlation:.2f}"]
