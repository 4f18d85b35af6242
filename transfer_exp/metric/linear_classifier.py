"""Linear classifier: cross-validated accuracy of a logistic regression on the features."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from transfer_exp.errors import InputError
from transfer_exp.statistics.discriminant import centred_features
from transfer_exp.statistics.feature_set import Features, Labels, check_features, encode_labels
from transfer_exp.statistics.rounding import deviations

STEPS = 200
"""Largest number of solver steps: held-out accuracy settles long before the weights do."""


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
        Multinomial logistic regression with an L2 penalty, by L-BFGS (scikit-learn); a cross-validated form of the
        logistic baseline of Bolya et al., "PARC", NeurIPS 2021.
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
    order = np.lexsort(features.T[::-1])
    rows = features[order]
    position = np.concatenate([[0], np.any(rows[1:] != rows[:-1], axis=1).cumsum()])
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
    # Imported here because scikit-learn takes a second to load and most runs do not need it.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if (classes == classes[0]).all():
        return np.full(len(test), classes[0])
    mean = train.mean(axis=0)
    scale = np.sqrt((deviations(train, mean) ** 2).mean(axis=0))
    train, test = (np.divide(x - mean, scale, out=np.zeros_like(x), where=scale > 0) for x in (train, test))
    with warnings.catch_warnings():
        # `STEPS` bounds the work on purpose, and classes of few samples are not a mistake.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The number of unique classes is greater", UserWarning)
        return np.asarray(LogisticRegression(C=1 / penalty, max_iter=STEPS).fit(train, classes).predict(test))


@dataclass(frozen=True)
class LinearClassifier:
    """`linear_classifier` as a metric. The fields are its options."""

    name: ClassVar[str] = "linear_classifier"
    source: ClassVar[str] = "logistic regression, cross-validated; after a baseline of Bolya et al., NeurIPS 2021"
    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = 1.0
    inputs: ClassVar[tuple[str, ...]] = ("features", "labels")
    invariances: ClassVar[tuple[str, ...]] = ("translation", "scaling")

    folds: int = 5
    penalty: float = 1.0
    seed: int = 0

    def __call__(self, features: np.ndarray, labels: np.ndarray) -> float:
        """Return `linear_classifier` of features (N, D) and labels (N,)."""
        return linear_classifier(features, labels, self.folds, self.penalty, self.seed)
