"""Ways to say what a model will reach, the simplest first, each judged on the targets it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from studies.calibration.held_out import Judged, held_out, mean
from studies.calibration.rows import BLIND, Rows
from studies.real_pool.data import Cell

EPSILON = 0.01
"""Shares nearer to 0 and 1 are brought here before a logit is taken of them."""


@dataclass(frozen=True)
class Outcome:
    """How far a candidate is off.

    Attributes
    ----------
    error
        Mean absolute, over models, then over targets.
    coverage, width
        Of its intervals; None where it gives none.
    """

    error: float
    coverage: float | None = None
    width: float | None = None


def outcomes(rows: Rows, regime: str) -> dict[str, Outcome]:
    """Return the outcome of every candidate by its description, in the order of the page."""
    found = {name: Outcome(_error(rows, regime, predict)) for name, predict in _POINTS.items()}
    after_pca = [cell for cell in rows.cells() if cell.perturbation == "pca"]
    for name, anchor in (("", None), ("knn", "knn"), ("linear_classifier", "linear_classifier")):
        given = f"calibrated, {name}" if name else "calibrated, number of classes"
        found[given] = _outcome(held_out(rows, regime, Cell(BLIND), anchor))
        of_metrics = [_outcome(held_out(rows, regime, cell, anchor)) for cell in after_pca]
        found[f"{given} and a score, mean of {len(after_pca)} metrics"] = Outcome(
            *(float(np.mean([getattr(one, what) for one in of_metrics])) for what in ("error", "coverage", "width"))
        )
    return found


def as_it_is(anchor: str) -> Callable[[Rows, str, str], np.ndarray]:
    """Return the candidate that takes an accuracy on the features for the accuracy after training."""

    def predict(rows: Rows, regime: str, target: str) -> Float[np.ndarray, " models"]:
        return rows.scores[Cell(anchor)][rows.targets.index(target)]

    return predict


def _constant(rows: Rows, regime: str, target: str) -> Float[np.ndarray, " models"]:
    return np.full(len(rows.models), _elsewhere(rows, rows.accuracies[regime], target).mean())


def _same_model(rows: Rows, regime: str, target: str) -> Float[np.ndarray, " models"]:
    return np.asarray(_elsewhere(rows, rows.accuracies[regime], target).mean(axis=0))


def _isotonic(rows: Rows, regime: str, target: str) -> Float[np.ndarray, " models"]:
    from sklearn.isotonic import IsotonicRegression

    anchors = rows.scores[Cell("linear_classifier")]
    known, truth = (_elsewhere(rows, values, target).ravel() for values in (anchors, rows.accuracies[regime]))
    fitted = IsotonicRegression(out_of_bounds="clip").fit(known, truth)
    return np.asarray(fitted.predict(anchors[rows.targets.index(target)]))


def _logistic(rows: Rows, regime: str, target: str) -> Float[np.ndarray, " models"]:
    anchors = _logit(rows.scores[Cell("linear_classifier")])
    truth = _logit(rows.accuracies[regime])
    known, reached = (_elsewhere(rows, values, target).ravel() for values in (anchors, truth))
    slope, intercept = np.polyfit(known, reached, 1)
    return np.asarray(1 / (1 + np.exp(-(intercept + slope * anchors[rows.targets.index(target)]))))


_POINTS: Mapping[str, Callable[[Rows, str, str], np.ndarray]] = {
    "mean accuracy of all models on the other targets": _constant,
    "mean accuracy of the same model on the other targets": _same_model,
    "ncm as it is": as_it_is("ncm"),
    "knn as it is": as_it_is("knn"),
    "linear_classifier as it is": as_it_is("linear_classifier"),
    "linear_classifier, isotonic": _isotonic,
    "linear_classifier, a line through logits": _logistic,
}


def _elsewhere(rows: Rows, values: np.ndarray, target: str) -> Float[np.ndarray, "targets models"]:
    """Return the values on the targets that a calibration for this one may see."""
    return values[[rows.targets.index(other) for other in rows.averaged if other != target]]


def _error(rows: Rows, regime: str, predict: Callable[[Rows, str, str], np.ndarray]) -> float:
    truth = rows.accuracies[regime]
    errors = [np.abs(predict(rows, regime, t) - truth[rows.targets.index(t)]).mean() for t in rows.averaged]
    return float(np.mean(errors))


def _logit(shares: np.ndarray) -> np.ndarray:
    bounded = np.clip(shares, EPSILON, 1 - EPSILON)
    return np.asarray(np.log(bounded / (1 - bounded)))


def _outcome(judged: Sequence[Judged]) -> Outcome:
    return Outcome(*(mean(judged, what) for what in ("error", "coverage", "width")))
