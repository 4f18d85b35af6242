"""Five metrics over a grid of Attract against one of its cells: ``python -m benchmarks.attract_grid``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from benchmarks.cases import shape
from benchmarks.made import made_features
from transfer_exp.metric.gbc import GBC
from transfer_exp.metric.h_score import HScore
from transfer_exp.metric.lda import LDA
from transfer_exp.metric.logme import LogME
from transfer_exp.metric.metric import MetricOverMoves
from transfer_exp.metric.sfda_released import SFDAReleased
from transfer_exp.perturbation.attract import Attract
from transfer_exp.statistics.class_statistics import class_statistics
from transfer_exp.statistics.moving_classes import moving_classes

ALPHAS, SIGMAS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4), (0.0, 0.3, 0.6, 0.9, 1.2)
GRID = tuple(Attract(alpha, sigma) for alpha, sigma in product(ALPHAS, SIGMAS))
METRICS: tuple[MetricOverMoves, ...] = (LogME(), SFDAReleased(), LDA(), GBC(), HScore())
CHECKED = (0, 17, 38)
"""Cells of the grid that are also scored the ordinary way."""


def attract_grid(
    features: np.ndarray, labels: np.ndarray, metrics: tuple[MetricOverMoves, ...] = METRICS
) -> dict[str, Float[np.ndarray, " cells"]]:
    """Return the scores of every metric over the grid, (40,) each, from features (N, D) and labels (N,)."""
    classes = moving_classes(features, labels)
    radii = classes.statistics.radii
    mixings = np.array([cell.mixing(classes.coordinates, radii) for cell in GRID])
    return {metric.name: metric.over_moves(classes, mixings) for metric in metrics}


def one_cell(
    features: np.ndarray, labels: np.ndarray, cell: Attract, metrics: tuple[MetricOverMoves, ...] = METRICS
) -> dict[str, float]:
    """Return the scores of one cell as an experiment of its own computes them, each input obtained once."""
    inputs = {name for metric in metrics for name in metric.inputs}
    known: dict[str, Any] = {"labels": labels}
    if "features" in inputs:
        known["features"] = cell(features, labels, np.random.default_rng(0))
    if "class_statistics" in inputs:
        known["class_statistics"] = cell.on_statistics(class_statistics(features, labels))
    return {metric.name: metric(*[known[name] for name in metric.inputs]) for metric in metrics}


def timed(call: Callable[..., dict[str, Any]], *given: object) -> tuple[float, dict[str, Any]]:
    """Return the seconds that a call takes, and what it returns."""
    start = perf_counter()
    found = call(*given)
    return perf_counter() - start, found


def measured(shape: Sequence[int]) -> list[dict[str, Any]]:
    """Return a row for each metric, and one for all five, at (N, D, C)."""
    features, labels = made_features(*shape)
    rows = []
    for name, metrics in [(m.name, (m,)) for m in METRICS] + [("all five", METRICS)]:
        cells = [timed(one_cell, features, labels, GRID[cell], metrics) for cell in CHECKED]
        seconds, grid = timed(attract_grid, features, labels, metrics)
        cell = float(np.median([took for took, _ in cells]))
        pairs = [(grid[m][c], s) for c, (_, found) in zip(CHECKED, cells, strict=True) for m, s in found.items()]
        difference = max(abs(fast - slow) / max(abs(slow), 1e-12) for fast, slow in pairs)
        sizes = dict(zip("NDC", shape, strict=True))
        took = {"cell_s": round(cell, 3), "grid_s": round(seconds, 3), "grid / cell": round(seconds / cell, 2)}
        rows.append({"metrics": name, **sizes, **took, "difference": f"{difference:.0e}"})
        print(rows[-1], flush=True)
    return rows


def main() -> int:
    """Print every row; return 1 where the two ways differ."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attract_grid", description=__doc__)
    parser.add_argument("--shapes", type=shape, nargs="+", default=[(5000, 2048, 100)], metavar="N,D,C")
    parser.add_argument("--rows", type=Path, metavar="FILE.csv", help="where to put the rows")
    asked = parser.parse_args()
    rows = [row for size in asked.shapes for row in measured(size)]
    if asked.rows:
        pd.DataFrame(rows).to_csv(asked.rows, index=False, lineterminator="\n")
    return 0 if all(float(row["difference"]) <= 1e-6 for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
