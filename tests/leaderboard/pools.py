"""A small pool of rows for the tests of the leaderboard."""

from __future__ import annotations

import numpy as np
import pandas as pd

from transfer_exp.leaderboard.rows import PoolRows

MODELS = tuple(f"model_{i}" for i in range(8))
TARGETS = {"a": "first", "b": "first", "c": "second", "d": "third", "e": "fourth", "f": "fifth", "g": "sixth"}


def small_pool(seed=0, families=TARGETS, **changes):
    """Return rows of four metrics, of which ``noise`` is noise; PCA changes all but ``parameter_count``."""
    rng = np.random.default_rng(seed)
    truth = {
        regime: {t: rng.permutation(np.linspace(0.2, 0.9, len(MODELS))) for t in families}
        for regime in ("full", "probe")
    }
    scores = {}
    size = rng.permutation(len(MODELS)) * 1.0
    for target in families:
        mean = (truth["full"][target] + truth["probe"][target]) / 2
        for perturbation in ("none", "pca"):
            for metric, spread in (("good", 0.05), ("fair", 0.3), ("noise", 10.0)):
                scores[target, "all", "0", perturbation, metric] = mean + spread * rng.normal(size=len(MODELS))
            scores[target, "all", "0", perturbation, "parameter_count"] = size
    names = ["dataset", "images_per_class", "seed", "perturbation", "metric"]
    table = pd.DataFrame(list(scores.values()), pd.MultiIndex.from_tuples(scores, names=names), list(MODELS))
    accuracies = {regime: pd.DataFrame(by_target, list(MODELS)).T for regime, by_target in truth.items()}
    costs = {("none", "good"): 0.5, ("pca", "good"): 0.1, ("none", "fair"): 0.02}
    return PoolRows(
        **{"name": "small", "scores": table, "accuracies": accuracies, "families": families, "costs": costs, **changes}
    )
