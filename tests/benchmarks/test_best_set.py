"""Evaluation of the models that `rank` lists as possibly the best, on images that it has not used."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest

from benchmarks import best_set
from benchmarks.best_set import evaluate_ranking, evaluate_splits
from benchmarks.subset_scores import Candidates

LABELS = np.arange(120) % 3
TRUTH = pd.Series({"clear": 0.9, "dim": 0.6, "dark": 0.4}, name="toy")


@pytest.fixture
def candidates():
    rng = np.random.default_rng(0)
    noise = dict(zip(TRUTH.index, (0.1, 1.0, 30.0), strict=True))
    features = {name: np.eye(3)[LABELS] + scale * rng.normal(size=(120, 3)) for name, scale in noise.items()}
    return Candidates("toy", LABELS, {name: partial(np.asarray, x) for name, x in features.items()})


def test_the_set_of_possibly_best_models_is_evaluated_with_the_accuracies():
    ranking = pd.DataFrame({"model": ["dim", "dark", "clear"], "best_rank_95": [1, 1, 2]})
    assert evaluate_ranking(ranking, "clear", TRUTH) == {
        "named": 2,
        "held": 0,
        "first": 0,
        "first_loses": 0.3,
        "named_lose": 0.3,
    }
    assert evaluate_ranking(ranking, "dark", TRUTH) | {"held": 1, "first": 0} == evaluate_ranking(
        ranking, "dark", TRUTH
    )


@pytest.mark.long
def test_both_halves_of_each_split_are_searched(candidates, monkeypatch):
    monkeypatch.setattr(best_set, "SPLITS", 2)
    monkeypatch.setattr(best_set, "read_full_accuracies", lambda: TRUTH.to_frame())
    rows = list(evaluate_splits(candidates, ["logme"]))
    assert [row["split"] for row in rows] == [0, 0, 1, 1]
    assert all((row["named"], row["held"], row["first"], row["first_loses"]) == (1, 1, 1, 0) for row in rows)
