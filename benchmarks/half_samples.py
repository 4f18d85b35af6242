"""Do intervals from half-samples hold what they should? ``python -m benchmarks.half_samples FILE.csv --store FOLDER``.

On made features the truth is the mean score of many probes of one size. On real ones a probe is split in two: an
interval made from one half is to hold the score of the other in 83.4 % of cases where it is right at 95 %, since the
difference of two scores varies by sqrt(2) as much as one. A bootstrap of each class is done beside it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.made import made_features
from benchmarks.probe_scores import METRICS, Candidates, Score, real
from transfer_exp.evaluation.half_samples import half_samples, score_intervals

COMPARED = ("ncm", "knn", "logme")
DRAWS, TRIALS, PROBES = 60, 50, 200
SAMPLES, DIM, CLASSES = 160, 32, 4
SPLITS, REAL_ON, EVERY = 3, "steel_defects6", 2
"""Splits in two of a real target's images, which target, and every which of its networks."""


def indices(labels: np.ndarray, way: str, seed: int) -> list[np.ndarray]:
    """Return the images of each draw: half of each class, or each class drawn with replacement."""
    if way == "half-samples":
        return [np.flatnonzero(chosen) for chosen in half_samples(labels, DRAWS, seed)]
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(labels == value) for value in np.unique(labels)]
    return [np.concatenate([rng.choice(own, len(own)) for own in members]) for _ in range(DRAWS)]


def interval(
    metric: Score, features: np.ndarray, labels: np.ndarray, way: str, seed: int
) -> tuple[float, float, float, float]:
    """Return the score, the interval, and how far the mean over draws is from the score."""
    score = metric(features, labels)
    draws = np.array([[metric(features[own], labels[own])] for own in indices(labels, way, seed)])
    low, high = score_intervals(np.array([score]), draws)[0]
    return score, float(low), float(high), float(draws.mean() - score)


def on_made_features() -> Iterator[dict[str, object]]:
    """Yield a row for each metric and way: how often the interval holds the mean score of such probes."""
    whole = SAMPLES * (PROBES + TRIALS)
    features, labels = made_features(whole, DIM, CLASSES)
    order = np.lexsort((np.arange(whole), labels)).reshape(CLASSES, -1, SAMPLES // CLASSES)
    probes = order.transpose(1, 0, 2).reshape(-1, SAMPLES)
    for name in COMPARED:
        metric = METRICS[name]
        truth = float(np.mean([metric(features[p], labels[p]) for p in probes[TRIALS:]]))
        for way in ("half-samples", "bootstrap"):
            found = [interval(metric, features[p], labels[p], way, i) for i, p in enumerate(probes[:TRIALS])]
            held = [low <= truth <= high for _, low, high, _ in found]
            yield _row("made", name, way, 0.95, held, found, float(np.std([f[0] for f in found], ddof=1)))


def on_real_features(candidates: Candidates) -> Iterator[dict[str, object]]:
    """Yield a row for each metric and way: how often the interval from one half of the images holds the other's."""
    names = list(candidates.features)[::EVERY]
    parts = half_samples(candidates.labels, SPLITS)
    for name in COMPARED:
        metric = METRICS[name]
        for way in ("half-samples", "bootstrap"):
            held, found, gaps = [], [], []
            for split, part in enumerate(parts):
                for model in names:
                    features, labels = candidates.features[model](), candidates.labels
                    found.append(interval(metric, features[part], labels[part], way, split))
                    other = metric(features[~part], labels[~part])
                    held.append(found[-1][1] <= other <= found[-1][2])
                    gaps.append((other - found[-1][0]) / np.sqrt(2))
            yield _row(candidates.name, name, way, 0.834, held, found, float(np.sqrt(np.mean(np.square(gaps)))))


def _row(
    features: str,
    metric: str,
    way: str,
    aim: float,
    held: list[bool],
    found: list[tuple[float, float, float, float]],
    deviation: float,
) -> dict[str, object]:
    """Return coverage, and width and bias of draws in units of the standard deviation between probes."""
    width = np.mean([high - low for _, low, high, _ in found]) / (2 * 1.96 * deviation)
    bias = np.mean([bias for *_, bias in found]) / deviation
    row: dict[str, object] = {"features": features, "metric": metric, "draws": way, "aim": aim, "cases": len(held)}
    return row | {
        "held": round(float(np.mean(held)), 3),
        "width": round(float(width), 2),
        "bias": round(float(bias), 1),
    }


def main() -> None:
    """Measure, and keep the rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.half_samples", description=__doc__)
    parser.add_argument("rows", type=Path, metavar="FILE.csv")
    parser.add_argument("--store", type=Path, required=True, help="where features are, or will be")
    parser.add_argument("--assets", type=Path, default=Path("../shared/assets"), help="networks and images")
    asked = parser.parse_args()
    rows = []
    for row in chain(on_made_features(), on_real_features(real(REAL_ON, asked.store, asked.assets))):
        print(row, flush=True)
        rows.append(row)
    pd.DataFrame(rows).to_csv(asked.rows, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
