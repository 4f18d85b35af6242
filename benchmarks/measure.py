"""Time a metric and its reference alternately in one process, and compare their values."""

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
    """Measured times of one comparison.

    Attributes:
        what: Name of the `Case`.
        N, D, C: Samples, dimensions, classes.
        ours_s, reference_s: Medians in seconds.
        ratio: ``reference_s / ours_s``: above 1, ours is faster.
        difference: Difference of the two values relative to the reference's.
        repeats, reference_repeats: Numbers of runs of ours and of the reference.
        threads: Threads of the linear algebra.
    """

    what: str
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


def measure(case: Case, inputs: np.ndarray, labels: np.ndarray, shape: Shape, repeats: int, patience: float) -> Timing:
    """Run ours and the reference alternately, each ``repeats`` times or for up to ``patience`` seconds.

    Args:
        case: Comparison to run.
        inputs: Float32 features (N, D) or source probabilities (N, S).
        labels: (N,), 0 .. C-1.
        shape: (N, D, C) of the features.
        repeats: Largest number of runs of a side, at least 1.
        patience: Largest total time of a side in seconds; the first run is always made.
    """
    sides: tuple[Callable[[], float], ...] = (
        lambda: case.ours(inputs, labels),
        lambda: case.reference(inputs.astype(np.float64), labels),
    )
    times: tuple[list[float], list[float]] = ([], [])
    values = [np.nan, np.nan]
    for _ in range(repeats):
        for side, run in enumerate(sides):
            if not times[side] or sum(times[side]) + median(times[side]) <= patience:
                start = perf_counter()
                values[side] = run()
                times[side].append(perf_counter() - start)
    ours, reference = (median(t) for t in times)
    difference = abs(values[0] - values[1]) / max(abs(values[1]), np.finfo(float).tiny)
    ratio = reference / ours
    threads = max(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")
    return Timing(case.name, *shape, ours, reference, ratio, difference, len(times[0]), len(times[1]), threads)


def read_rows(path: Path) -> list[Timing]:
    """Return the rows of a file, or an empty list if it does not exist."""
    if not path.exists():
        return []
    kinds = {"str": str, "int": int, "float": float}
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Timing(**{f.name: kinds[str(f.type)](line[f.name]) for f in fields(Timing)})
            for line in csv.DictReader(file)
        ]


def write_rows(path: Path, rows: Iterable[Timing]) -> None:
    """Write rows to a file; they replace its rows of the same comparisons and shapes."""
    by_key = {(row.what, row.N, row.D, row.C): row for row in (*read_rows(path), *rows)}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Timing)], lineterminator="\n")
        writer.writeheader()
        for row in by_key.values():
            writer.writerow({k: f"{v:.3g}" if isinstance(v, float) else v for k, v in asdict(row).items()})
