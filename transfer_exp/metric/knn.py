"""k-NN: leave-one-out accuracy of the nearest neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from transfer_exp.errors import InputError, check_options, check_types
from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.metric.targets import leave_one_out_r2
from transfer_exp.statistics.class_statistics import class_sums
from transfer_exp.statistics.discriminant import centred_features
from transfer_exp.statistics.feature_set import Features, Labels, Targets, check_targets, encode_labels
from transfer_exp.statistics.rounding import RESOLUTION, deviations, scale_by_power_of_two

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
    correct = 0.0
    for block, samples, neighbours in nearest_pairs(centred, k):
        true_classes = codes[block]
        votes = np.bincount(samples * len(counts) + codes[neighbours], minlength=len(true_classes) * len(counts))
        votes = votes.reshape(-1, len(counts))
        is_best = votes == votes.max(axis=1, keepdims=True)
        is_correct = is_best[np.arange(len(votes)), true_classes]
        correct += float((is_correct / is_best.sum(axis=1)).sum())
    return min(correct / len(codes), 1.0)


def knn_labels(features: Features, targets: Targets, k: int = 1) -> float:
    """Compute the mean agreement of each image's labels with those of its k nearest images.

    With the share p_c of the neighbours that have label c, the agreement is sum_c min(y_c, p_c) / sum_c max(y_c, p_c),
    the Jaccard index of the two sets for one neighbour. All images as near as the k-th are neighbours. With one-hot
    targets the result is that of `knn` where no distances tie.

    Args:
        features: (N, D), N above ``k``.
        targets: (N, C), zeros and ones, at least a 1 in every row.
        k: Number of neighbours, at least 1.

    Returns:
        Value in [0, 1].

    Raises:
        InputError: If ``k`` is below 1 or not below N.
    """
    y = np.asarray(targets, dtype=np.float64)
    p = _neighbour_means(features, targets, k)
    return float((np.minimum(y, p).sum(axis=1) / np.maximum(y, p).sum(axis=1)).mean())


def knn_numbers(features: Features, targets: Targets, k: int = 1) -> float:
    """Compute the leave-one-out R2 of the mean of the k nearest images, averaged over the columns of the targets.

    Arguments and errors are those of `knn_labels`, with numbers as targets. A column that is constant counts as zero.

    Returns:
        Value of at most 1; 0 for predictions as good as the mean of the other images.
    """
    scaled = scale_by_power_of_two(np.asarray(targets, dtype=np.float64))
    return leave_one_out_r2(scaled, _neighbour_means(features, scaled, k))


def _neighbour_means(features: Features, targets: Targets, k: int) -> Float[np.ndarray, "samples targets"]:
    """Return the mean target of the samples that are as near as the k-th neighbour of each."""
    x, y = check_targets(features, targets)
    pairs = nearest_pairs(deviations(x, x.mean(axis=0)), k)
    counts_and_sums = [
        (np.bincount(samples)[:, None], class_sums(y[neighbours], samples, int(samples.max()) + 1))
        for _, samples, neighbours in pairs
    ]
    return np.concatenate([sums / counts for counts, sums in counts_and_sums])


def nearest_pairs(
    centred: Float[np.ndarray, "samples dim"], k: int
) -> Iterator[tuple[slice, Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]]:
    """Yield slices of at most 1024 samples with `_Pairs.nearest`: samples, counted from the slice, and neighbours.

    Raises:
        InputError: If ``k`` is below 1 or not below N.
    """
    if not 1 <= k < len(centred):
        raise InputError(f"k={k} of knn must lie between 1 and the {len(centred) - 1} other samples")
    scaled = centred / (np.abs(centred).max() or 1.0)
    lengths = np.sqrt(np.einsum("nd,nd->n", scaled, scaled))
    pairs = _Pairs(scaled, scaled.astype(np.float32), lengths)
    for start in range(0, len(centred), BLOCK):
        yield slice(start, start + BLOCK), *pairs.nearest(start, k)


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
        squares = np.asarray(self.lengths**2, dtype=np.float32)
        distances += squares  # the square of the sample itself is the same for all its distances
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
        in_block, squares = self.features[block], self.lengths**2
        if len(samples) > len(in_block) * len(squares) / _PAIR_COST:
            products = (in_block @ self.features.T)[samples, neighbours]
        else:
            products = np.empty(len(samples))
            for part in (slice(first, first + BLOCK) for first in range(0, len(samples), BLOCK)):
                products[part] = np.einsum("pd,pd->p", in_block[samples[part]], self.features[neighbours[part]])
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
    multi_label_formula = staticmethod(knn_labels)
    regression_formula = staticmethod(knn_numbers)
    lower = 0.0
    upper = 1.0
    invariances = ("rotation", "translation", "scaling")

    k: int = 1

    def __post_init__(self) -> None:
        check_types("metric", self)
        check_options("metric", self, {"k": (self.k >= 1, "at least 1")})
