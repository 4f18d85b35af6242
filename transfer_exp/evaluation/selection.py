"""Selection measures: the gain and loss of fine-tuning only the k models with the largest scores.

If models with equal scores compete for rank k, each measure is its expected value over a random order of these models.
"""

from __future__ import annotations

from math import comb

import numpy as np

from transfer_exp.errors import InputError
from transfer_exp.evaluation.correlation import PerModel, check_pair
from transfer_exp.statistics.rounding import merge_ties


def rel_at_k(scores: PerModel, accuracies: PerModel, k: int) -> float:
    """Compute the best accuracy among the ``k`` models with the largest scores over the best of all, in [0, 1].

    Values below 0, which R2 can have, count as 0. 1 when the best accuracy is 0 (nothing can be lost) and when k is at
    least M. Raises `InputError` when `check_pair` does, or ``k`` is below 1.
    """
    accuracies = np.maximum(accuracies, 0.0)
    best = float(accuracies.max(initial=-np.inf))
    best_of_top = _expected_best(scores, accuracies, k)
    return best_of_top / best if best != 0 else 1.0


def error_ratio_at_k(scores: PerModel, errors: PerModel, k: int) -> float:
    """Compute the smallest error of all models over that of the ``k`` models with the largest scores, in [0, 1].

    It takes the place of `rel_at_k` where smaller values are better. 1 when nothing can be lost. Raises `InputError`
    when `check_pair` does, or ``k`` is below 1.
    """
    of_top = -_expected_best(scores, -errors, k)
    return float(errors.min()) / of_top if of_top != 0 else 1.0


def recall_at_k(scores: PerModel, accuracies: PerModel, k: int) -> float:
    """Compute the probability that a model of the best accuracy is among the top ``k``; 0 or 1 without ties.

    Raises `InputError` when `check_pair` does, or ``k`` is below 1.
    """
    check_pair(scores, accuracies)
    return _expected_best(scores, (accuracies == accuracies.max()).astype(np.float64), k)


def regret(scores: PerModel, accuracies: PerModel) -> float:
    """Compute the best accuracy minus that of the model with the largest score, in the unit of accuracy, >= 0.

    Raises `InputError` when `check_pair` does.
    """
    chosen = _expected_best(scores, accuracies, 1)
    return max(0.0, float(accuracies.max()) - chosen)


def _expected_best(scores: np.ndarray, values: np.ndarray, k: int) -> float:
    """Return the expected largest value among the top ``k`` when tied candidates fill the last ranks at random.

    Of t tied candidates in ascending order, the i-th (from 1) is the largest of r drawn ones with probability
    C(i-1, r-1) / C(t, r).
    """
    check_pair(scores, values)
    if k < 1:
        raise InputError(f"k={k} chooses no model: take at least 1")
    scores = merge_ties(scores)
    threshold = np.sort(scores)[::-1][min(k, len(scores)) - 1]
    above = values[scores > threshold]
    tied = np.sort(values[scores == threshold])
    n_drawn = min(k, len(scores)) - len(above)
    largest = np.maximum(tied, above.max(initial=-np.inf))
    probabilities = [comb(i, n_drawn - 1) / comb(len(tied), n_drawn) for i in range(len(tied))]
    return float(np.dot(probabilities, largest))
