"""Scores for datasets whose images have several labels, or numbers as labels.

Each function extends a metric for one class per image to targets Y (N, T): zeros and ones for T labels, or numbers.
With one-hot targets, `cka`, `lfc` and `h_score` equal the metrics for one class.
"""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float

from transfer_exp.errors import InputError
from transfer_exp.metric.spectrum import smaller_gram, spectrum_and_coordinates
from transfer_exp.statistics.feature_set import Features, Targets, check_targets
from transfer_exp.statistics.rounding import deviations, scale_by_power_of_two

_STEPS = 200
"""Largest number of solver steps of a logistic regression, as in the metric for one class."""


def cka(features: Features, targets: Targets) -> float:
    """Compute |X'Y|^2 / (|X'X| |Y'Y|) with centred features X and centred targets Y and Frobenius norms.

    Args:
        features: (N, D).
        targets: (N, T), zeros and ones, or numbers.

    Returns:
        Value in [0, 1].

    Raises:
        InputError: If every feature or every target is constant.
    """
    x, y = _centred(features, targets, "cka")
    norms = np.linalg.norm(smaller_gram(x)) * np.linalg.norm(smaller_gram(y))
    return min(float(np.linalg.norm(x.T @ y) ** 2 / norms), 1.0)


def lfc(features: Features, targets: Targets) -> float:
    """Compute Pearson's correlation, over all N^2 entries, of XX' with the share of labels that two images agree on.

    With mean m and x_i = m + z_i, an entry of XX' minus their mean is a_i + a_j + z_i'z_j, where a_i = m'z_i, and the
    same holds for labels coded as -1 and 1. The sum of their products is 2N a'b + |Z'F|^2, where nothing cancels.

    Args:
        features: (N, D), not centred.
        targets: (N, C), zeros and ones.

    Returns:
        Correlation in [-1, 1].

    Raises:
        InputError: If every feature is constant, or all images have the same labels.
    """
    z, f = _centred(features, 2 * targets - 1, "lfc")
    a, b = z @ np.asarray(features, dtype=np.float64).mean(axis=0), f @ (2 * targets - 1).mean(axis=0)
    samples = len(z)
    cross = 2 * samples * (a @ b) + np.linalg.norm(z.T @ f) ** 2
    norms = [
        np.hypot(np.sqrt(2 * samples) * np.linalg.norm(along), np.linalg.norm(smaller_gram(rows)))
        for along, rows in ((a, z), (b, f))
    ]
    return float(np.clip(cross / norms[0] / norms[1], -1.0, 1.0))


def h_score(features: Features, targets: Targets) -> float:
    """Compute the sum of the squared canonical correlations of features and targets.

    This is tr(cov(f)^+ cov(E[f | y])) with the best linear prediction of the features from the targets as E[f | y]. For
    one number it is the R2 of least squares, which reaches 1 for any numbers if D >= N - 1.

    Args:
        features: (N, D).
        targets: (N, T), zeros and ones, or numbers.

    Returns:
        Value in [0, min(D, T, N - 1)].

    Raises:
        InputError: If every feature or every target is constant.
    """
    x, y = _centred(features, targets, "h_score")
    left, values, _ = np.linalg.svd(y, full_matrices=False)
    directions = left[:, values > max(y.shape) * np.finfo(np.float64).eps * values[0]]
    return float((spectrum_and_coordinates(x, directions)[1] ** 2).sum())


def leave_one_out_r2(
    targets: Float[np.ndarray, "samples targets"], predicted: Float[np.ndarray, "samples targets"]
) -> float:
    """Return 1 - sum (y - prediction)^2 / sum (y - mean of the others)^2, averaged over the columns."""
    samples = len(targets)
    centred = deviations(targets, targets.mean(axis=0)) * (samples / (samples - 1))
    total = (centred**2).sum(axis=0)
    error = ((targets - predicted) ** 2).sum(axis=0)
    return float(np.where(total > 0, 1 - error / np.where(total > 0, total, 1.0), 0.0).mean())


def linear_classifier(
    features: Features, targets: Targets, folds: int = 5, penalty: float = 1.0, seed: int = 0
) -> float:
    """Compute the mean average precision of cross-validated logistic regressions, one for each label.

    Labels that fewer than two images have, or that fewer than two lack, are left out.

    Args:
        features: (N, D), N at least ``folds``.
        targets: (N, C), zeros and ones.
        folds, penalty, seed: Options of the metric `linear_classifier` for one class.

    Returns:
        Mean over the labels, in [0, 1].

    Raises:
        InputError: If ``folds`` or ``penalty`` is out of range, or no label is left.
    """
    # Imported here because scikit-learn takes a second to load and most runs do not need it.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import average_precision_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = check_targets(features, targets)
    if not 2 <= folds <= len(x):
        raise InputError(f"folds={folds} of linear_classifier must lie between 2 and the {len(x)} samples")
    if not 0 < penalty < np.inf:
        raise InputError(f"penalty={penalty} of linear_classifier must be positive")
    order = np.lexsort((*y.T[::-1], *x.T[::-1]))  # the order of the samples does not matter
    x, y = x[order], y[order]
    precisions = []
    for label in y.T:
        present = label > 0
        smaller = min(present.sum(), (~present).sum())
        if smaller < 2:
            continue
        split = StratifiedKFold(int(min(folds, smaller)), shuffle=True, random_state=seed)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=1 / penalty, max_iter=_STEPS))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # `_STEPS` bounds the work on purpose
            logits = cross_val_predict(model, x, present, cv=split, method="decision_function")
        precisions.append(average_precision_score(present, logits))
    if not precisions:
        raise InputError("no label is on two images and missing on two others, so linear_classifier has nothing to fit")
    return float(np.mean(precisions))


def _centred(features: Features, targets: Targets, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Return features and targets minus their means; InputError if either are all constant."""
    x, y = check_targets(features, targets)
    x, y = (deviations(values, values.mean(axis=0)) for values in (x, scale_by_power_of_two(y)))
    if not x.any():
        raise InputError(
            f"every feature is constant, so {metric} is undefined: check the layer that the features come from"
        )
    if not y.any():
        raise InputError(f"all samples have the same target, so {metric} is undefined: a ranking needs two values")
    return x, y
