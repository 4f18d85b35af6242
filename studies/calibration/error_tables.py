"""The tables of the page that tell how far expected accuracies are off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from studies.calibration.candidates import Outcome, outcomes
from studies.calibration.held_out import LEVEL, Judged, calibrated, held_out, mean, transferred
from studies.calibration.rows import BLIND, Rows
from studies.real_pool.data import Cell
from studies.real_pool.tables import regime_label
from transfer_exp.report.markdown import markdown

ANCHORS = (None, "knn", "linear_classifier")
BEST = "linear_classifier"
HEADLINE = Cell("logme", "pca")
Pools: TypeAlias = Mapping[str, Rows]
_FAMILIES = ("mobilenet", "squeezenet", "resnet", "densenet", "darknet", "doodlenet")


def candidates(pools: Pools) -> str:
    """Return how far every way to say what a model will reach is off, by regime."""
    rows = pools["real_pool"]
    found = {regime: outcomes(rows, regime) for regime in rows.accuracies}
    lines = [[name, *(_shown(of[name]) for of in found.values())] for name in next(iter(found.values()))]
    return (
        f"{markdown(['what is known', *map(regime_label, found)], lines)}\n\nMean absolute error on a target left "
        f"out, mean over {len(rows.averaged)}; in brackets the share of accuracies in the {LEVEL:.0%} interval, and "
        "its width."
    )


def targets(pools: Pools) -> str:
    """Return the errors on every target, the control included."""
    rows = pools["real_pool"]
    ordered = tuple(sorted(rows.targets, key=lambda target: target == rows.control))
    lines = [
        [regime_label(regime), one.target, f"{one.accuracies.mean():.3f}", *judged([one])]
        for regime in rows.accuracies
        for one in held_out(rows, regime, HEADLINE, BEST, ordered)
    ]
    return (
        f"{markdown(['regime', 'target', 'mean accuracy', *JUDGED], lines)}\n\n{named(HEADLINE)} with {BEST}; "
        f"`{rows.control}` is in no calibration and no mean."
    )


def families(pools: Pools) -> str:
    """Return the errors of models whose relatives are in the calibration, and are not."""
    rows, lines = pools["real_pool"], []
    for name in _FAMILIES:
        own = np.array([at for at, model in enumerate(rows.models) if name in model])
        others = np.setdiff1d(np.arange(len(rows.models)), own)
        shown = [_family(rows, regime, own, kept) for regime in rows.accuracies for kept in (None, others)]
        lines.append([name, str(len(own)), *shown])
    head = [f"{regime_label(regime)}, {which}" for regime in rows.accuracies for which in ("with", "without")]
    return (
        f"{markdown(['family', 'models', *head], lines)}\n\n{named(HEADLINE)} with {BEST}: mean absolute error on the "
        f"models of a family and, in brackets, the share of them in the {LEVEL:.0%} interval, by calibrations on the "
        "other targets with and without the family."
    )


def sizes(pools: Pools) -> str:
    """Return the errors by how many images are scored."""
    rows, lines = pools["real_pool"], []
    for regime in rows.accuracies:
        full = held_out(rows, regime, Cell(BLIND), BEST)
        for images in ("20", "50", "all"):
            own = held_out(rows, regime, Cell(BLIND, images=images), BEST)
            moved = [Judged(o.target, f.calibration, o.pool, o.accuracies) for o, f in zip(own, full, strict=True)]
            bare = _bare(rows, regime, Cell(BEST, images=images))
            shown = [f"{mean(of, 'error'):.3f} ({mean(of, 'coverage'):.0%})" for of in (own, moved)]
            lines.append([regime_label(regime), images, f"{bare:.3f}", *shown])
    head = ["regime", "images a class", f"{BEST} as it is", "calibrated on as many", "calibrated on all"]
    return (
        f"{markdown(head, lines)}\n\nMean absolute error on a target left out; in brackets the share in the "
        f"{LEVEL:.0%} interval. Accuracies are those after training on all images, whatever was scored."
    )


def other_pools(pools: Pools) -> str:
    """Return the errors on other pools, of calibrations on ours and on their own other targets."""
    real, builtin, published = pools["real_pool"], pools["builtin"], pools["modelspider_cnn10"]
    lines = []
    for anchor in ANCHORS:
        line = ["builtin", named(HEADLINE), anchor or "none"]
        lines.append([*line, "real_pool", *judged(transferred(real, builtin, ("full", "full"), HEADLINE, anchor))])
        lines.append([*line, "its other targets", *judged(held_out(builtin, "full", HEADLINE, anchor))])
    regimes = "full", "vanilla_ft"
    for cell in (Cell(BLIND), *sorted(published.cells(), key=lambda c: c.metric)):
        line = ["modelspider_cnn10", cell.metric, "none"]
        if cell.metric in (BLIND, HEADLINE.metric):
            lines.append([*line, "real_pool", *judged(transferred(real, published, regimes, cell, None))])
        lines.append([*line, "its other targets", *judged(held_out(published, "vanilla_ft", cell, None))])
    return (
        f"{markdown(['pool', 'score', 'anchor', 'calibrated on', *JUDGED], lines)}\n\nFull fine-tuning, mean over "
        f"{len(builtin.averaged)} and {len(published.averaged)} targets. {BEST} as it is has an error of "
        f"{_bare(builtin, 'full', Cell(BEST)):.3f} on the built-in pool."
    )


JUDGED = ("bias", "error", "in interval", "width", "expected regret", "realised")
"""The columns of `judged`."""


def judged(found: Sequence[Judged]) -> list[str]:
    """Return the means over targets of what was expected against what came."""
    regret = float(np.mean([one.expected_regrets[0] for one in found]))
    return [
        f"{mean(found, 'bias'):+.3f}",
        f"{mean(found, 'error'):.3f}",
        f"{mean(found, 'coverage'):.0%}",
        f"{mean(found, 'width'):.2f}",
        f"{regret:.3f}",
        f"{np.mean([one.regret(1) for one in found]):.3f}",
    ]


def named(cell: Cell) -> str:
    """Return a metric and its perturbation as prose has them."""
    return cell.metric if cell.perturbation == "none" else f"{cell.metric} after {cell.perturbation}"


def _family(rows: Rows, regime: str, own: np.ndarray, kept: np.ndarray | None) -> str:
    """Return the error and coverage on some models, by calibrations on the models that are kept."""
    errors, inside = [], []
    for one in held_out(rows, regime, HEADLINE, BEST):
        by = calibrated(rows, regime, HEADLINE, BEST, without=one.target, models=kept)
        found = Judged(one.target, by, one.pool, one.accuracies)
        errors.append(np.abs(found.expected.accuracies - one.accuracies)[own])
        inside.append(((found.expected.low <= one.accuracies) & (one.accuracies <= found.expected.high))[own])
    return f"{np.mean(errors):.3f} ({np.mean(inside):.0%})"


def _bare(rows: Rows, regime: str, cell: Cell) -> float:
    """Return the mean absolute error of an accuracy on the features, taken for the one after training."""
    truth = rows.accuracies[regime]
    of_targets = [rows.targets.index(target) for target in rows.averaged]
    return float(np.abs(rows.scores[cell][of_targets] - truth[of_targets]).mean())


def _shown(outcome: Outcome) -> str:
    if outcome.coverage is None:
        return f"{outcome.error:.3f}"
    return f"{outcome.error:.3f} ({outcome.coverage:.0%}, {outcome.width:.2f})"
