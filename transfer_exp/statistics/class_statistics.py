"""Counts, means and scatter of labelled features: all that most metrics and perturbations look at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix

from transfer_exp.statistics.class_blocks import ClassBlocks, class_blocks
from transfer_exp.statistics.feature_set import encode_labels, refuse_unfit, refuse_unfit_values


@dataclass(frozen=True, eq=False)
class ClassStatistics:
    """Sufficient statistics of N samples of C classes in D dimensions, in float64.

    The scatter within classes is a matrix where samples were streamed, so that memory does not grow with N. Where they
    are at hand it is formed when it is asked for; with N <= D it need not be, as products of samples are fewer.

    Attributes
    ----------
    counts
        (C,), samples per class.
    mean
        (D,), of all samples.
    offsets
        (C, D), class means minus ``mean``: exact however far the features lie from zero.
    squares
        (C, D), the sum over each class of (x - mu_c)^2.
    scatter
        (D, D), the sum over all samples of (x - mu_c)(x - mu_c)'; None where ``blocks`` stand for it.
    blocks
        The samples, whose deviations from their class means are those of these statistics; None where ``scatter``
        stands for them.
    """

    counts: Int[np.ndarray, " classes"]
    mean: Float[np.ndarray, " dim"]
    offsets: Float[np.ndarray, "classes dim"]
    squares: Float[np.ndarray, "classes dim"]
    scatter: Float[np.ndarray, "dim dim"] | None = None
    blocks: ClassBlocks | None = None

    @property
    def samples(self) -> int:
        """N."""
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
        """The sum over all samples of (x - mu_c)(x - mu_c)', (D, D), not divided by anything."""
        if self.scatter is not None:
            return self.scatter
        assert self.blocks is not None, "either form of the scatter is there"
        return self.blocks.within()

    @property
    def few(self) -> ClassBlocks | None:
        """The samples where they are at hand and N <= D, else None."""
        return self.blocks if self.samples <= len(self.mean) else None

    @cached_property
    def between(self) -> Float[np.ndarray, "dim dim"]:
        """The sum over classes of n_c (mu_c - mu)(mu_c - mu)', (D, D). Total scatter is within + between."""
        weighted = np.sqrt(self.counts)[:, None] * self.offsets
        return weighted.T @ weighted

    def smaller_gram(self, centred: bool = True) -> Float[np.ndarray, "size size"]:
        """Return ZZ' (N, N) where N <= D, else Z'Z (D, D): they share nonzero eigenvalues, trace and norm.

        Z are the features, minus their mean where ``centred``.
        """
        if self.few is not None:
            rows = self.few.deviations() + (self.offsets if centred else self.means)[self.few.codes]
            return rows @ rows.T
        total = self.within + self.between
        return total if centred else total + self.samples * np.outer(self.mean, self.mean)

    def moved(self, displacements: Float[np.ndarray, "classes dim"]) -> ClassStatistics:
        """Return the statistics after every sample of class c moved by ``displacements[c]``, (C, D)."""
        drift = self.counts @ displacements / self.samples
        # The scatter stays, so that it is formed once for all moves.
        scatter = self.within if self.few is None else None
        return replace(self, mean=self.mean + drift, offsets=self.offsets + displacements - drift, scatter=scatter)


class Accumulator:
    """Class statistics gathered batch by batch, in memory that does not grow with N.

    Parameters
    ----------
    classes
        C; labels are given as codes in [0, C). Every class must have occurred when `statistics` is called.
    """

    def __init__(self, classes: int) -> None:
        self._counts = np.zeros(classes, dtype=np.int64)
        self._centre: np.ndarray | None = None

    def add(self, features: np.ndarray, codes: Int[np.ndarray, " batch"]) -> None:
        """Take in a batch of checked features (B, D) and their classes (B,).

        References
        ----------
        Chan, Golub, LeVeque, "Algorithms for Computing the Sample Variance", American Statistician 1983, eq. 1.5: only
        terms of one sign are added, so nothing cancels.
        """
        if self._centre is None:
            classes, dim = len(self._counts), features.shape[1]
            self._centre = features.mean(axis=0, dtype=np.float64)
            self._means, self._squares = np.zeros((classes, dim)), np.zeros((classes, dim))
            self._scatter = np.zeros((dim, dim))
        blocks = class_blocks(features, codes, len(self._counts), self._centre)
        counts, (means, squares) = blocks.counts, blocks.moments()
        total = self._counts + counts
        share = counts / np.maximum(total, 1)
        gap = means - self._means
        lever = np.sqrt(self._counts * share)[:, None] * gap
        self._scatter += blocks.within()
        if self._counts.any():
            self._scatter += lever.T @ lever
        self._squares += squares + lever**2
        self._means += share[:, None] * gap
        self._counts = total

    def statistics(self) -> ClassStatistics:
        """Return the statistics of all batches so far."""
        assert self._centre is not None, "at least one batch"
        drift = self._counts @ self._means / self._counts.sum()
        return ClassStatistics(
            self._counts, self._centre + drift, self._means - drift, self._squares, scatter=self._scatter
        )


def class_sums(
    values: Float[np.ndarray, "samples dim"], codes: Int[np.ndarray, " samples"], classes: int
) -> Float[np.ndarray, "{classes} dim"]:
    """Return the sum of each class's rows, (C, D), for labels already encoded as 0 .. C-1."""
    samples = len(codes)
    members = csr_matrix((np.ones(samples), (codes, np.arange(samples))), shape=(classes, samples))
    return np.asarray(members @ values)


def class_statistics(features: np.ndarray, labels: np.ndarray) -> ClassStatistics:
    """Reduce features (N, D) and labels (N,) to their class statistics.

    Raises
    ------
    InputError
        As `check_features`.
    """
    refuse_unfit(features, labels)
    codes, counts = encode_labels(labels)
    blocks = class_blocks(features, codes, len(counts), features.mean(axis=0, dtype=np.float64))
    means, squares = blocks.moments()
    drift = counts @ means / counts.sum()
    return ClassStatistics(counts, blocks.centre + drift, means - drift, squares, blocks=blocks)


def statistics_and_deviations(
    features: np.ndarray, labels: np.ndarray
) -> tuple[ClassStatistics, Int[np.ndarray, " samples"], Float[np.ndarray, "samples dim"]]:
    """Return class statistics for what goes on to look at the samples: with their scatter, and with these.

    Returns
    -------
    statistics
        Of features (N, D) and labels (N,).
    codes
        Class of each sample in [0, C), sorted, (N,).
    deviations
        x - mu_c in that order, (N, D), an array of the caller's own.

    Raises
    ------
    InputError
        As `check_features`.
    """
    statistics = class_statistics(features, labels)
    assert statistics.blocks is not None, "the samples are at hand"
    apart = statistics.blocks.deviations()
    return replace(statistics, scatter=apart.T @ apart), statistics.blocks.codes, apart


def streamed_statistics(batches: Iterable[np.ndarray], labels: np.ndarray) -> ClassStatistics:
    """Reduce features that come in batches, (B, D) each, in the order of labels (N,), to their class statistics.

    Raises
    ------
    InputError
        As `check_features`, for the batch at fault.
    """
    codes, counts = encode_labels(labels)
    gathered, start = Accumulator(len(counts)), 0
    for batch in batches:
        refuse_unfit_values(batch)
        gathered.add(batch, codes[start : start + len(batch)])
        start += len(batch)
    return gathered.statistics()
