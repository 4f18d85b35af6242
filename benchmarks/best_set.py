"""Measure how often `rank` lists the best model: ``python -m benchmarks.best_set FILE.csv --store FOLDER``.

The images of a target are split in two halves. `transfer-exp rank` searches the 23 real networks on one half, with its
defaults but without a time limit. It lists the models that may be the best: those that no model is significantly better
than. The first model of the search on the other half is the best there. Accuracies by full fine-tuning give the regret.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.halving import read_full_accuracies
from benchmarks.subset_scores import Candidates, load_real_pool
from transfer_exp import rank
from transfer_exp.evaluation.half_samples import half_samples

TARGETS = ("sign_digits10", "steel_defects6", "flowers5", "textures10")
SETTINGS: Mapping[str, Sequence[str]] = {
    "logme, pca": (),
    "logme": ("perturbation=none",),
    "knn": ("perturbation=none", "metric=knn"),
    "ncm": ("perturbation=none", "metric=ncm"),
}
"""Overrides of `rank` by the score that they select; the first score is the default."""
SPLITS = 5


def evaluate_splits(candidates: Candidates, scores: Sequence[str]) -> Iterator[dict[str, object]]:
    """Yield a row for each of the scores, split and searched half."""
    truth = read_full_accuracies()[candidates.name]
    for split, part in enumerate(half_samples(candidates.labels, SPLITS)):
        for score in scores:
            rankings = [search(candidates, half, SETTINGS[score]) for half in (part, ~part)]
            for ranking, other in (rankings, rankings[::-1]):
                row = {"target": candidates.name, "score": score, "split": split}
                yield row | evaluate_ranking(ranking, str(other["model"].iloc[0]), truth)


def search(candidates: Candidates, images: np.ndarray, settings: Sequence[str]) -> pd.DataFrame:
    """Return the output of `rank` on some images."""
    features = {name: load()[images] for name, load in candidates.features.items()}
    with tempfile.TemporaryDirectory() as store:
        overrides = [*settings, f"store={store}", "ground_truth=none"]
        return rank(features, candidates.labels[images], budget=None, settings=overrides)


def evaluate_ranking(ranking: pd.DataFrame, best: str, truth: pd.Series) -> dict[str, object]:
    """Evaluate the models that may be the best, and the first model.

    Args:
        ranking: Output of `rank`; models with ``best_rank_95`` 1 may be the best.
        best: Best model on the other half of the images.
        truth: Accuracies by model.

    Returns:
        ``named``: number of models that may be the best. ``held``, ``first``: whether ``best`` is one of them, or the
        first. ``first_loses``, ``named_lose``: regret of the first model, and of the most accurate of these models.
    """
    best_set = list(ranking.loc[ranking["best_rank_95"] == 1, "model"])
    first = str(ranking["model"].iloc[0])
    return {
        "named": len(best_set),
        "held": int(best in best_set),
        "first": int(best == first),
        "first_loses": round(float(truth.max() - truth[first]), 5),
        "named_lose": round(float(truth.max() - truth[best_set].max()), 5),
    }


def main() -> None:
    """Measure, and write the rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.best_set", description=__doc__)
    parser.add_argument("rows", type=Path, metavar="FILE.csv")
    parser.add_argument("--store", type=Path, required=True, help="store of the features; missing ones are extracted")
    parser.add_argument("--assets", type=Path, default=Path("../shared/assets"), help="networks and images")
    parser.add_argument("--targets", nargs="+", default=TARGETS)
    parser.add_argument("--scores", nargs="+", default=list(SETTINGS), choices=SETTINGS)
    options = parser.parse_args()
    rows = list[dict[str, object]]()
    for target in options.targets:
        rows += evaluate_splits(load_real_pool(target, options.store, options.assets), options.scores)
        pd.DataFrame(rows).to_csv(options.rows, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
