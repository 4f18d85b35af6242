"""Tables of the page on expected accuracies, by the names of their blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from studies.calibration.data import CONSTANT, PoolData
from studies.calibration.predictions import (
    LEVEL,
    EstimatorErrors,
    TargetPrediction,
    compare_estimators,
    fit_on_pool,
    mean_over_targets,
    predict_held_out,
    predict_other_pool,
)
from studies.real_pool.data import Cell
from studies.real_pool.tables import regime_label
from transfer_exp.report.markdown import markdown

ANCHORS = (None, "knn", "linear_classifier")
BEST_ANCHOR = "linear_classifier"
HEADLINE = Cell("logme", "pca")
"""Score of the tables that show a single score."""
Pools: TypeAlias = Mapping[str, PoolData]
_FAMILIES = ("mobilenet", "squeezenet", "resnet", "densenet", "darknet", "doodlenet")


def estimators(pools: Pools) -> str:
    """Return the errors of every way to estimate accuracies, by regime."""
    data = pools["real_pool"]
    errors = {regime: compare_estimators(data, regime) for regime in data.accuracies}
    names = next(iter(errors.values()))
    rows = [[name, *(_error_text(by_name[name]) for by_name in errors.values())] for name in names]
    return (
        f"{markdown(['estimate from', *map(regime_label, errors)], rows)}\n\nMean absolute error on a held-out target, "
        f"mean over {len(data.averaged)} targets. The brackets hold the coverage of the {LEVEL:.0%} interval and its "
        "width."
    )


def targets(pools: Pools) -> str:
    """Return the errors on every target, the control included."""
    data = pools["real_pool"]
    control_last = tuple(sorted(data.targets, key=lambda target: target == data.control))
    rows = [
        [regime_label(regime), prediction.target, f"{prediction.accuracies.mean():.3f}", *summarize([prediction])]
        for regime in data.accuracies
        for prediction in predict_held_out(data, regime, HEADLINE, BEST_ANCHOR, control_last)
    ]
    return (
        f"{markdown(['regime', 'target', 'mean accuracy', *SUMMARY], rows)}\n\n{cell_label(HEADLINE)} with "
        f"{BEST_ANCHOR}. `{data.control}` is left out of all calibrations and means."
    )


def families(pools: Pools) -> str:
    """Return the errors on each family of models, with and without the family in the calibration."""
    data, rows = pools["real_pool"], []
    for family in _FAMILIES:
        members = np.array([i for i, model in enumerate(data.models) if family in model])
        rest = np.setdiff1d(np.arange(len(data.models)), members)
        cells = [_family_error(data, regime, members, fitted) for regime in data.accuracies for fitted in (None, rest)]
        rows.append([family, str(len(members)), *cells])
    head = [f"{regime_label(regime)}, {which}" for regime in data.accuracies for which in ("with", "without")]
    return (
        f"{markdown(['family', 'models', *head], rows)}\n\n{cell_label(HEADLINE)} with {BEST_ANCHOR}. Mean absolute "
        f"error on the models of a family; the brackets hold the coverage of the {LEVEL:.0%} interval. The calibration "
        "uses the other targets, with or without the family."
    )


def sizes(pools: Pools) -> str:
    """Return the errors by the number of scored images."""
    data, rows = pools["real_pool"], []
    for regime in data.accuracies:
        with_all = predict_held_out(data, regime, Cell(CONSTANT), BEST_ANCHOR)
        for images in ("20", "50", "all"):
            same = predict_held_out(data, regime, Cell(CONSTANT, images=images), BEST_ANCHOR)
            mixed = [
                TargetPrediction(p.target, q.calibration, p.pool, p.accuracies)
                for p, q in zip(same, with_all, strict=True)
            ]
            unchanged = _unchanged_error(data, regime, Cell(BEST_ANCHOR, images=images))
            errors = [
                f"{mean_over_targets(of, 'error'):.3f} ({mean_over_targets(of, 'coverage'):.0%})"
                for of in (same, mixed)
            ]
            rows.append([regime_label(regime), images, f"{unchanged:.3f}", *errors])
    head = ["regime", "images per class", f"{BEST_ANCHOR}, unchanged", "calibrated on as many", "calibrated on all"]
    return (
        f"{markdown(head, rows)}\n\nMean absolute error on a held-out target; the brackets hold the coverage of the "
        f"{LEVEL:.0%} interval. The accuracies are always those after training on all images."
    )


def other_pools(pools: Pools) -> str:
    """Return the errors on other pools, of calibrations on the real pool and on the other targets of the same pool."""
    real, builtin, published = pools["real_pool"], pools["builtin"], pools["modelspider_cnn10"]
    rows = []
    for anchor in ANCHORS:
        row = ["builtin", cell_label(HEADLINE), anchor or "none"]
        transferred = predict_other_pool(real, builtin, ("full", "full"), HEADLINE, anchor)
        rows.append([*row, "real_pool", *summarize(transferred)])
        rows.append([*row, "its other targets", *summarize(predict_held_out(builtin, "full", HEADLINE, anchor))])
    regimes = "full", "vanilla_ft"
    for cell in (Cell(CONSTANT), *sorted(published.cells(), key=lambda c: c.metric)):
        row = ["modelspider_cnn10", cell.metric, "none"]
        if cell.metric in (CONSTANT, HEADLINE.metric):
            rows.append([*row, "real_pool", *summarize(predict_other_pool(real, published, regimes, cell, None))])
        held_out = predict_held_out(published, "vanilla_ft", cell, None)
        rows.append([*row, "its other targets", *summarize(held_out)])
    return (
        f"{markdown(['pool', 'score', 'anchor', 'calibrated on', *SUMMARY], rows)}\n\nFull fine-tuning, mean over "
        f"{len(builtin.averaged)} and {len(published.averaged)} targets. On the built-in pool, {BEST_ANCHOR} without "
        f"calibration has an error of {_unchanged_error(builtin, 'full', Cell(BEST_ANCHOR)):.3f}."
    )


def metrics(pools: Pools, regime: str) -> str:
    """Return the improvement that each metric brings, and the regret of choosing by it."""
    data, rows = pools["real_pool"], []
    for cell in sorted(data.cells(), key=lambda c: (c.metric, c.perturbation)):
        without, with_anchor = (predict_held_out(data, regime, cell, anchor) for anchor in (None, BEST_ANCHOR))
        slopes = [fit_on_pool(data, regime, cell, anchor).score_slope for anchor in (None, BEST_ANCHOR)]
        regrets = [float(np.mean(values)) for k in (1, 3) for values in regret_pairs(with_anchor, k)]
        errors = [mean_over_targets(predictions, "error") for predictions in (without, with_anchor)]
        rows.append([cell.metric, cell.perturbation, *(f"{number:.3f}" for number in (*errors, *slopes, *regrets))])
    head = ["metric", "perturbation", "error without", "error with", "slope without", "slope with"]
    head += ["expected regret", "realised regret", "expected, best 3", "realised, best 3"]
    return (
        f"{markdown(head, rows)}\n\nRegime {regime_label(regime)}, mean over {len(data.averaged)} held-out targets. "
        f"`with` and `without`: with {BEST_ANCHOR} as the anchor, or without an anchor. Expected regrets use the "
        "anchor. Slopes are in radians per standard deviation of the score, fitted to all targets."
    )


def regret(pools: Pools) -> str:
    """Return expected and realised regret by regime and anchor, over all metrics."""
    data, rows = pools["real_pool"], []
    for regime in data.accuracies:
        for anchor in ANCHORS:
            by_cell = [predict_held_out(data, regime, cell, anchor) for cell in data.cells()]
            numbers = [text for k in (1, 3) for text in _compare_regrets(by_cell, k)]
            rows.append([regime_label(regime), anchor or "none", *numbers])
    head = ["expected", "realised", "error", "error of other targets", "correlation"]
    return (
        f"{markdown(['regime', 'anchor', *head, *(f'{name}, best 3' for name in head)], rows)}\n\nOver "
        f"{len(data.cells())} scores and {len(data.averaged)} held-out targets. `error`: mean absolute difference of "
        "expected and realised regret. `error of other targets`: the same for the mean regret that the score realised "
        "on the other targets. `correlation`: Pearson correlation of expected and realised regret."
    )


SUMMARY = ("bias", "error", "in interval", "width", "expected regret", "realised regret")
"""Columns of `summarize`."""


def summarize(predictions: Sequence[TargetPrediction]) -> list[str]:
    """Return the means over targets of bias, error, coverage, width, and expected and realised regret."""
    expected = float(np.mean([prediction.expected_regrets[0] for prediction in predictions]))
    return [
        f"{mean_over_targets(predictions, 'bias'):+.3f}",
        f"{mean_over_targets(predictions, 'error'):.3f}",
        f"{mean_over_targets(predictions, 'coverage'):.0%}",
        f"{mean_over_targets(predictions, 'width'):.2f}",
        f"{expected:.3f}",
        f"{np.mean([prediction.realised_regret(1) for prediction in predictions]):.3f}",
    ]


def cell_label(cell: Cell) -> str:
    """Return a metric and its perturbation as text."""
    return cell.metric if cell.perturbation == "none" else f"{cell.metric} after {cell.perturbation}"


def regret_pairs(predictions: Sequence[TargetPrediction], k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the expected and the realised regret of the best k scores on each target."""
    expected = np.array([prediction.expected_regrets[k - 1] for prediction in predictions])
    return expected, np.array([prediction.realised_regret(k) for prediction in predictions])


