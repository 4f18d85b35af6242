"""Counts, means and scatter of labelled features, which most metrics and perturbations need.

Features are sorted by class and worked on class by class, because one class usually fits into the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix

from transfer_exp.statistics.feature_set import Labels, check_feature_values, check_labels, encode_labels
from transfer_exp.statistics.rounding import RESOLUTION, deviations

_BATCH = 4096
"""Most samples in one batch of whole classes; a larger class is one batch."""


@dataclass(frozen=True, eq=False)
class ClassBlocks:
    """Labelled features of any real type and their order by class; only `deviations` of all classes copies all of them.

    Attributes:
        features: Features that passed `check_features`, (N, D).
        order: Indices that sort the samples by class, (N,).
        counts: Samples per class, (C,); 0 for a class that does not occur.
        centre: Vector such as the mean, (D,), subtracted before anything is summed, so that features far from 0 keep
            their precision.
    """

    features: np.ndarray
    order: Int[np.ndarray, " samples"]
    counts: Int[np.ndarray, " classes"]
    centre: Float[np.ndarray, " dim"]

    @property
    def codes(self) -> Int[np.ndarray, " samples"]:
        """Class of each row of `deviations`, (N,): 0, 0, ... C - 1; not in the order of ``features``."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def moments(self) -> tuple[Float[np.ndarray, "classes dim"], Float[np.ndarray, "classes dim"]]:
        """Return class means minus ``centre``, and sums of squares about the means, (C, D); 0 for an absent class."""
        means, squares = np.zeros((2, len(self.counts), self.features.shape[1]))
        for c, rows in enumerate(block_rows(self.counts)):
            if rows.start < rows.stop:
                block = deviations(self.features[self.order[rows]].astype(np.float64), self.centre)
                means[c] = centre_block(block)
                squares[c] = np.einsum("nd,nd->d", block, block)
        return means, squares

    def deviations(self, first: int = 0, last: int | None = None) -> Float[np.ndarray, "members dim"]:
        """Return x - mu_c of the samples in classes first .. last - 1 (all by default), sorted by class.

        Entries that are only rounding error are set to exactly zero.
        """
        blocks = block_rows(self.counts)[first:last]
        start = blocks[0].start
        result = np.empty((blocks[-1].stop - start, self.features.shape[1]))
        for rows in blocks:
            if rows.start < rows.stop:
                block = result[rows.start - start : rows.stop - start]
                np.subtract(self.features[self.order[rows]], self.centre, out=block)
                block[np.abs(block) <= RESOLUTION * np.abs(self.centre)] = 0.0
                centre_block(block)
        return result

    def scatter(self) -> Float[np.ndarray, "dim dim"]:
        """Return the sum over all samples of (x - mu_c)(x - mu_c)', (D, D), computed in batches of classes."""
        total = np.zeros((self.features.shape[1],) * 2)
        ends, first = self.counts.cumsum(), 0
        while first < len(ends):
            begin = ends[first] - self.counts[first]
            last = max(int(np.searchsorted(ends, begin + _BATCH, side="right")), first + 1)
            batch = self.deviations(first, last)
            total += batch.T @ batch
            first = last
        return total


def sort_by_class(features: np.ndarray, codes: Labels, classes: int, centre: Float[np.ndarray, " dim"]) -> ClassBlocks:
    """Sort checked features (N, D) by their classes in [0, C)."""
    return ClassBlocks(features, np.argsort(codes, kind="stable"), np.bincount(codes, minlength=classes), centre)


def block_rows(counts: Int[np.ndarray, " classes"]) -> list[slice]:
    """Return the rows of each class among samples sorted by class."""
    ends = counts.cumsum()
    return [slice(end - count, end) for end, count in zip(ends.tolist(), counts.tolist(), strict=True)]


def centre_block(block: Float[np.ndarray, "members dim"]) -> Float[np.ndarray, " dim"]:
    """Subtract the mean of the rows from every row, in place, and return the mean."""
    mean = block.mean(axis=0)
    block -= mean
    # The mean of the differences removes the rounding error of long sums, so that equal samples equal their mean.
    correction = block.mean(axis=0)
    block -= correction
    mean += correction
    block[np.abs(block) <= RESOLUTION * np.abs(mean)] = 0.0
    return np.asarray(mean)


