"""Measure the times of a metric, its reference and its bound, which run in turns in one process.

Seconds are processor time, which depends little on other work on the machine.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable
from dataclasses import MISSING, asdict, dataclass, fields
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time

import numpy as np
from threadpoolctl import threadpool_info

from benchmarks import ranker
from benchmarks.cases import Case, Shape


@dataclass(frozen=True)
class Timing:
    """Times of our metric and of what it is compared with on one data set.

    Attributes:
        case: Name of the `Case`.
        N, D, C: Numbers of samples, feature dimensions and classes.
        ours_s, reference_s: Median time of a run in seconds.
        ratio: ``reference_s / ours_s``: above 1, our metric is faster.
        difference: Absolute difference of the two scores, divided by the score of the reference.
        repeats, reference_repeats: Number of runs of our metric, and of its reference.
        threads: Number of threads of the linear algebra.
        bound_s, ranker_s: Median time of the bound, and of transformer-ranker; NaN if not measured.
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
    bound_s: float = math.nan
    ranker_s: float = math.nan


def measure(case: Case, inputs: np.ndarray, labels: np.ndarray, shape: Shape, repeats: int, max_s: float) -> Timing:
    """Run our metric, its reference, its bound and transformer-ranker in turns.

    Args:
        case: Metric, and what to compare it with.
        inputs: Float32 features (N, D) or source probabilities (N, S).
        labels: Classes (N,), from 0 to C-1.
        shape: (N, D, C) of the features.
        repeats: Largest number of runs of each function, at least 1.
        max_s: Largest total time of each function in seconds; its first run always takes place.
    """
    exact = inputs.astype(np.float64)
    functions: dict[str, Callable[[], object]] = {
        "ours": lambda: case.ours(inputs, labels),
        "reference": lambda: case.reference(inputs.astype(np.float64), labels),
    }
    if case.bound is not None:
        functions["bound"] = partial(case.bound.run, exact, labels)
    if case.ranker is not None and ranker.load_estimators() is not None:
        functions["ranker"] = partial(case.ranker, inputs, labels)
    times: dict[str, list[float]] = {name: [] for name in functions}
    scores: dict[str, object] = {}
    for _ in range(repeats):
        for name, run in functions.items():
            if not times[name] or sum(times[name]) + median(times[name]) <= max_s:
                start = process_time()
                scores[name] = run()
                times[name].append(process_time() - start)
    seconds = {name: median(spent) for name, spent in times.items()}
    ours, reference = (float(np.asarray(scores[name])) for name in ("ours", "reference"))
    return Timing(
        case.name,
        *shape,
        ours_s=seconds["ours"],
        reference_s=seconds["reference"],
        ratio=seconds["reference"] / seconds["ours"],
        difference=abs(ours - reference) / max(abs(reference), np.finfo(float).tiny),
        repeats=len(times["ours"]),
        reference_repeats=len(times["reference"]),
        threads=max(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"),
        bound_s=seconds.get("bound", math.nan),
        ranker_s=seconds.get("ranker", math.nan),
    )


def read_rows(path: Path) -> list[Timing]:
    """Return the rows of a file, or an empty list if it does not exist."""
    if not path.exists():
        return []
    kinds = {"str": str, "int": int, "float": float}
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Timing(
                **{
                    f.name: kinds[str(f.type)](line[f.name])
                    for f in fields(Timing)
                    if f.default is MISSING or line.get(f.name)
                }
            )
            for line in csv.DictReader(file)
        ]


def write_rows(path: Path, rows: Iterable[Timing]) -> None:
    """Add rows to a CSV file; they replace its rows of the same case and shape."""
    by_key = {(row.case, row.N, row.D, row.C): row for row in (*read_rows(path), *rows)}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Timing)], lineterminator="\n")
        writer.writeheader()
        for row in by_key.values():
            writer.writerow({name: _text(value) for name, value in asdict(row).items()})


def _text(value: object) -> object:
    """Return a value of a row as text: three digits, and nothing for NaN."""
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else f"{value:.3g}"
