"""Features sorted by class and worked on class by class, because one class usually fits into the processor's cache."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from transfer_exp.statistics.feature_set import Labels
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