@dataclass(frozen=True, eq=False)
class ClassStatistics:
    """Sufficient statistics of N samples of C classes in D dimensions, in float64.

    Statistics of streamed samples hold the within-class scatter as a matrix, so that memory does not grow with N.
    Statistics of samples in memory compute the scatter on first use. For N <= D, N-by-N products of the samples are
    smaller than the scatter and can replace it.

    Attributes:
        counts: Samples per class, (C,).
        mean: Mean of all samples, (D,).
        offsets: Class means minus ``mean``, (C, D), precise even for features far from zero.
        squares: Sum over each class of (x - mu_c)^2, (C, D).
        scatter: Sum over all samples of (x - mu_c)(x - mu_c)', (D, D); None if ``blocks`` is set instead.
        blocks: The samples sorted by class; None if ``scatter`` is set instead.
    """

    counts: Int[np.ndarray, " classes"]
    mean: Float[np.ndarray, " dim"]
    offsets: Float[np.ndarray, "classes dim"]
    squares: Float[np.ndarray, "classes dim"]
    scatter: Float[np.ndarray, "dim dim"] | None = None
    blocks: ClassBlocks | None = None

    @property
    def samples(self) -> int:
        """Number of samples, N."""
        return int(self.counts.sum())

    @property
    def means(self) -> Float[np.ndarray, "classes dim"]:
        """Class means, (C, D)."""
        return self.mean + self.offsets

    @property
    def radii(self) -> Float[np.ndarray, " classes"]:
        """s_c = sqrt(sum_k Var_k(class c)), population variance, (C,), in feature units."""
        return np.sqrt(self.squares.sum(axis=1) / self.counts)

    @cached_property
    def within(self) -> Float[np.ndarray, "dim dim"]:
        """Within-class scatter: the sum over all samples of (x - mu_c)(x - mu_c)', (D, D)."""
        if self.scatter is not None:
            return self.scatter
        assert self.blocks is not None, "either the scatter or the samples are set"
        return self.blocks.scatter()

    @property
    def few_samples(self) -> ClassBlocks | None:
        """The samples if they are in memory and N <= D, else None."""
        return self.blocks if self.samples <= len(self.mean) else None

    @cached_property
    def between(self) -> Float[np.ndarray, "dim dim"]:
        """Between-class scatter: the sum over classes of n_c (mu_c - mu)(mu_c - mu)', (D, D)."""
        weighted = np.sqrt(self.counts)[:, None] * self.offsets
        return weighted.T @ weighted

    def smaller_gram(self, centred: bool = True) -> Float[np.ndarray, "size size"]:
        """Return ZZ' (N, N) for N <= D, else Z'Z (D, D), which have equal nonzero eigenvalues, trace and norm.

        Z are the features, minus their mean if ``centred``.
        """
        if self.few_samples is not None:
            rows = self.few_samples.deviations() + (self.offsets if centred else self.means)[self.few_samples.codes]
            return rows @ rows.T
        total = self.within + self.between
        return total if centred else total + self.samples * np.outer(self.mean, self.mean)

    def shift_classes(self, displacements: Float[np.ndarray, "classes dim"]) -> ClassStatistics:
        """Return the statistics after adding ``displacements[c]``, (C, D), to every sample of class c."""
        drift = self.counts @ displacements / self.samples
        # The scatter does not change, so it is computed once and passed on.
        scatter = self.within if self.few_samples is None else None
        return replace(self, mean=self.mean + drift, offsets=self.offsets + displacements - drift, scatter=scatter)


def class_sums(
    values: Float[np.ndarray, "samples dim"], codes: Labels, classes: int
) -> Float[np.ndarray, "{classes} dim"]:
    """Return the sum of each class's rows, (C, D), for labels encoded as 0 .. C-1."""
    samples = len(codes)
    members = csr_matrix((np.ones(samples), (codes, np.arange(samples))), shape=(classes, samples))
    return np.asarray(members @ values)


def class_statistics(features: np.ndarray, labels: np.ndarray) -> ClassStatistics:
    """Return the class statistics of features (N, D) and labels (N,); raises InputError like `check_features`."""
    check_labels("features", np.asarray(features), np.asarray(labels))
    check_feature_values(features)
    codes, counts = encode_labels(labels)
    blocks = sort_by_class(features, codes, len(counts), features.mean(axis=0, dtype=np.float64))
    means, squares = blocks.moments()
    drift = counts @ means / counts.sum()
    return ClassStatistics(counts, blocks.centre + drift, means - drift, squares, blocks=blocks)


def statistics_and_deviations(
    features: np.ndarray, labels: np.ndarray
) -> tuple[ClassStatistics, Int[np.ndarray, " samples"], Float[np.ndarray, "samples dim"]]:
    """Return class statistics together with the samples' deviations from their class means, computed once for both.

    Returns:
        statistics: Class statistics of features (N, D) and labels (N,).
        codes: Class of each sample in [0, C), sorted, (N,).
        deviations: x - mu_c in the order of ``codes``, (N, D), which the caller may modify.

    Raises:
        InputError: If `check_features` refuses the input.
    """
    statistics = class_statistics(features, labels)
    assert statistics.blocks is not None, "the samples are in memory"
    deviations = statistics.blocks.deviations()
    return replace(statistics, scatter=deviations.T @ deviations), statistics.blocks.codes, deviations


def streamed_statistics(batches: Iterable[np.ndarray], labels: np.ndarray) -> ClassStatistics:
    """Return class statistics of feature batches, (B, D) each, in the order of labels (N,), after checking each.

    They are updated batch by batch, in memory that does not grow with N.

    References:
        Chan, Golub, LeVeque, "Algorithms for Computing the Sample Variance", American Statistician 1983, eq. 1.5: only
        terms of one sign are added, so nothing cancels.
    """
    codes, class_counts = encode_labels(labels)
    counts, centre, start = np.zeros_like(class_counts), None, 0
    for batch in batches:
        check_feature_values(batch)
        if centre is None:
            centre = batch.mean(axis=0, dtype=np.float64)
            means, squares = np.zeros((2, len(counts), len(centre)))
            scatter = np.zeros((len(centre), len(centre)))
        blocks = sort_by_class(batch, codes[start : start + len(batch)], len(counts), centre)
        batch_means, batch_squares = blocks.moments()
        total = counts + blocks.counts
        share = blocks.counts / np.maximum(total, 1)
        gap = batch_means - means
        lever = np.sqrt(counts * share)[:, None] * gap
        scatter += blocks.scatter()
        if counts.any():
            scatter += lever.T @ lever
        squares += batch_squares + lever**2
        means += share[:, None] * gap
        counts, start = total, start + len(batch)
    assert centre is not None, "there is at least one batch"
    drift = counts @ means / counts.sum()
    return ClassStatistics(counts, centre + drift, means - drift, squares, scatter=scatter)
