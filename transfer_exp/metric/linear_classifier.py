"""Linear classifier: cross-validated accuracy of a logistic regression on the features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import minimize

from transfer_exp.errors import InputError, check_options, check_types
from transfer_exp.metric import targets as targets_metrics
from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.statistics.discriminant import centred_features
from transfer_exp.statistics.feature_set import (
    Features,
    Labels,
    check_features,
    encode_labels,
    sorted_rows,
)
from transfer_exp.statistics.rounding import deviations

STEPS, TOLERANCE = 200, 1e-4
"""Largest number of solver steps, and the largest slope of the mean loss at the end (scikit-learn's default).

Held-out accuracy settles long before the weights do.
"""


def linear_classifier(features: Features, labels: Labels, folds: int = 5, penalty: float = 1.0, seed: int = 0) -> float:
    """Compute the share of `held_out_hits` among all samples: the cross-validated accuracy, in [0, 1].

    Parameters and errors are those of `held_out_hits`.
    """
    return float(held_out_hits(features, labels, folds, penalty, seed).mean())


def held_out_hits(
    features: Features, labels: Labels, folds: int = 5, penalty: float = 1.0, seed: int = 0
) -> Bool[np.ndarray, " samples"]:
    """Test for each sample whether a classifier that was fitted without the fold of the sample predicts its class.

    Each fold's classifier minimises sum_i -ln softmax(W x_i + b)_{y_i} + penalty |W|^2 / 2 on the other folds. Their
    dimensions are standardised (a constant one becomes 0). Folds are stratified: samples and classes are spread evenly.
    Of two classes, the first has no weights, so the penalty applies to the difference of the classes.

    Args:
        features: (N, D), N at least ``folds``. The score does not saturate when N < D, because samples are held out.
        labels: (N,), integers, at least two classes. The only sample of a class is always wrong.
        folds: Number of folds, and therefore of fits, at least 2.
        penalty: Penalty of the squared weights, positive. It does not depend on N, so more samples are penalised less.
        seed: Seed of the assignment to folds. Samples are sorted first, so their order does not matter.

    Returns:
        (N,), True for a correct prediction.

    Raises:
        InputError: If ``folds`` is not in [2, N] or ``penalty`` is not positive.

    References:
        Multinomial logistic regression with an L2 penalty, solved like scikit-learn's `LogisticRegression`; a
        cross-validated form of the logistic baseline of Bolya et al., "PARC", NeurIPS 2021.
    """
    features = check_features(features, labels)
    if not 2 <= folds <= len(features):
        raise InputError(f"folds={folds} of linear_classifier must lie between 2 and the {len(features)} samples")
    if not 0 < penalty < np.inf:
        raise InputError(f"penalty={penalty} of linear_classifier must be positive")
    order, classes = sorted_samples(features, encode_labels(labels)[0])
    points = centred_features(features[order], classes)
    fold = stratified_folds(classes, folds, seed)
    hits = np.zeros(len(classes), dtype=bool)
    for held_out in (fold == i for i in range(folds)):
        predicted = _fit_and_predict(points[~held_out], classes[~held_out], points[held_out], penalty)
        hits[order[held_out]] = predicted == classes[held_out]
    return hits


def sorted_samples(
    features: Features, codes: Labels
) -> tuple[Int[np.ndarray, " samples"], Int[np.ndarray, " samples"]]:
    """Sort samples, and number their classes, by the features alone.

    Neither the order of the samples nor the names of the classes then affect a random draw.

    Returns:
        order: Indices that sort the rows by first dimension, then second and so on, then class, (N,).
        classes: Class of each sorted row, (N,), in [0, C). Classes are numbered by the positions of their rows.
    """
    order, position = sorted_rows(features)
    groups = np.split(position[np.argsort(codes[order], kind="stable")], np.bincount(codes).cumsum()[:-1])
    number = np.empty(len(groups), dtype=np.int64)
    number[sorted(range(len(groups)), key=lambda c: tuple(groups[c]))] = np.arange(len(groups))
    classes = number[codes[order]]
    among_equal_rows = np.lexsort((classes, position))
    return order[among_equal_rows], classes[among_equal_rows]


def stratified_folds(classes: Labels, folds: int, seed: int) -> Int[np.ndarray, " samples"]:
    """Return the fold of each sample, (N,), in [0, folds): dealt in turn, class by class, in random order."""
    shuffled = np.lexsort((np.random.default_rng(seed).random(len(classes)), classes))
    fold = np.empty_like(classes)
    fold[shuffled] = np.arange(len(classes)) % folds
    return fold


def _fit_and_predict(
    train: Float[np.ndarray, "train dim"],
    classes: Int[np.ndarray, " train"],
    test: Float[np.ndarray, "test dim"],
    penalty: float,
) -> Int[np.ndarray, " test"]:
    """Return the classes that a logistic regression fitted to ``train`` predicts for ``test``."""
    present, codes = np.unique(classes, return_inverse=True)
    if len(present) == 1:
        return np.full(len(test), classes[0])
    mean = train.mean(axis=0)
    train, test = deviations(train, mean), test - mean
    scale = np.sqrt(np.einsum("nd,nd->d", train, train) / len(train))
    inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
    weights, intercepts = fit_weights(train * inverse, codes, len(present), penalty)
    scores = np.zeros((len(test), len(present)))
    scores[:, -len(weights) :] = (test * inverse) @ weights.T + intercepts
    return np.asarray(present[scores.argmax(axis=1)])


def fit_weights(
    features: Float[np.ndarray, "samples dim"], codes: Int[np.ndarray, " samples"], classes: int, penalty: float
) -> tuple[Float[np.ndarray, "outputs dim"], Float[np.ndarray, " outputs"]]:
    """Return weights and intercepts of the logistic regression of `held_out_hits`, for all classes or the last of two.

    They are those of scikit-learn's `LogisticRegression` with the same settings, in less time.
    """
    samples, dim = features.shape
    outputs, rows = (classes if classes > 2 else 1), np.arange(samples)

    def loss_and_gradient(parameters: Float[np.ndarray, " size"]) -> tuple[float, Float[np.ndarray, " size"]]:
        weights, intercepts = np.split(parameters.reshape(outputs, dim + 1), [dim], axis=1)
        logits = np.zeros((samples, classes))
        logits[:, -outputs:] = features @ weights.T + intercepts[:, 0]
        logits -= logits.max(axis=1, keepdims=True)
        loss = penalty / 2 * np.einsum("kd,kd->", weights, weights) - logits[rows, codes].sum()
        errors = np.exp(logits, out=logits)
        totals = errors.sum(axis=1, keepdims=True)
        errors /= totals
        errors[rows, codes] -= 1
        gradient = np.empty((outputs, dim + 1))
        gradient[:, :dim] = errors[:, -outputs:].T @ features + penalty * weights
        gradient[:, dim] = errors[:, -outputs:].sum(axis=0)
        return (loss + np.log(totals).sum()) / samples, gradient.ravel() / samples

    solution = minimize(
        loss_and_gradient,
        np.zeros(outputs * (dim + 1)),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": STEPS, "gtol": TOLERANCE, "maxls": 50, "ftol": 64 * float(np.finfo(np.float64).eps)},
    ).x
    weights, intercepts = np.split(solution.reshape(outputs, dim + 1), [dim], axis=1)
    return weights, intercepts[:, 0]


@dataclass(frozen=True)
class LinearClassifier(FormulaMetric):
    """Linear classifier: cross-validated accuracy of a logistic regression on the features."""

    name = "linear_classifier"
    source = "logistic regression, cross-validated; after a baseline of Bolya et al., NeurIPS 2021"
    formula = staticmethod(linear_classifier)
    lower = 0.0
    upper = 1.0
    invariances = ("translation", "scaling")
    multi_label_formula = staticmethod(targets_metrics.linear_classifier)

    folds: int = 5
    penalty: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_types("metric", self)
        checks = {
            "folds": (self.folds >= 2, "at least 2"),
            "penalty": (0 < self.penalty < np.inf, "a positive number"),
        }
        check_options("metric", self, checks)


@dataclass(frozen=True)
class Recommended(LinearClassifier):
    """Recommended metric: the one that stored evidence chooses for the default, at present `linear_classifier`.

    It scores raw features: use it with ``perturbation=none``. ``python -m studies.recommendation`` chooses it by
    leave-one-group-out selection: of all metrics after all perturbations, on 23 real networks and on the built-in pool,
    it takes the fastest one whose mean weighted tau is within 0.02 of the best, and judges it on targets that did not
    choose it. ``docs/results/recommendation.md`` has the rows, costs and paired tests.
    """

    name = "recommended"
    source = "chosen by this project's study of the default; see `linear_classifier`"
    chosen = LinearClassifier.name
