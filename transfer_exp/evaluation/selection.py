"""What is won or lost by fine-tuning only the models a score puts on top; equal scores are drawn by lot."""

from __future__ import annotations

from math import comb

import numpy as np
from jaxtyping import Float

from transfer_exp.errors import InputError
from transfer_exp.evaluation.correlation import check_pair


def rel_at_k(scores: Float[np.ndarray, " models"], accuracies: Float[np.ndarray, " models"], k: int) -> float:
    """Best accuracy among the ``k`` models with the largest scores, over the best of all; in [0, 1].

    Where equal scores straddle place k, the expected value over a fair draw among them, so the order of the models
    does not matter. 1 when the best accuracy is 0 (nothing can be lost) and when k is at least M.

    Raises
    ------
    InputError
        As `check_pair`, and when ``k`` is below 1.
    """
    best = float(accuracies.max(initial=-np.inf))
    found = _expected_best(scores, accuracies, k)
    return found / best if best != 0 else 1.0


def recall_at_k(scores: Float[np.ndarray, " models"], accuracies: Float[np.ndarray, " models"], k: int) -> float:
    """Whether a model of the best accuracy is among the top ``k``; with equal scores, how likely it is. In [0, 1].

    Raises
    ------
    InputError
        As `rel_at_k`.
    """
    check_pair(scores, accuracies)
    return _expected_best(scores, (accuracies == accuracies.max()).astype(np.float64), k)


def regret(scores: Float[np.ndarray, " models"], accuracies: Float[np.ndarray, " models"]) -> float:
    """Best accuracy minus that of the chosen model (largest score; the mean over equals), in accuracy's unit, >= 0.

    Raises
    ------
    InputError
        As `check_pair`.
    """
    chosen = _expected_best(scores, accuracies, 1)
    return max(0.0, float(accuracies.max()) - chosen)


def _expected_best(scores: np.ndarray, values: np.ndarray, k: int) -> float:
    """Return the expected largest value among the top ``k``, the places left at the threshold being drawn by lot.

    Of t tied candidates in ascending order, the i-th (from 1) is the largest of r drawn ones with probability
    C(i-1, r-1) / C(t, r).
    """
    check_pair(scores, values)
    if k < 1:
        raise InputError(f"k={k} chooses no model: take at least 1")
    threshold = np.sort(scores)[::-1][min(k, len(scores)) - 1]
    sure = values[scores > threshold]
    tied = np.sort(values[scores == threshold])
    drawn = min(k, len(scores)) - len(sure)
    largest = np.maximum(tied, sure.max(initial=-np.inf))
    chances = [comb(i, drawn - 1) / comb(len(tied), drawn) for i in range(len(tied))]
    return float(np.dot(chances, largest))
