"""Counts, means and scatter of labelled features: all that most metrics and perturbations look at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix

from transfer_exp.types.feature_set import check_features, encode_labels

RESOLUTION = 1e-12
"""A difference this small, relative to what was subtracted, is rounding and counts as zero."""


@dataclass(frozen=True, eq=False)
class ClassStatistics:
    """Sufficient statistics of N samples of C classes in D dimensions, in float64.

    Attributes
    ----------
    counts
        (C,), samples per class.
    means
        (C, D), class means.
    within
        (D, D), the sum over all samples of (x - mu_c)(x - mu_c)', not divided by anything.
    """

    counts: Int[np.ndarray, " classes"]
    means: Float[np.ndarray, "classes dim"]
    within: Float[np.ndarray, "dim dim"]

    @property
    def samples(self) -> int:
        """N."""
        return int(self.counts.sum())

    @cached_property
    def mean(self) -> Float[np.ndarray, " dim"]:
        """The mean of all samples, (D,)."""
        return self.counts @ self.means / self.samples

    @cached_property
    def between(self) -> Float[np.ndarray, "dim dim"]:
        """The sum over classes of n_c (mu_c - mu)(mu_c - mu)', (D, D). Total scatter is within + between."""
        weighted = np.sqrt(self.counts)[:, None] * (self.means - self.mean)
        return weighted.T @ weighted


def class_sums(
    values: Float[np.ndarray, "samples dim"], codes: Int[np.ndarray, " samples"], classes: int
) -> Float[np.ndarray, "{classes} dim"]:
    """Return the sum of each class's rows, (C, D), for labels already encoded as 0 .. C-1."""
    samples = len(codes)
    members = csr_matrix((np.ones(samples), (codes, np.arange(samples))), shape=(classes, samples))
    return np.asarray(members @ values)


def class_means(
    features: Float[np.ndarray, "samples dim"],
    codes: Int[np.ndarray, " samples"],
    counts: Int[np.ndarray, " classes"],
) -> Float[np.ndarray, "classes dim"]:
    """Return the mean of each class, (C, D), for labels already encoded as 0 .. C-1."""
    means = class_sums(features, codes, len(counts)) / counts[:, None]
    # The mean of what is left takes out the rounding of long sums, so that equal samples equal their mean.
    return means + class_sums(features - means[codes], codes, len(counts)) / counts[:, None]


def deviations(
    features: Float[np.ndarray, "samples dim"], centres: Float[np.ndarray, "*samples dim"]
) -> Float[np.ndarray, "samples dim"]:
    """Return features minus centres, with what is only rounding (`RESOLUTION`) set to exactly zero.

    ``centres`` is one vector (D,) or one row per sample (N, D). A constant feature then has no scatter at
    all, rather than a tiny one that a metric divides by.
    """
    difference = features - centres
    difference[np.abs(difference) <= RESOLUTION * np.abs(centres)] = 0.0
    return difference


def class_radii(
    features: Float[np.ndarray, "samples dim"],
    codes: Int[np.ndarray, " samples"],
    counts: Int[np.ndarray, " classes"],
) -> Float[np.ndarray, " classes"]:
    """Return s_c = sqrt(sum_k Var_k(class c)), population variance, (C,), in feature units."""
    offsets = deviations(features, class_means(features, codes, counts)[codes])
    squares = np.einsum("nd,nd->n", offsets, offsets)
    return np.sqrt(np.bincount(codes, weights=squares, minlength=len(counts)) / counts)


def class_statistics(features: np.ndarray, labels: np.ndarray) -> ClassStatistics:
    """Reduce features (N, D) and labels (N,) to their class statistics.

    Raises
    ------
    InputError
        As `check_features`.
    """
    features = check_features(features, labels)
    codes, counts = encode_labels(labels)
    means = class_means(features, codes, counts)
    centred = deviations(features, means[codes])
    return ClassStatistics(counts, means, centred.T @ centred)
