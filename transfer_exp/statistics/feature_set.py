"""Features of one model on one scoring set, and the input checks of every metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float, Int, Real

from transfer_exp.errors import InputError

Features = Real[np.ndarray, "samples dim"]
"""Type of features, (N, D), as accepted: any real numbers."""
Labels = Int[np.ndarray, " samples"]
"""Type of one class per sample, (N,)."""
TargetKind: TypeAlias = Literal["single_label", "multi_label", "regression", "unlabelled"]
"""What a dataset asks a model to predict: one class, any number of labels, a number, or nothing that is known."""
Targets = Real[np.ndarray, "samples targets"]
"""Type of what is predicted unless it is one class: zeros and ones for C labels, (N, C), or numbers, (N, 1)."""


def describe_targets(kind: str, n_classes: int, reason: str = "") -> str:
    """Return what a dataset of a `TargetKind` asks a model to predict, in words such as ``5 classes``, and why."""
    texts = {
        "unlabelled": "no labels",
        "regression": f"numbers in {n_classes} groups",
        "multi_label": f"{n_classes} labels, several for an image",
    }
    return texts.get(kind, f"{n_classes} classes") + (f", because {reason}" if reason else "")


@dataclass(frozen=True, eq=False)
class FeaturesInMemory:
    """Features of M models on the same N samples that were passed from Python, unchecked.

    Attributes:
        features: (N, D) by model name.
        labels: One class per sample, as integers, strings or truth values, (N,); several labels (N, C); or numbers.
        key: ``labels``, or ``target`` if the labels are numbers to predict.
    """

    features: Mapping[str, np.ndarray]
    labels: np.ndarray
    key: Literal["labels", "target"] = "labels"


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Features and labels of N samples, and source probabilities if the model has a head.

    Attributes:
        features: (N, D), the input of the classifier head.
        labels: (N,), target classes as integers. If there are targets, the groups that samples are drawn from.
        source_probabilities: (N, S), rows sum to one; None for a model without a head.
        targets: Several labels of each sample, or a number, see `Targets`; None if each has one class.
    """

    features: Float[np.ndarray, "samples dim"]
    labels: Labels
    source_probabilities: Float[np.ndarray, "samples source_classes"] | None = None
    targets: Targets | None = None

    def subset(self, samples: np.ndarray) -> FeatureSet:
        """Return some of the samples.

        Args:
            samples: Positions in the order to return, or a mask (N,).
        """
        probabilities = None if self.source_probabilities is None else self.source_probabilities[samples]
        targets = None if self.targets is None else self.targets[samples]
        return FeatureSet(self.features[samples], self.labels[samples], probabilities, targets)


def concatenate(sets: Sequence[FeatureSet]) -> FeatureSet:
    """Return the samples of all sets in one; it has source probabilities and targets if all sets have them."""
    if len(sets) == 1:
        return sets[0]
    probabilities = [part.source_probabilities for part in sets if part.source_probabilities is not None]
    targets = [part.targets for part in sets if part.targets is not None]
    return FeatureSet(
        np.concatenate([part.features for part in sets]),
        np.concatenate([part.labels for part in sets]),
        np.concatenate(probabilities) if len(probabilities) == len(sets) else None,
        np.concatenate(targets) if len(targets) == len(sets) else None,
    )


LARGEST, SMALLEST = 1e50, 1e-50
"""Limits of magnitude within which fourth powers, which metrics compute, neither overflow nor vanish in float64."""


def check_features(features: np.ndarray, labels: np.ndarray) -> Float[np.ndarray, "samples dim"]:
    """Return features (N, D) of any real type in float64 after checking them and labels (N,).

    The result may share the memory of ``features``.

    Raises:
        InputError: If the shapes do not fit, the array is empty, a value is not a finite real number, values are beyond
            1e50 or all below 1e-50 (but not all zero), or fewer than two classes are present.
    """
    check_labels("features", np.asarray(features), np.asarray(labels))
    check_feature_values(features)
    return np.asarray(features).astype(np.float64, copy=False)


def check_feature_values(features: np.ndarray) -> None:
    """Check features (N, D) without their labels; raises InputError like `check_features`."""
    features = np.asarray(features)
    if features.dtype.kind not in "fiu" or features.size == 0:
        raise InputError(f"features must be a non-empty array of real numbers, not {features.dtype} {features.shape}")
    # Minimum and maximum are NaN if any value is, and need no temporary array of the size of the features.
    largest = max(abs(float(features.min())), abs(float(features.max())))
    if not np.isfinite(largest):
        row = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
        raise InputError(f"features hold NaN or infinity, first in row {row}: check the model's weights and the image")
    if features.dtype.kind in "iu" and largest > 2**53:
        raise InputError(f"features hold whole numbers up to {largest:.0e}, which look like ids: leave those out")
    if largest > LARGEST or 0 < largest < SMALLEST:
        raise InputError(f"features reach a magnitude of {largest:.0e}: check the model's weights, or rescale them")


