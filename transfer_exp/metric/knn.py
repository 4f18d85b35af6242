"""k-NN: how often a sample's nearest neighbours, itself left out, tell its class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int, Real

from transfer_exp.errors import InputError
from transfer_exp.statistics.discriminant import centred_features
from transfer_exp.statistics.feature_set import encode_labels
from transfer_exp.statistics.rounding import RESOLUTION

BLOCK = 1024
"""Samples whose distances are held at once: memory grows with N, not with N^2."""


def knn(features: Real[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"], k: int = 1) -> float:
    """Return the leave-one-out accuracy of a vote of the k nearest samples in Euclidean distance.

    Everyone as near as the k-th neighbour votes, and a vote that t classes share counts 1/t where the true class is
    among them: neither the order of samples nor the names of classes decides.

    Parameters
    ----------
    features
        (N, D), N above ``k``.
    labels
        (N,), integers, at least two classes. The one sample of a class has no neighbour of its own and counts as wrong.
    k
        Neighbours that vote, at least 1.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    InputError
        As `check_features`; when ``k`` is below 1 or not below N.

    References
    ----------
    Cover and Hart, "Nearest Neighbor Pattern Classification", 1967; as a transferability metric Bolya et al., "PARC",
    NeurIPS 2021, who print it in percent.
    """
    centred = centred_features(features, labels)
    codes, counts = encode_labels(labels)
    if not 1 <= k < len(codes):
        raise InputError(f"k={k} of knn must lie between 1 and the {len(codes) - 1} other samples")
    credit = 0.0
    for start in range(0, len(codes), BLOCK):
        ballots = votes(centred, codes, len(counts), k, start)
        best = ballots == ballots.max(axis=1, keepdims=True)
        own = np.arange(len(ballots)), codes[start : start + BLOCK]
        credit += float((best[own] / best.sum(axis=1)).sum())
    return min(credit / len(codes), 1.0)


def votes(
    centred: Float[np.ndarray, "samples dim"], codes: Int[np.ndarray, " samples"], classes: int, k: int, start: int
) -> Int[np.ndarray, "block {classes}"]:
    """Return how many nearest neighbours each class has, for the samples of one block, (<= 1024, C)."""
    block = centred[start : start + BLOCK]
    size = np.arange(len(block))
    squares = np.einsum("nd,nd->n", centred, centred)
    own = squares[start : start + BLOCK, None]
    distances = own + squares - 2 * block @ centred.T
    distances[size, start + size] = np.inf
    nearest = np.partition(distances, k - 1, axis=1)[:, k - 1 : k]
    # Equal distances come out equal only up to the rounding of the squares they are differences of.
    rows, neighbours = np.nonzero(distances <= nearest + RESOLUTION * (own + np.abs(nearest)))
    return np.bincount(rows * classes + codes[neighbours], minlength=len(block) * classes).reshape(-1, classes)


@dataclass(frozen=True)
class KNN:
    """`knn` as a metric.

    Attributes
    ----------
    k
        Neighbours that vote, at least 1 and below N.
    """

    name: ClassVar[str] = "knn"
    source: ClassVar[str] = "Cover and Hart, IEEE Transactions on Information Theory 1967"
    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = 1.0
    inputs: ClassVar[tuple[str, ...]] = ("features", "labels")
    invariances: ClassVar[tuple[str, ...]] = ("rotation", "translation", "scaling")

    k: int = 1

    def __call__(self, features: np.ndarray, labels: np.ndarray) -> float:
        """Return `knn` of features (N, D) and labels (N,)."""
        return knn(features, labels, self.k)
