"""Features of one model on one probe set, and the checks every score begins with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from transfer_exp.types.errors import InputError


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Features and labels of N samples, and source probabilities where the model has a head.

    Attributes
    ----------
    features
        (N, D), the input of the classifier head.
    labels
        (N,), target classes as integers.
    source_probabilities
        (N, S), rows sum to one; None for a model without a head.
    """

    features: Float[np.ndarray, "samples dim"]
    labels: Int[np.ndarray, " samples"]
    source_probabilities: Float[np.ndarray, "samples source_classes"] | None = None


def check_features(features: np.ndarray, labels: np.ndarray) -> Float[np.ndarray, "samples dim"]:
    """Return ``features`` in float64, or refuse what no metric can score.

    Parameters
    ----------
    features
        (N, D), any real type. Never modified; the result may share its memory.
    labels
        (N,), integers.

    Raises
    ------
    InputError
        When the shapes do not fit, a value is not finite, or fewer than two classes are present.
    """
    features, labels = np.asarray(features), np.asarray(labels)
    if features.ndim != 2 or labels.ndim != 1 or len(features) != len(labels):
        raise InputError(f"need features (N, D) and labels (N,): got {features.shape} and {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise InputError(f"labels must be integers, not {labels.dtype}: encode class names as 0, 1, ...")
    if features.dtype.kind not in "fiu" or features.size == 0:
        raise InputError(f"features must be a non-empty array of real numbers, not {features.dtype} {features.shape}")
    if not np.isfinite(features).all():
        bad = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
        raise InputError(f"features hold NaN or infinity, first in row {bad}: check the model's weights and the image")
    if len(labels) == 0 or (labels == labels[0]).all():
        raise InputError("all samples belong to one class: a ranking of models needs at least two")
    return features.astype(np.float64, copy=False)


def encode_labels(labels: Int[np.ndarray, " samples"]) -> tuple[Int[np.ndarray, " samples"], Int[np.ndarray, " classes"]]:
    """Rename the classes that occur to 0 .. C-1 and count them.

    Returns
    -------
    codes
        (N,), in [0, C).
    counts
        (C,), samples per class, all at least 1.
    """
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return codes, counts
