"""Time ours and the reference by turns in one process, and compare what they return."""

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
class Row:
    """One comparison as measured.

    Attributes:
        what: Of `Case`.
        N, D, C: Samples, dimensions, classes.
        ours_s, reference_s: Medians, in seconds.
        ratio: ``reference_s / ours_s``: above 1, ours is faster.
        difference: Of the two values, relative to the reference's.
        repeats, reference_repeats: Runs that the medians are taken over.
        threads: Of the linear algebra.
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


def measured(case: Case, evidence: np.ndarray, labels: np.ndarray, shape: Shape, repeats: int, patience: float) -> Row:
    """Run ours and the reference by turns, each ``repeats`` times or until its runs add up to ``patience`` seconds.

    Args:
        case: What to run.
        evidence: (N, D) or (N, S), as a network gives it: float32 features are made float64 within the time of either
            side.
        labels: (N,), 0 .. C-1.
        shape: (N, D, C) of the features.
        repeats: Most runs of a side, at least 1.
        patience: In seconds. The first run is made whatever it takes.
    """
    sides: tuple[Callable[[], float], ...] = (
        lambda: case.ours(evidence, labels),
        lambda: case.reference(evidence.astype(np.float64), labels),
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
    return Row(case.what, *shape, ours, reference, ratio, difference, len(times[0]), len(times[1]), threads)


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a file, none where it does not exist."""
    if not path.exists():
        return []
    kinds = {"str": str, "int": int, "float": float}
    with path.open(encoding="utf-8", newline="") as file:
        return [Row(**{f.name: kinds[str(f.type)](line[f.name]) for f in fields(Row)}) for line in csv.DictReader(file)]


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Put rows in a file, in the place of those that it has of the same comparisons."""
    kept = {(row.what, row.N, row.D, row.C): row for row in (*read_rows(path), *rows)}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Row)], lineterminator="\n")
        writer.writeheader()
        for row in kept.values():
            writer.writerow({k: f"{v:.3g}" if isinstance(v, float) else v for k, v in asdict(row).items()})
