"""Counts, means and scatter of labelled features: all that most metrics look at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from transfer_exp.types.feature_set import check_features, encode_labels


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


def class_means(
    features: Float[np.ndarray, "samples dim"], codes: Int[np.ndarray, " samples"], counts: Int[np.ndarray, " classes"]
) -> Float[np.ndarray, "classes dim"]:
    """Return the mean of each class, (C, D), for labels already encoded as 0 .. C-1."""
    sums = np.zeros((len(counts), features.shape[1]))
    np.add.at(sums, codes, features)
    return sums / counts[:, None]


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
    centred = features - means[codes]
    return ClassStatistics(counts, means, centred.T @ centred)
