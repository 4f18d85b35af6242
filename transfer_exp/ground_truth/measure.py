"""Measures of a classifier on a test split, as the literature of each dataset defines them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from transfer_exp.errors import InputError

Scores = Float[np.ndarray, "samples classes"]
Labels = Int[np.ndarray, " samples"]


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


def compute_measure(
    name: str, scores: Scores, labels: Labels, targets: Int[np.ndarray, "samples classes"] | None
) -> float:
    """Compute the measure that a `TargetDataset` names.

    ``map_11point`` uses ``targets`` (N, C) for images with several labels; everything else uses ``labels``.
    """
    if name == "map_11point":
        one_hot = np.eye(scores.shape[1], dtype=np.int64)[labels]
        return map_11point(scores, one_hot if targets is None else targets)
    return {"accuracy": accuracy, "mean_per_class_accuracy": mean_per_class_accuracy}[name](scores, labels)