def check_unlabelled(features: np.ndarray) -> Float[np.ndarray, "samples dim"]:
    """Return features (N, D) in float64 after `check_feature_values`; raises InputError if they are not a matrix."""
    if np.ndim(features) != 2:
        raise InputError(f"need features (N, D): got {np.shape(features)}")
    check_feature_values(features)
    return np.asarray(features).astype(np.float64, copy=False)


def check_targets(features: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return features (N, D) and targets (N, T) in float64 after checking them.

    Raises:
        InputError: If the shapes do not fit, there are no two samples, or a value is not a finite real number.
    """
    features, targets = check_unlabelled(features), np.asarray(targets)
    if targets.ndim != 2 or len(targets) != len(features) or targets.size == 0 or targets.dtype.kind not in "fiub":
        raise InputError(
            f"targets must be real numbers (N, T), N = {len(features)}: got {targets.dtype} {targets.shape}"
        )
    if len(features) < 2:
        raise InputError("one sample only: a ranking of models needs at least two")
    if not np.isfinite(targets := targets.astype(np.float64)).all():
        raise InputError("targets hold NaN or infinity: leave those samples out")
    return features, targets


def check_labels(kind: str, values: np.ndarray, labels: np.ndarray) -> None:
    """Check labels (N,) of an array (N, D), which ``kind`` names in messages.

    Raises:
        InputError: If the lengths differ, the labels are not integers, or they have only one class.
    """
    if values.ndim != 2:
        need = f"need one row per image: pool or flatten them to ({len(labels)}, D)"
        raise InputError(f"{kind} have shape {values.shape}, {need}")
    if labels.ndim != 1 or len(values) != len(labels):
        raise InputError(f"need {kind} (N, D) and labels (N,): got {values.shape} and {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise InputError(f"labels must be integers, not {labels.dtype}: encode class names as 0, 1, ...")
    if len(labels) == 0 or (labels == labels[0]).all():
        raise InputError("all samples belong to one class: a ranking of models needs at least two")


def check_source_probabilities(
    source_probabilities: np.ndarray, labels: np.ndarray
) -> Float[np.ndarray, "samples source_classes"]:
    """Return source probabilities (N, S) in float64 with rows that sum exactly to one.

    Raises:
        InputError: If the shapes do not fit, a value is negative or not finite, a row's sum is off by more than 0.01
            (logits were passed), or fewer than two target classes are present.
    """
    check_labels("source probabilities", np.asarray(source_probabilities), np.asarray(labels))
    return check_probabilities(source_probabilities)


def check_probabilities(source_probabilities: np.ndarray) -> Float[np.ndarray, "samples source_classes"]:
    """Return `check_source_probabilities` without labels; raises InputError like it."""
    probabilities = np.asarray(source_probabilities)
    if probabilities.dtype.kind != "f" or probabilities.size == 0 or probabilities.ndim != 2:
        raise InputError(
            f"source probabilities must be a non-empty array (N, S) of floats, not {probabilities.dtype} "
            f"{probabilities.shape}"
        )
    probabilities = probabilities.astype(np.float64)
    sums = probabilities.sum(axis=1, keepdims=True)
    # Negated comparisons refuse NaN too, because NaN fails every comparison.
    if not ((probabilities >= 0).all() and (np.abs(sums - 1) <= 0.01).all()):
        raise InputError("source probabilities must be non-negative with rows that sum to 1: pass the head's softmax")
    return probabilities / sums


def encode_labels(labels: Labels) -> tuple[Int[np.ndarray, " samples"], Int[np.ndarray, " classes"]]:
    """Return labels as codes 0 .. C-1 of the classes that occur, (N,), and the samples per class, (C,)."""
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return codes, counts


def sorted_rows(features: Features) -> tuple[Int[np.ndarray, " samples"], Int[np.ndarray, " samples"]]:
    """Sort rows by their first dimension, ties by the second and so on; equal rows keep their order.

    Returns:
        order: Indices that sort the rows, (N,).
        position: Number of different rows before each sorted row, (N,); equal rows share it.
    """
    rank = np.zeros(len(features), dtype=np.int64)
    order, position = np.arange(len(features)), rank
    # A few dimensions distinguish nearly all rows, so the others are seldom compared.
    for start in range(0, features.shape[1], 16):
        keys = features[:, start : start + 16]
        order = np.lexsort((*keys.T[::-1], rank))
        keys, ranks = keys[order], rank[order]
        is_new = np.any(keys[1:] != keys[:-1], axis=1) | (ranks[1:] != ranks[:-1])
        position = np.concatenate([[0], is_new.cumsum()])
        if is_new.all():
            break
        rank = np.empty_like(rank)
        rank[order] = position
    return order, position
