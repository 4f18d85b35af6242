"""Classes that are moved as wholes, and what of their samples stays as it is while only the class means change."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from transfer_exp.statistics.class_statistics import ClassStatistics, statistics_and_deviations


@dataclass(frozen=True, eq=False)
class WithinSpectrum:
    """The scatter within classes in the basis of its eigenvectors, and the class means in that basis.

    Attributes
    ----------
    eigenvalues
        (D,), ascending, zero where they are only rounding.
    offsets, mean
        Those of `ClassStatistics`, (C, D) and (D,).
    """

    eigenvalues: Float[np.ndarray, " dim"]
    offsets: Float[np.ndarray, "classes dim"]
    mean: Float[np.ndarray, " dim"]


@dataclass(frozen=True, eq=False)
class MovingClasses:
    """Classes before any move. A move is a matrix A (C, C) with rows that sum to 1: class means mu become A mu.

    Every sample goes where its class goes, so that neither deviations from class means nor the scatter within classes
    change, and the new means lie in the span of the old. Whatever depends on these alone is computed once.

    Attributes
    ----------
    statistics
        Before any move.
    deviations
        x - mu_c of every sample, (N, D), class after class; None where only statistics are known.
    """

    statistics: ClassStatistics
    deviations: Float[np.ndarray, "samples dim"] | None = None

    @cached_property
    def codes(self) -> Int[np.ndarray, " samples"]:
        """Class of each row of ``deviations``, (N,)."""
        return np.repeat(np.arange(len(self.statistics.counts)), self.statistics.counts)

    @cached_property
    def coordinates(self) -> Float[np.ndarray, "classes rank"]:
        """The offsets of the class means in an orthonormal basis of their span, (C, min(C, D))."""
        return np.asarray(np.linalg.qr(self.statistics.offsets.T, mode="r")).T

    @cached_property
    def within_spectrum(self) -> WithinSpectrum:
        """Eigenvalues of the scatter within classes, by its one eigendecomposition; this asks for N > D to be cheap."""
        statistics = self.statistics
        eigenvalues, vectors = np.linalg.eigh(statistics.within)
        eigenvalues[eigenvalues <= self.rounding * max(eigenvalues[-1], 0.0)] = 0.0
        return WithinSpectrum(eigenvalues, statistics.offsets @ vectors, statistics.mean @ vectors)

    @property
    def rounding(self) -> float:
        """An eigenvalue of a scatter up to this share of the largest is rounding, as in a spectrum of features."""
        return max(self.statistics.samples, len(self.statistics.mean)) * float(np.finfo(np.float64).eps)

    def centred(self, mixing: Float[np.ndarray, "classes classes"]) -> Float[np.ndarray, "classes classes"]:
        """Return the mixing that gives the new class means minus the new mean of all samples."""
        return mixing - self.statistics.counts @ mixing / self.statistics.samples

    def moved(self, mixing: Float[np.ndarray, "classes classes"]) -> ClassStatistics:
        """Return the statistics after a move."""
        return self.statistics.moved(mixing @ self.statistics.offsets - self.statistics.offsets)


def moving_classes(features: np.ndarray, labels: np.ndarray) -> MovingClasses:
    """Return the classes of features (N, D) and labels (N,), with their samples.

    Raises
    ------
    InputError
        As `check_features`.
    """
    statistics, _, apart = statistics_and_deviations(features, labels)
    return MovingClasses(statistics, apart)