def _compare_regrets(by_cell: Sequence[Sequence[TargetPrediction]], k: int) -> list[str]:
    pairs = [regret_pairs(predictions, k) for predictions in by_cell]
    expected, realised = (np.stack(side) for side in zip(*pairs, strict=True))
    on_other_targets = (realised.sum(axis=1, keepdims=True) - realised) / (realised.shape[1] - 1)
    errors = [np.abs(estimate - realised).mean() for estimate in (expected, on_other_targets)]
    correlation = float(np.corrcoef(expected.ravel(), realised.ravel())[0, 1])
    return [*(f"{n:.3f}" for n in (expected.mean(), realised.mean(), *errors)), f"{correlation:.2f}"]


def _family_error(data: PoolData, regime: str, members: np.ndarray, fitted: np.ndarray | None) -> str:
    """Return error and coverage on some models, by calibrations on all models or on those with these indices."""
    errors, inside = [], []
    for held_out in predict_held_out(data, regime, HEADLINE, BEST_ANCHOR):
        calibration = fit_on_pool(data, regime, HEADLINE, BEST_ANCHOR, without=held_out.target, models=fitted)
        prediction = TargetPrediction(held_out.target, calibration, held_out.pool, held_out.accuracies)
        errors.append(np.abs(prediction.expected.accuracies - prediction.accuracies)[members])
        inside.append(prediction.is_inside[members])
    return f"{np.mean(errors):.3f} ({np.mean(inside):.0%})"


def _unchanged_error(data: PoolData, regime: str, cell: Cell) -> float:
    """Return the mean absolute error of an accuracy on the features, used as the accuracy after training."""
    truth = data.accuracies[regime]
    averaged = [data.targets.index(target) for target in data.averaged]
    return float(np.abs(data.scores[cell][averaged] - truth[averaged]).mean())


def _error_text(errors: EstimatorErrors) -> str:
    if errors.coverage is None:
        return f"{errors.error:.3f}"
    return f"{errors.error:.3f} ({errors.coverage:.0%}, {errors.width:.2f})"


TABLES: Mapping[str, Callable[..., str]] = {
    "estimators": estimators,
    "targets": targets,
    "families": families,
    "sizes": sizes,
    "other_pools": other_pools,
    "metrics": metrics,
    "regret": regret,
}
"""Tables by the name of their block; an argument after the name is a regime."""
