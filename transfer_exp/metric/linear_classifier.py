"""Linear classifier: how accurate a logistic regression on the features is, on samples it was not fitted to."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int, Real

from transfer_exp.errors import InputError
from transfer_exp.metric.sample_order import labelled_order
from transfer_exp.statistics.discriminant import centred_features
from transfer_exp.statistics.feature_set import check_features, encode_labels
from transfer_exp.statistics.rounding import deviations

STEPS = 200
"""Of the solver, at most: held-out accuracy has settled long before the weights have."""


def linear_classifier(
    features: Real[np.ndarray, "samples dim"],
    labels: Int[np.ndarray, " samples"],
    folds: int = 5,
    penalty: float = 1.0,
    seed: int = 0,
) -> float:
    """Return the accuracy, over all samples, of classifiers fitted without the sample's fold.

    Each fold's classifier minimises sum_i -ln softmax(W x_i + b)_{y_i} + penalty |W|^2 / 2 on the other folds, whose
    dimensions are standardised (a constant one becomes 0). Folds are stratified: every class, and the whole, is spread
    over them evenly.

    Parameters
    ----------
    features
        (N, D), N at least ``folds``. Unlike scores read on the samples they were fitted to, this one does not
        saturate when N < D.
    labels
        (N,), integers, at least two classes. The one sample of a class is always wrong.
    folds
        At least 2. Costs as many fits.
    penalty
        Of squared weights, positive. Independent of N, so more samples are penalised less.
    seed
        Of who falls in which fold. Samples are sorted first, so their order is no second seed.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    InputError
        As `check_features`; when ``folds`` is not in [2, N] or ``penalty`` is not positive.

    References
    ----------
    Multinomial logistic regression with an L2 penalty, by L-BFGS (scikit-learn); a cross-validated form of the logistic
    baseline of Bolya et al., "PARC", NeurIPS 2021.
    """
    features = check_features(features, labels)
    if not 2 <= folds <= len(features):
        raise InputError(f"folds={folds} of linear_classifier must lie between 2 and the {len(features)} samples")
    if not 0 < penalty < np.inf:
        raise InputError(f"penalty={penalty} of linear_classifier must be positive")
    order, classes = labelled_order(features, encode_labels(labels)[0])
    points = centred_features(features[order], classes)
    fold = stratified_folds(classes, folds, seed)
    hits = 0
    for held_out in (fold == i for i in range(folds)):
        predicted = _fitted_prediction(points[~held_out], classes[~held_out], points[held_out], penalty)
        hits += int((predicted == classes[held_out]).sum())
    return hits / len(classes)


def stratified_folds(classes: Int[np.ndarray, " samples"], folds: int, seed: int) -> Int[np.ndarray, " samples"]:
    """Deal the samples, class by class and shuffled within each, to the folds in turn: a number in [0, folds), (N,)."""
    shuffled = np.lexsort((np.random.default_rng(seed).random(len(classes)), classes))
    fold = np.empty_like(classes)
    fold[shuffled] = np.arange(len(classes)) % folds
    return fold


def _fitted_prediction(
    train: Float[np.ndarray, "train dim"],
    classes: Int[np.ndarray, " train"],
    test: Float[np.ndarray, "test dim"],
    penalty: float,
) -> Int[np.ndarray, " test"]:
    """Return the classes that a logistic regression fitted to ``train`` gives to ``test``."""
    # Imported here because scikit-learn takes a second to load and most runs do without it.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if (classes == classes[0]).all():
        return np.full(len(test), classes[0])
    mean = train.mean(axis=0)
    scale = np.sqrt((deviations(train, mean) ** 2).mean(axis=0))
    train, test = (np.divide(x - mean, scale, out=np.zeros_like(x), where=scale > 0) for x in (train, test))
    with warnings.catch_warnings():
        # `STEPS` bounds the work on purpose.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(LogisticRegression(C=1 / penalty, max_iter=STEPS).fit(train, classes).predict(test))


@dataclass(frozen=True)
class LinearClassifier:
    """`linear_classifier` as a metric.

    Attributes
    ----------
    folds
        Of the cross-validation, from 2 to N.
    penalty
        Of squared weights, positive.
    seed
        Of who falls in which fold.
    """

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
