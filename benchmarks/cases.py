"""Comparisons of our metrics with the published algorithms, with the aimed ratio of their times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks import bounds, ranker
from benchmarks.reference import fisher, linear, pairs, source
from transfer_exp.metric.cka import cka
from transfer_exp.metric.gbc import gbc
from transfer_exp.metric.h_score import h_score, regularised_h_score
from transfer_exp.metric.knn import knn
from transfer_exp.metric.lda import lda
from transfer_exp.metric.leep import leep
from transfer_exp.metric.lfc import lfc
from transfer_exp.metric.linear_classifier import linear_classifier
from transfer_exp.metric.logme import logme
from transfer_exp.metric.nce import nce
from transfer_exp.metric.ncm import ncm
from transfer_exp.metric.ncti import ncti_parts
from transfer_exp.metric.nleep import nleep
from transfer_exp.metric.parc import parc
from transfer_exp.metric.sfda import sfda_released
from transfer_exp.metric.transrate import transrate
from transfer_exp.statistics.class_statistics import ClassStatistics, class_statistics

Shape = tuple[int, int, int]
SHAPES: tuple[Shape, ...] = ((1500, 1280, 10), (5000, 512, 37), (5000, 2048, 100), (20000, 2048, 397))
"""(N, D, C) of the synthetic features."""
MEDIUM, LARGE = SHAPES[2:]


@dataclass(frozen=True)
class Case:
    """Comparison of a metric with its reference.

    Attributes:
        name: Name in the rows and on the page.
        ours: Our function of float32 features (N, D), or source probabilities (N, S), and labels (N,). Its time
            includes everything that it computes from them.
        reference: The published algorithm on float64 input; the time includes the conversion.
        aim: Smallest ratio of the reference's time to ours; 0 without an aim.
        aim_shape: Shape at which the aim applies.
        input_name: ``"features"`` or ``"source_probabilities"``.
        max_samples: Largest N; the references of pairwise metrics hold several N x N arrays.
        tolerance: Largest relative difference of the two values; infinite if the reference computes only a part.
        bound: Work that no implementation avoids.
        ranker: The same metric by transformer-ranker's estimators; None if it has none.
    """

    name: str
    ours: Callable[[np.ndarray, np.ndarray], float]
    reference: Callable[[np.ndarray, np.ndarray], float]
    aim: float = 0.0
    aim_shape: Shape = MEDIUM
    input_name: str = "features"
    max_samples: int = 20000
    tolerance: float = 1e-6
    bound: bounds.Bound | None = None
    ranker: Callable[[np.ndarray, np.ndarray], float] | None = None


def parse_shape(text: str) -> Shape:
    """Parse ``N,D,C`` of a command line."""
    samples, dim, classes = (int(part) for part in text.split(","))
    return samples, dim, classes


def from_statistics(metric: Callable[[ClassStatistics], float]) -> Callable[[np.ndarray, np.ndarray], float]:
    """Return a metric of class statistics as a function of features (N, D) and labels (N,)."""
    return lambda features, labels: metric(class_statistics(features, labels))


CASES = (
    Case(
        *("linear_classifier", linear_classifier, linear.linear_classifier),
        aim=5.0,
        max_samples=5000,
        tolerance=1e-3,  # one sample
        bound=bounds.SOLVER,
    ),
    Case(
        *("logme", from_statistics(logme), linear.logme),
        aim=5.0,
        bound=bounds.EIGENVECTORS,
        ranker=ranker.logme,
    ),
    Case(
        *("logme against its release", from_statistics(logme), linear.logme_released),
        bound=bounds.EIGENVECTORS,
    ),
    Case("sfda_released", sfda_released, fisher.sfda, aim=12.0, bound=bounds.TWO_CHOLESKY),
    Case(
        *("h_score", from_statistics(h_score), linear.h_score),
        aim=5.0,
        bound=bounds.CHOLESKY,
    ),
    Case("lda", lda, fisher.lda, aim=5.0, bound=bounds.CHOLESKY),
    Case("ncti", lambda x, y: sum(ncti_parts(x, y).values()), fisher.ncti, aim=5.0, bound=bounds.GRAM),
    Case("transrate", transrate, linear.transrate, aim=5.0, bound=bounds.CHOLESKY),
    Case("gbc", from_statistics(gbc), pairs.gbc, aim=10.0, aim_shape=LARGE, bound=bounds.MOMENTS),
    Case("parc", parc, pairs.parc, aim=3.0, max_samples=5000, bound=bounds.SORTED_PAIRS),
    Case(
        *("nleep", lambda x, y: nleep(x, y, components_per_class=1), lambda x, y: source.nleep(x, y, 1)),
        aim=3.0,
        bound=bounds.EIGENVECTORS,
    ),
    Case(
        *("regularised_h_score", regularised_h_score, linear.regularised_h_score),
        bound=bounds.CHOLESKY,
        ranker=ranker.regularised_h_score,
    ),
    Case("ncm", ncm, fisher.ncm, bound=bounds.CLASS_SUMS),
    Case("knn", knn, pairs.knn, aim=3.0, max_samples=5000, bound=bounds.PAIRS, ranker=ranker.knn),
    Case("cka", from_statistics(cka), pairs.cka, max_samples=5000, bound=bounds.GRAM),
    Case("lfc", from_statistics(lfc), pairs.lfc, max_samples=5000, bound=bounds.GRAM),
    Case("leep", leep, source.leep, input_name="source_probabilities", bound=bounds.CLASS_SUMS),
    Case("nce", nce, source.nce, input_name="source_probabilities", bound=bounds.LARGEST),
)
