"""Samples sorted by class, so that a class is one block of memory and a pass over it stays in cache."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from transfer_exp.types.class_statistics import RESOLUTION, ClassStatistics


def class_blocks(
    features: Float[np.ndarray, "samples dim"], codes: Int[np.ndarray, " samples"], counts: Int[np.ndarray, " classes"]
) -> tuple[Int[np.ndarray, " samples"], Float[np.ndarray, "classes dim"], Float[np.ndarray, "samples dim"]]:
    """Sort samples by class and split them into class means and what each deviates from its own.

    Parameters
    ----------
    features
        (N, D), checked.
    codes, counts
        As `encode_labels` gives them, (N,) and (C,).

    Returns
    -------
    order
        Indices that sort the samples by class, (N,).
    offsets
        Class means minus the mean of all samples, (C, D).
    deviations
        x - mu_c of every sample in that order, (N, D), with what is only rounding (`RESOLUTION`) exactly zero.
    """
    order, centre = np.argsort(codes, kind="stable"), features.mean(axis=0)
    deviations, offsets = np.empty(features.shape), np.empty((len(counts), features.shape[1]))
    for c, rows in enumerate(block_rows(counts)):
        block = np.subtract(features[order[rows]], centre, out=deviations[rows])
        block[np.abs(block) <= RESOLUTION * np.abs(centre)] = 0.0
        offsets[c] = centre_block(block)
    return order, offsets, deviations


def block_statistics(
    counts: Int[np.ndarray, " classes"],
    means: Float[np.ndarray, "classes dim"],
    deviations: Float[np.ndarray, "samples dim"],
) -> ClassStatistics:
    """Return the statistics of samples sorted by class, from class means and deviations from these."""
    mean = counts @ means / counts.sum()
    squares = np.stack([np.einsum("nd,nd->d", deviations[rows], deviations[rows]) for rows in block_rows(counts)])
    return ClassStatistics(counts, mean, means - mean, squares, scatter=deviations.T @ deviations)


def block_rows(counts: Int[np.ndarray, " classes"]) -> list[slice]:
    """Return the rows of each class among samples sorted by class."""
    ends = counts.cumsum()
    return [slice(end - count, end) for end, count in zip(ends.tolist(), counts.tolist(), strict=True)]


def centre_block(block: Float[np.ndarray, "members dim"]) -> Float[np.ndarray, " dim"]:
    """Take the mean of the rows from every row, in place, and return it."""
    mean = block.mean(axis=0)
    block -= mean
    # The mean of what is left takes out the rounding of long sums, so that equal samples equal their mean.
    rest = block.mean(axis=0)
    block -= rest
    mean += rest
    block[np.abs(block) <= RESOLUTION * np.abs(mean)] = 0.0
    return np.asarray(mean)
