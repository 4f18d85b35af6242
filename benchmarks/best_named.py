"""Is the best among those that `rank` names? ``python -m benchmarks.best_named FILE.csv --store FOLDER``.

The images of a target are split in two. `transfer-exp rank`, by its defaults but for the time, searches the 23 real
networks on one half and names those that cannot be told from the best. The other half, which nobody has looked at, says
by the same score on all of it which network is the best there; accuracies by full fine-tuning say what is lost.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.halving import accuracies
from benchmarks.probe_scores import METRICS, Candidates, real
from transfer_exp import rank
from transfer_exp.evaluation.half_samples import half_samples

TARGETS = ("sign_digits10", "steel_defects6", "flowers5", "textures10")
SETTINGS: Mapping[str, Sequence[str]] = {
    "logme, pca": (),
    "logme": ("perturbation=none",),
    "knn": ("perturbation=none", "metric=knn"),
    "ncm": ("perturbation=none", "metric=ncm"),
}
"""What is typed, by the score that it asks for: the first is what `rank` does by default."""
SPLITS = 5


def on(candidates: Candidates) -> Iterator[dict[str, object]]:
    """Yield a row for each score, split, and half that is searched."""
    truth = accuracies()[candidates.name]
    for split, part in enumerate(half_samples(candidates.labels, SPLITS)):
        for half in (part, ~part):
            features = {name: own()[half] for name, own in candidates.features.items()}
            with tempfile.TemporaryDirectory() as store:
                for score, settings in SETTINGS.items():
                    typed = [*settings, f"store={store}", "ground_truth=none"]
                    found = rank(features, candidates.labels[half], budget=None, settings=typed)
                    other = elsewhere(candidates, score, ~half)
                    yield {"target": candidates.name, "score": score, "split": split} | judged(found, other, truth)


def elsewhere(candidates: Candidates, score: str, images: np.ndarray) -> str:
    """Return the best network by a score on some images."""
    scores = {
        name: METRICS[score](own()[images], candidates.labels[images]) for name, own in candidates.features.items()
    }
    return max(scores, key=lambda name: scores[name])


def judged(found: pd.DataFrame, best: str, truth: pd.Series) -> dict[str, object]:
    """Return how many are named, whether the best elsewhere is, and what the first, and the best named, lose."""
    named = list(found.loc[found["best_rank"] == 1, "model"])
    first = str(found["model"].iloc[0])
    return {
        "named": len(named),
        "held": int(best in named),
        "first": int(best == first),
        "first_loses": round(float(truth.max() - truth[first]), 5),
        "named_lose": round(float(truth.max() - truth[named].max()), 5),
    }


def main() -> None:
    """Measure, and keep the rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.best_named", description=__doc__)
    parser.add_argument("rows", type=Path, metavar="FILE.csv")
    parser.add_argument("--store", type=Path, required=True, help="where features are, or will be")
    parser.add_argument("--assets", type=Path, default=Path("../shared/assets"), help="networks and images")
    parser.add_argument("--targets", nargs="+", default=TARGETS)
    asked = parser.parse_args()
    rows = list[dict[str, object]]()
    for target in asked.targets:
        rows += on(real(target, asked.store, asked.assets))
        pd.DataFrame(rows).to_csv(asked.rows, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
