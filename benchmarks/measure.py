"""Measure the times and the values of a metric and of its reference, which run in turns in one process."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from threadpoolctl import threadpool_info

from benchmarks.cases import Case, Shape


@dataclass(frozen=True)
class Timing:
    """Times of our metric and of its reference on one data set.

    Attributes:
        case: Name of the `Case`.
        N, D, C: Numbers of samples, feature dimensions and classes.
        ours_s, reference_s: Median time of a run in seconds.
        ratio: ``reference_s / ours_s``: above 1, our metric is faster.
        difference: Absolute difference of the two scores, divided by the score of the reference.
        repeats, reference_repeats: Number of runs of our metric, and of its reference.
        threads: Number of threads of the linear algebra.
    """

    case: str
    N: int
    D: int
    C: int
    ours_s: float
    reference_s: float
    ratio: float
    difference: float
    repeats: int
    reference_repeats: int
    threads: int


def measure(case: Case, inputs: np.ndarray, labels: np.ndarray, shape: Shape, repeats: int, max_s: float) -> Timing:
    """Run our metric and its reference in turns, each up to ``repeats`` times and for up to ``max_s`` seconds.

    Args:
        case: Metric and reference to compare.
        inputs: Float32 features (N, D) or source probabilities (N, S).
        labels: Classes (N,), from 0 to C-1.
        shape: (N, D, C) of the features.
        repeats: Largest number of runs of each function, at least 1.
        max_s: Largest total time of each function in seconds; its first run always takes place.
    """
    functions: tuple[Callable[[], float], ...] = (
        lambda: case.ours(inputs, labels),
        lambda: case.reference(inputs.astype(np.float64), labels),
    )
    times: tuple[list[float], list[float]] = ([], [])
    scores = [np.nan, np.nan]
    for _ in range(repeats):
        for i, function in enumerate(functions):
            if not times[i] or sum(times[i]) + median(times[i]) <= max_s:
                start = perf_counter()
                scores[i] = function()
                times[i].append(perf_counter() - start)
    ours, reference = (median(t) for t in times)
    difference = abs(scores[0] - scores[1]) / max(abs(scores[1]), np.finfo(float).tiny)
    ratio = reference / ours
    threads = max(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")
    return Timing(case.name, *shape, ours, reference, ratio, difference, len(times[0]), len(times[1]), threads)


def read_rows(path: Path) -> list[Timing]:
    """Read the rows of a CSV file; a file that does not exist has none."""
    if not path.exists():
        return []
    kinds = {"str": str, "int": int, "float": float}
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Timing(**{f.name: kinds[str(f.type)](line[f.name]) for f in fields(Timing)})
            for line in csv.DictReader(file)
        ]


def write_rows(path: Path, rows: Iterable[Timing]) -> None:
    """Add rows to a CSV file; they replace its rows of the same case and shape."""
    by_key = {(row.case, row.N, row.D, row.C): row for row in (*read_rows(path), *rows)}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Timing)], lineterminator="\n")
        writer.writeheader()
        for row in by_key.values():
            writer.writerow({k: f"{v:.3g}" if isinstance(v, float) else v for k, v in asdict(row).items()})
