"""What is measured: each metric of ours, the published algorithm beside it, and the aim it is held to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.reference import collapse, fisher, linear, pairs, source, unit
from transfer_exp.metric.cka import cka
from transfer_exp.metric.gbc import gbc
from transfer_exp.metric.h_score import h_score
from transfer_exp.metric.knn import knn
from transfer_exp.metric.lda import lda
from transfer_exp.metric.leep import leep
from transfer_exp.metric.lfc import lfc
from transfer_exp.metric.logme import logme
from transfer_exp.metric.nce import nce
from transfer_exp.metric.ncm import ncm
from transfer_exp.metric.ncti import ncti_parts
from transfer_exp.metric.nleep import nleep
from transfer_exp.metric.parc import parc
from transfer_exp.metric.regularised_h_score import regularised_h_score
from transfer_exp.metric.sfda_released import sfda_released
from transfer_exp.metric.transrate import transrate
from transfer_exp.statistics.class_statistics import ClassStatistics, class_statistics

Shape = tuple[int, int, int]
SHAPES: tuple[Shape, ...] = ((5000, 512, 37), (5000, 2048, 100), (20000, 2048, 397))
"""(N, D, C) of the features that are made."""


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        what: Its name in rows and on the page.
        ours: Takes float32 features (N, D), or source probabilities (N, S), and labels (N,); whatever else it needs it
            builds from these, within the time measured.
        reference: The same in float64; the conversion is measured too.
        aim, at: How many times as fast as the reference ours should be, and at which shape; 0 where nothing is asked.
        evidence: ``"features"`` or ``"source_probabilities"``.
        most: The largest N it is run at: the reference of a metric of pairs holds several N x N arrays.
        tolerance: On the relative difference of the two values; infinite where the reference computes a part only.
    """

    what: str
    ours: Callable[[np.ndarray, np.ndarray], float]
    reference: Callable[[np.ndarray, np.ndarray], float]
    aim: float = 0.0
    at: Shape = SHAPES[1]
    evidence: str = "features"
    most: int = 20000
    tolerance: float = 1e-6


def shape(text: str) -> Shape:
    """Return (N, D, C) from ``N,D,C`` on a command line."""
    samples, dim, classes = (int(part) for part in text.split(","))
    return samples, dim, classes


def from_statistics(metric: Callable[[ClassStatistics], float]) -> Callable[[np.ndarray, np.ndarray], float]:
    """Return a metric of class statistics as one of features (N, D) and labels (N,)."""
    return lambda features, labels: metric(class_statistics(features, labels))


CASES = (
    Case("logme", from_statistics(logme), linear.logme, aim=5.0),
    Case("logme against its release", from_statistics(logme), linear.logme_released),
    Case(
        "logme against X'X and its eigenvectors",
        from_statistics(logme),
        unit.gram_and_eigenvectors,
        aim=1 / 1.3,
        tolerance=np.inf,
    ),
    Case("sfda_released", sfda_released, fisher.sfda, aim=12.0),
    Case("h_score", from_statistics(h_score), linear.h_score, aim=5.0),
    Case("lda", lda, fisher.lda, aim=5.0),
    Case("ncti", lambda x, y: sum(ncti_parts(x, y).values()), collapse.ncti, aim=5.0),
    Case("transrate", transrate, linear.transrate, aim=5.0),
    Case("gbc", from_statistics(gbc), pairs.gbc, aim=10.0, at=SHAPES[2]),
    Case("parc", parc, pairs.parc, aim=3.0, most=5000),
    Case("nleep", lambda x, y: nleep(x, y, components_per_class=1), lambda x, y: source.nleep(x, y, 1), aim=2.0),
    Case("regularised_h_score", regularised_h_score, linear.regularised_h_score),
    Case("ncm", ncm, fisher.ncm),
    Case("knn", knn, pairs.knn, most=5000),
    Case("cka", from_statistics(cka), pairs.cka, most=5000),
    Case("lfc", from_statistics(lfc), pairs.lfc, most=5000),
    Case("leep", leep, source.leep, evidence="source_probabilities"),
    Case("nce", nce, source.nce, evidence="source_probabilities"),
)
