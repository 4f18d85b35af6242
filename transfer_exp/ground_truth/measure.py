"""Measures of predictions on a test split, as the literature of each dataset defines them.

Larger values are better, except of the errors in `transfer_exp.io.measures`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int, Real
from scipy.special import softmax

from transfer_exp.errors import InputError
from transfer_exp.io.measures import ORDINAL

_TINY = float(np.finfo(np.float64).tiny)
Scores = Float[np.ndarray, "samples classes"]
Labels = Int[np.ndarray, " samples"]
Flags = Bool[np.ndarray, "samples classes"]


def accuracy(scores: Scores, labels: Labels) -> float:
    """Return the share of samples whose label has the highest of their scores (N, C), in [0, 1]."""
    return float((scores.argmax(axis=1) == labels).mean())


def mean_per_class_accuracy(scores: Scores, labels: Labels) -> float:
    """Return the accuracy within each class, averaged over the classes that occur, in [0, 1]."""
    is_correct = scores.argmax(axis=1) == labels
    return float(np.mean([is_correct[labels == value].mean() for value in np.unique(labels)]))


def map_11point(scores: Scores, targets: Int[np.ndarray, "samples classes"]) -> float:
    """Return the mean over classes of 11-point interpolated average precision, in [0, 1].

    A class's average precision is the mean, over recalls 0, 0.1, ... 1, of the best precision at that recall or
    above (Everingham et al., IJCV 2010, sec. 4.2). Classes without a positive sample are left out.
    Raises `InputError` if no class has one.
    """
    if not targets.any():
        raise InputError("no test image has a label: average precision needs at least one")
    averages = []
    for column, truth in zip(scores.T, targets.T, strict=True):
        if truth.any():
            hits = truth[np.argsort(-column, kind="stable")].cumsum()
            recall, precision = hits / truth.sum(), hits / np.arange(1, len(truth) + 1)
            averages.append(np.mean([precision[recall >= level - 1e-9].max() for level in np.linspace(0, 1, 11)]))
    return float(np.mean(averages))


def macro_f1(is_predicted: Flags, is_true: Flags) -> float:
    """Return the F1 score of each class, averaged over the classes that are predicted or true anywhere, in [0, 1].

    Args:
        is_predicted, is_true: (N, C), whether a sample has the class.
    """
    occurs = is_predicted.any(axis=0) | is_true.any(axis=0)
    hits = (is_predicted & is_true).sum(axis=0)[occurs]
    return float((2 * hits / (is_predicted.sum(axis=0) + is_true.sum(axis=0))[occurs]).mean()) if occurs.any() else 0.0


def micro_f1(is_predicted: Flags, is_true: Flags) -> float:
    """Return the F1 score over all pairs of a sample and a class, in [0, 1]."""
    return float(2 * (is_predicted & is_true).sum() / max(is_predicted.sum() + is_true.sum(), 1))


def macro_auroc(scores: Scores, is_true: Flags) -> float:
    """Return the area under the ROC curve, averaged over the classes that some samples have and some lack, in [0, 1].

    Raises `InputError` if the class does not exist.
    """
    return _mean_over_classes(_auroc, scores, is_true)


def mean_average_precision(scores: Scores, is_true: Flags) -> float:
    """Return the average precision (area under the steps of the curve), averaged over the classes, in [0, 1].

    Classes that no sample has, or that all have, are left out; raises `InputError` if none is left.
    """
    from sklearn.metrics import average_precision_score

    return _mean_over_classes(average_precision_score, scores, is_true)


def label_ranking_average_precision(scores: Scores, is_true: Flags) -> float:
    """Return the mean, over samples and their labels, of the share of true ones among the labels ranked as high.

    Every sample has a label. The value is in (0, 1] (Schapire and Singer, "BoosTexter", 2000).
    """
    from sklearn.metrics import label_ranking_average_precision_score

    return float(label_ranking_average_precision_score(is_true, np.nan_to_num(scores)))


def r2(predicted: Scores, numbers: Real[np.ndarray, "samples classes"]) -> float:
    """Return one minus the squared errors over the squared deviations from the mean, of at most 1."""
    return float(1 - ((numbers - predicted) ** 2).sum() / max(((numbers - numbers.mean()) ** 2).sum(), _TINY))


def spearman(predicted: Scores, numbers: Real[np.ndarray, "samples classes"]) -> float:
    """Return the rank correlation of predicted and true numbers, in [-1, 1]; 0 if all predictions are equal."""
    if (predicted == predicted[0]).all() or (numbers == numbers[0]).all():
        return 0.0
    return float(scipy.stats.spearmanr(predicted[:, 0], numbers[:, 0]).statistic)


def rmse(predicted: Scores, numbers: Real[np.ndarray, "samples classes"]) -> float:
    """Return the root mean squared error, in the unit of the numbers."""
    return float(np.sqrt(((numbers - predicted) ** 2).mean()))


def mae(predicted: Scores, numbers: Real[np.ndarray, "samples classes"]) -> float:
    """Return the mean absolute error, in the unit of the numbers."""
    return float(np.abs(numbers - predicted).mean())


def quadratic_weighted_kappa(predicted: Labels, grades: Labels) -> float:
    """Return Cohen's kappa with quadratic weights, in [-1, 1]; 0 for grades that are predicted by chance.

    This is one minus the mean squared difference of a sample's predicted and true grade, over the mean over all pairs
    of a prediction and a true grade (Cohen, "Weighted kappa", Psychological Bulletin 1968). It is 1 if all grades are
    equal and right.

    Args:
        predicted, grades: (N,), whole numbers.
    """
    p, g = predicted.astype(np.float64), grades.astype(np.float64)
    by_chance = p.var() + g.var() + (p.mean() - g.mean()) ** 2
    return float(1 - ((p - g) ** 2).mean() / by_chance) if by_chance > 0 else 1.0


def macro_mae(predicted: Labels, grades: Labels) -> float:
    """Return the mean absolute error within each true grade, averaged over the grades that occur, in grades.

    Source: Baccianella et al., "Evaluation Measures for Ordinal Regression", ISDA 2009, eq. 3.
    """
    errors = np.abs(predicted - grades)
    return float(np.mean([errors[grades == grade].mean() for grade in np.unique(grades)]))


def round_to_grades(
    predicted: Scores, numbers: Real[np.ndarray, "samples classes"]
) -> tuple[Int[np.ndarray, " samples"], Int[np.ndarray, " samples"]]:
    """Return predicted numbers (N, 1) as the nearest grades between the smallest and largest true one, and true grades.

    Raises:
        InputError: If a true number is not whole.
    """
    grades = numbers[:, 0]
    broken = grades[grades != np.round(grades)]
    if len(broken):
        raise InputError(f"the number {broken[0]:g} is not a grade, which is a whole number: use measure=mae or rmse")
    nearest = np.clip(np.round(predicted[:, 0]), grades.min(), grades.max())
    return nearest.astype(np.int64), grades.astype(np.int64)


def compute_measure(
    name: str, scores: Scores, labels: Labels, targets: Real[np.ndarray, "samples classes"] | None
) -> float:
    """Compute the measure that a `TargetDataset` names, one of `transfer_exp.io.measures.NAMES`.

    Args:
        name: Name of the measure.
        scores: Logits (N, C) of the classes or labels, or predicted numbers (N, 1).
        labels: (N,), classes.
        targets: (N, C) zeros and ones for several labels, (N, 1) numbers, or None for one class.
    """
    if name in ORDINAL:
        pair = (scores.argmax(axis=1), labels) if targets is None else round_to_grades(scores, targets)
        return {"quadratic_weighted_kappa": quadratic_weighted_kappa, "macro_mae": macro_mae}[name](*pair)
    if name in ("r2", "spearman", "rmse", "mae"):
        assert targets is not None, "numbers are targets"
        return {"r2": r2, "spearman": spearman, "rmse": rmse, "mae": mae}[name](scores, targets)
    if name in ("accuracy", "mean_per_class_accuracy"):
        return {"accuracy": accuracy, "mean_per_class_accuracy": mean_per_class_accuracy}[name](scores, labels)
    one_hot = np.eye(scores.shape[1], dtype=np.int64)
    if name == "map_11point":
        return map_11point(scores, one_hot[labels] if targets is None else targets)
    is_true = (one_hot[labels] if targets is None else targets) > 0
    is_predicted = one_hot[scores.argmax(axis=1)] > 0 if targets is None else scores > 0
    if name in ("macro_f1", "micro_f1"):
        return {"macro_f1": macro_f1, "micro_f1": micro_f1}[name](is_predicted, is_true)
    # With one class per image, probabilities make the scores of different images comparable.
    comparable = softmax(scores, axis=1) if targets is None else scores
    functions = (macro_auroc, mean_average_precision, label_ranking_average_precision)
    return {function.__name__: function for function in functions}[name](comparable, is_true)


def _auroc(is_true: np.ndarray, scores: np.ndarray) -> float:
    """Return the share of pairs of a positive and a negative sample that are in order; ties count one half."""
    n_true = int(is_true.sum())
    excess = scipy.stats.rankdata(scores)[is_true].sum() - n_true * (n_true + 1) / 2
    return float(excess / (n_true * (len(is_true) - n_true)))


def _mean_over_classes(function: Callable[[np.ndarray, np.ndarray], float], scores: Scores, is_true: Flags) -> float:
    """Return the mean of a function of flags and scores over the classes that some samples have and some lack."""
    varies = is_true.any(axis=0) & ~is_true.all(axis=0)
    if not varies.any():
        raise InputError("each class is on all test images or on none, so the measure is undefined: add test images")
    return float(np.mean([function(is_true[:, c], np.nan_to_num(scores[:, c])) for c in np.flatnonzero(varies)]))
