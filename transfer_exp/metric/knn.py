"""k-NN: leave-one-out accuracy of the nearest neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from transfer_exp.errors import InputError
from transfer_exp.metric import targets as targets_metrics
from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.statistics.discriminant import centred_features
from transfer_exp.statistics.feature_set import Features, Labels, encode_labels
from transfer_exp.statistics.rounding import RESOLUTION

BLOCK = 1024
"""Rows of distances in memory at a time, so that memory grows with N instead of N^2."""
_PAIR_COST = 20
"""Products of this many pairs, computed together as a product of matrices, take as long as that of one pair."""


def knn(features: Features, labels: Labels, k: int = 1) -> float:
    """Compute the leave-one-out accuracy of a vote of the k nearest samples in Euclidean distance.

    All samples as near as the k-th neighbour vote. A tie of t classes counts 1/t if the true class is among them, so
    neither the order of the samples nor the names of the classes matter.

    Args:
        features: (N, D), N above ``k``.
        labels: (N,), integers, at least two classes. The only sample of a class always counts as wrong.
        k: Number of neighbours that vote, at least 1.

    Returns:
        Accuracy in [0, 1].

    Raises:
        InputError: If ``k`` is below 1 or not below N.

    References:
        Cover and Hart, "Nearest Neighbor Pattern Classification", 1967; as a transferability metric Bolya et al.,
        "PARC", NeurIPS 2021, who report it in percent.
    """
    centred = centred_features(features, labels)
    codes, counts = encode_labels(labels)
    if not 1 <= k < len(codes):
        raise InputError(f"k={k} of knn must lie between 1 and the {len(codes) - 1} other samples")
    scaled = centred / (np.abs(centred).max() or 1.0)
    lengths = np.sqrt(np.einsum("nd,nd->n", scaled, scaled))
    pairs = _Pairs(scaled, scaled.astype(np.float32), lengths)
    correct = 0.0
    for start in range(0, len(codes), BLOCK):
        samples, neighbours = pairs.nearest(start, k)
        size = min(BLOCK, len(codes) - start)
        votes = np.bincount(samples * len(counts) + codes[neighbours], minlength=size * len(counts))
        votes = votes.reshape(size, len(counts))
        is_best = votes == votes.max(axis=1, keepdims=True)
        true_class = np.arange(size), codes[start : start + BLOCK]
        correct += float((is_best[true_class] / is_best.sum(axis=1)).sum())
    return min(correct / len(codes), 1.0)


class _Pairs(NamedTuple):
    """Distances between all samples, in single precision where that is enough.

    Attributes:
        features, single: (N, D), with a largest value of 1, in double and in single precision.
        lengths: (N,), lengths of the rows.
    """

    features: Float[np.ndarray, "samples dim"]
    single: Float[np.ndarray, "samples dim"]
    lengths: Float[np.ndarray, " samples"]

    def nearest(self, start: int, k: int) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
        """Return the pairs of a sample of one block, counted from ``start``, and another as near as its k-th neighbour.

        Where single precision leaves open which they are, the distances in question are computed in double precision.
        """
        block = slice(start, start + BLOCK)
        distances = self.single[block] @ self.single.T
        distances *= -2.0
        distances += np.asarray(
            self.lengths**2, dtype=np.float32
        )  # the square of the sample itself is the same for all its distances
        rows = np.arange(len(distances))
        distances[rows, start + rows] = np.inf
        nearest = distances.min(axis=1) if k == 1 else np.partition(distances, k - 1, axis=1)[:, k - 1]
        is_candidate = distances <= np.asarray(nearest + 2 * self._errors(block), dtype=np.float32)[:, None]
        samples, neighbours = np.divmod(np.flatnonzero(is_candidate), len(self.lengths))
        is_open = (np.bincount(samples, minlength=len(rows)) > k)[samples]
        if not is_open.any():
            return samples, neighbours
        is_open[is_open] = ~self._are_nearest(block, samples[is_open], neighbours[is_open], k)
        return samples[~is_open], neighbours[~is_open]

    def _errors(self, block: slice) -> Float[np.ndarray, " block"]:
        """Return bounds of the rounding errors of distances: D + 2 of the product of two lengths, one of a square."""
        epsilon, longest = float(np.finfo(np.float32).eps), self.lengths.max()
        return 2 * epsilon * longest * ((self.features.shape[1] + 2) * self.lengths[block] + longest)

    def _are_nearest(
        self, block: slice, samples: Int[np.ndarray, " pairs"], neighbours: Int[np.ndarray, " pairs"], k: int
    ) -> Bool[np.ndarray, " pairs"]:
        """Return which pairs, ordered by sample of the block, are as near as the k-th, in double precision."""
        own, squares = self.features[block], self.lengths**2
        if len(samples) > len(own) * len(squares) / _PAIR_COST:
            products = (own @ self.features.T)[samples, neighbours]
        else:
            products = np.empty(len(samples))
            for part in (slice(first, first + BLOCK) for first in range(0, len(samples), BLOCK)):
                products[part] = np.einsum("pd,pd->p", own[samples[part]], self.features[neighbours[part]])
        own_squares = squares[block][samples]
        distances = own_squares + squares[neighbours] - 2 * products
        _, firsts, positions = np.unique(samples, return_index=True, return_inverse=True)
        nearest = distances[np.lexsort((distances, samples))][firsts + k - 1][positions]
        # Equal distances agree only up to the rounding of the squares whose differences they are.
        return distances <= nearest + RESOLUTION * (own_squares + np.abs(nearest))


@dataclass(frozen=True)
class KNN(FormulaMetric):
    """`knn` as a metric. The fields are its options."""

    name = "knn"
    source = "Cover and Hart, IEEE Transactions on Information Theory 1967"
    formula = staticmethod(knn)
    multi_label_formula = staticmethod(targets_metrics.knn_labels)
    regression_formula = staticmethod(targets_metrics.knn_numbers)
    lower = 0.0
    upper = 1.0
    invariances = ("rotation", "translation", "scaling")

    k: int = 1
