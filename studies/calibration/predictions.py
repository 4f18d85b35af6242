"""Accuracies predicted for held-out targets: by calibrations on the other targets, and by simpler estimators."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from studies.calibration.data import CONSTANT, PoolData
from studies.calibration.fit import fit_calibration
from studies.real_pool.data import Cell
from transfer_exp.evaluation.expected_accuracy import (
    Calibration,
    ExpectedAccuracies,
    ScoredPool,
    predict_accuracies,
    predict_regrets,
)
from transfer_exp.evaluation.ranking import rel_at_k

LEVEL = 0.8
"""Nominal share of accuracies inside the intervals of the page."""
EPSILON = 0.01
"""Accuracies are clipped to [EPSILON, 1 - EPSILON] before their logit is computed."""
Estimator: TypeAlias = Callable[[PoolData, str, str], np.ndarray]
"""Function of the data, a regime and a held-out target that returns an accuracy for each model."""


@dataclass(frozen=True, eq=False)
class TargetPrediction:
    """Expected accuracies of the models of one target next to the accuracies that they reached.

    Attributes:
        target: Name of the target.
        calibration: Calibration fitted without the target.
        pool: Scores and anchors of the models.
        accuracies: Accuracies that the models reached, in [0, 1].
    """

    target: str
    calibration: Calibration
    pool: ScoredPool
    accuracies: np.ndarray

    @cached_property
    def expected(self) -> ExpectedAccuracies:
        """Expected accuracies with intervals of `LEVEL`."""
        return predict_accuracies(self.calibration, self.pool, LEVEL)

    @property
    def error(self) -> float:
        """Mean absolute error over models."""
        return float(np.abs(self.expected.accuracies - self.accuracies).mean())

    @property
    def bias(self) -> float:
        """Expected minus reached accuracy, mean over models."""
        return float((self.expected.accuracies - self.accuracies).mean())

    @property
    def is_inside(self) -> np.ndarray:
        """Whether the interval of each model contains its accuracy."""
        return np.asarray((self.expected.low <= self.accuracies) & (self.accuracies <= self.expected.high))

    @property
    def coverage(self) -> float:
        """Share of models with an accuracy inside the interval."""
        return float(self.is_inside.mean())

    @property
    def width(self) -> float:
        """Width of the intervals, mean over models."""
        return float((self.expected.high - self.expected.low).mean())

    @cached_property
    def expected_regrets(self) -> np.ndarray:
        """Expected regret of training the best 1, 2, ... scores."""
        return predict_regrets(self.calibration, self.pool)

    def realised_regret(self, k: int) -> float:
        """Return the regret of training the best k scores."""
        return float(self.accuracies.max() * (1 - rel_at_k(self.pool.scores, self.accuracies, k)))


@cache  # several tables and the figure use the same predictions
def predict_held_out(
    data: PoolData, regime: str, cell: Cell, anchor: str | None, targets: tuple[str, ...] = ()
) -> tuple[TargetPrediction, ...]:
    """Predict every target (by default those that means are over) with a calibration on the other targets.

    Neither the target itself nor the control takes part in its calibration.
    """
    models = data.applicable_models(cell)
    return tuple(
        TargetPrediction(
            target,
            fit_on_pool(data, regime, cell, anchor, without=target),
            data.scored_pool(cell, anchor, target),
            data.accuracies[regime][data.targets.index(target), models],
        )
        for target in targets or data.averaged
    )


def fit_on_pool(
    data: PoolData, regime: str, cell: Cell, anchor: str | None, without: str = "", models: np.ndarray | None = None
) -> Calibration:
    """Fit a calibration to a pool, without one target, and to all models or to the models with these indices."""
    models = data.applicable_models(cell) if models is None else np.intersect1d(data.applicable_models(cell), models)
    targets = [target for target in data.averaged if target != without]
    truth = data.accuracies[regime]
    pools = [data.scored_pool(cell, anchor, target, models) for target in targets]
    return fit_calibration(pools, [truth[data.targets.index(target), models] for target in targets])


def predict_other_pool(
    source: PoolData, data: PoolData, regimes: tuple[str, str], cell: Cell, anchor: str | None
) -> list[TargetPrediction]:
    """Predict the targets of a pool with a calibration on all targets of a source pool.

    ``regimes`` holds the regime of the source pool and that of the predicted pool.
    """
    calibration = fit_on_pool(source, regimes[0], cell, anchor)
    models = data.applicable_models(cell)
    truth = data.accuracies[regimes[1]]
    return [
        TargetPrediction(
            target,
            calibration,
            data.scored_pool(cell, anchor, target),
            truth[data.targets.index(target), models],
        )
        for target in data.averaged
    ]


def mean_over_targets(predictions: Sequence[TargetPrediction], attribute: str) -> float:
    """Return the mean over targets of a numeric attribute of `TargetPrediction`."""
    return float(np.mean([getattr(prediction, attribute) for prediction in predictions]))


@dataclass(frozen=True)
class EstimatorErrors:
    """Errors of one way to estimate accuracies on held-out targets.

    Attributes:
        error: Mean absolute error over models, then over targets.
        coverage, width: Coverage and width of the intervals; None for an estimator without intervals.
    """

    error: float
    coverage: float | None = None
    width: float | None = None


def compare_estimators(data: PoolData, regime: str) -> dict[str, EstimatorErrors]:
    """Return the errors of every estimator by its description, in the order of the page."""
    errors = {name: EstimatorErrors(_mean_error(data, regime, predict)) for name, predict in _POINT_ESTIMATORS.items()}
    after_pca = [cell for cell in data.cells() if cell.perturbation == "pca"]
    for anchor in (None, "knn", "linear_classifier"):
        name = f"calibrated, {anchor or 'number of classes'}"
        errors[name] = _calibration_errors(predict_held_out(data, regime, Cell(CONSTANT), anchor))
        by_metric = [_calibration_errors(predict_held_out(data, regime, cell, anchor)) for cell in after_pca]
        errors[f"{name} and a score, mean of {len(after_pca)} metrics"] = EstimatorErrors(
            *(float(np.mean([getattr(e, field) for e in by_metric])) for field in ("error", "coverage", "width"))
        )
    return errors


def _calibration_errors(predictions: Sequence[TargetPrediction]) -> EstimatorErrors:
    return EstimatorErrors(*(mean_over_targets(predictions, name) for name in ("error", "coverage", "width")))


def _mean_error(data: PoolData, regime: str, predict: Estimator) -> float:
    truth = data.accuracies[regime]
    errors = [np.abs(predict(data, regime, t) - truth[data.targets.index(t)]).mean() for t in data.averaged]
    return float(np.mean(errors))


def _use_unchanged(metric: str) -> Estimator:
    """Return the estimator that uses an accuracy on the features as the accuracy after training."""

    def predict(data: PoolData, regime: str, target: str) -> Float[np.ndarray, " models"]:
        return data.scores[Cell(metric)][data.targets.index(target)]

    return predict


def _mean_of_pool(data: PoolData, regime: str, target: str) -> Float[np.ndarray, " models"]:
    return np.full(len(data.models), _on_other_targets(data, data.accuracies[regime], target).mean())


def _mean_of_model(data: PoolData, regime: str, target: str) -> Float[np.ndarray, " models"]:
    return np.asarray(_on_other_targets(data, data.accuracies[regime], target).mean(axis=0))


def _isotonic(data: PoolData, regime: str, target: str) -> Float[np.ndarray, " models"]:
    from sklearn.isotonic import IsotonicRegression

    anchors = data.scores[Cell("linear_classifier")]
    x, y = (_on_other_targets(data, values, target).ravel() for values in (anchors, data.accuracies[regime]))
    regression = IsotonicRegression(out_of_bounds="clip").fit(x, y)
    return np.asarray(regression.predict(anchors[data.targets.index(target)]))


def _linear_in_logits(data: PoolData, regime: str, target: str) -> Float[np.ndarray, " models"]:
    anchors = _logit(data.scores[Cell("linear_classifier")])
    truth = _logit(data.accuracies[regime])
    x, y = (_on_other_targets(data, values, target).ravel() for values in (anchors, truth))
    slope, intercept = np.polyfit(x, y, 1)
    return np.asarray(1 / (1 + np.exp(-(intercept + slope * anchors[data.targets.index(target)]))))


_POINT_ESTIMATORS: Mapping[str, Estimator] = {
    "mean accuracy of all models on the other targets": _mean_of_pool,
    "mean accuracy of the same model on the other targets": _mean_of_model,
    "ncm, unchanged": _use_unchanged("ncm"),
    "knn, unchanged": _use_unchanged("knn"),
    "linear_classifier, unchanged": _use_unchanged("linear_classifier"),
    "linear_classifier, isotonic regression": _isotonic,
    "linear_classifier, linear in logits": _linear_in_logits,
}


def _on_other_targets(data: PoolData, values: np.ndarray, target: str) -> Float[np.ndarray, "targets models"]:
    """Return the values on all targets but this one and the control."""
    return values[[data.targets.index(name) for name in data.averaged if name != target]]


def _logit(accuracies: np.ndarray) -> np.ndarray:
    clipped = np.clip(accuracies, EPSILON, 1 - EPSILON)
    return np.asarray(np.log(clipped / (1 - clipped)))
