"""Measure the coverage of score intervals: ``python -m benchmarks.half_samples FILE.csv --store FOLDER``.

On synthetic features the truth is the mean score of many scoring sets of one size. On real features a scoring set is
split in two halves, and the interval from one half should contain the score of the other. An exact 95 % interval does
so in 83.4 % of cases, because the difference of two scores has sqrt(2) times the standard deviation of one. Intervals
from half-samples are compared with a bootstrap of each class.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.subset_scores import METRICS, Candidates, ScoreFunction, load_real_pool
from transfer_exp.evaluation.half_samples import half_samples, score_intervals
from transfer_exp.leaderboard.costs import synthetic_features

COMPARED = ("ncm", "knn", "logme")
METHODS = ("half-samples", "bootstrap")
DRAWS, TRIALS, TRUTH_SETS = 60, 50, 200
"""Draws per interval, scoring sets with an interval, and scoring sets whose mean score is the truth."""
SAMPLES, DIM, CLASSES = 160, 32, 4
SPLITS, REAL_TARGET, MODEL_STEP = 3, "steel_defects6", 2
"""Splits of a real target's images, the target, and the step between the networks used."""


class Interval(NamedTuple):
    """Score with its interval, and the difference between the mean over draws and the score."""

    score: float
    low: float
    high: float
    bias: float


def draw_indices(labels: np.ndarray, method: str, seed: int) -> list[np.ndarray]:
    """Return the images of each draw: half of each class, or each class drawn with replacement."""
    if method == "half-samples":
        return [np.flatnonzero(mask) for mask in half_samples(labels, DRAWS, seed)]
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(labels == value) for value in np.unique(labels)]
    return [np.concatenate([rng.choice(indices, len(indices)) for indices in members]) for _ in range(DRAWS)]


def compute_interval(
    metric: ScoreFunction, features: np.ndarray, labels: np.ndarray, method: str, seed: int
) -> Interval:
    """Return the score on all images with the interval from the draws."""
    score = metric(features, labels)
    draws = np.array([[metric(features[i], labels[i])] for i in draw_indices(labels, method, seed)])
    low, high = score_intervals(np.array([score]), draws)[0]
    return Interval(score, float(low), float(high), float(draws.mean() - score))


def on_synthetic_features() -> Iterator[dict[str, object]]:
    """Yield a row for each metric and method: how often the interval contains the mean score."""
    total = SAMPLES * (TRUTH_SETS + TRIALS)
    features, labels = synthetic_features(total, DIM, CLASSES)
    order = np.lexsort((np.arange(total), labels)).reshape(CLASSES, -1, SAMPLES // CLASSES)
    scoring_sets = order.transpose(1, 0, 2).reshape(-1, SAMPLES)
    for name in COMPARED:
        metric = METRICS[name]
        truth = float(np.mean([metric(features[s], labels[s]) for s in scoring_sets[TRIALS:]]))
        for method in METHODS:
            intervals = [
                compute_interval(metric, features[s], labels[s], method, seed)
                for seed, s in enumerate(scoring_sets[:TRIALS])
            ]
            covered = [interval.low <= truth <= interval.high for interval in intervals]
            deviation = float(np.std([interval.score for interval in intervals], ddof=1))
            yield _row("synthetic", name, method, 0.95, covered, intervals, deviation)


def on_real_features(candidates: Candidates) -> Iterator[dict[str, object]]:
    """Yield a row for each metric and method: how often the interval from one half contains the score of the other."""
    names = list(candidates.features)[::MODEL_STEP]
    halves = half_samples(candidates.labels, SPLITS)
    for name in COMPARED:
        metric = METRICS[name]
        for method in METHODS:
            covered, intervals, gaps = [], [], []
            for split, half in enumerate(halves):
                for model in names:
                    features, labels = candidates.features[model](), candidates.labels
                    interval = compute_interval(metric, features[half], labels[half], method, split)
                    second_score = metric(features[~half], labels[~half])
                    intervals.append(interval)
                    covered.append(interval.low <= second_score <= interval.high)
                    gaps.append((second_score - interval.score) / np.sqrt(2))
            deviation = float(np.sqrt(np.mean(np.square(gaps))))
            yield _row(candidates.name, name, method, 0.834, covered, intervals, deviation)


def _row(
    features: str,
    metric: str,
    method: str,
    aim: float,
    covered: Sequence[bool],
    intervals: Sequence[Interval],
    deviation: float,
) -> dict[str, object]:
    """Return coverage, and width and bias in units of the standard deviation between scoring sets."""
    width = np.mean([interval.high - interval.low for interval in intervals]) / (2 * 1.96 * deviation)
    bias = np.mean([interval.bias for interval in intervals]) / deviation
    row = {"features": features, "metric": metric, "draws": method, "aim": aim, "cases": len(covered)}
    return row | {
        "held": round(float(np.mean(covered)), 3),
        "width": round(float(width), 2),
        "bias": round(float(bias), 1),
    }


def main() -> None:
    """Measure, and write the rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.half_samples", description=__doc__)
    parser.add_argument("rows", type=Path, metavar="FILE.csv")
    parser.add_argument("--store", type=Path, required=True, help="store of the features; missing ones are extracted")
    parser.add_argument("--assets", type=Path, default=Path("../shared/assets"), help="networks and images")
    options = parser.parse_args()
    candidates = load_real_pool(REAL_TARGET, options.store, options.assets)
    rows = []
    for row in chain(on_synthetic_features(), on_real_features(candidates)):
        print(row, flush=True)
        rows.append(row)
    pd.DataFrame(rows).to_csv(options.rows, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
