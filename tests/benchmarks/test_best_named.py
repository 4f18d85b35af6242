"""What `rank` names as the best is held against images that it has not seen."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest

from benchmarks import best_named
from benchmarks.best_named import elsewhere, judged, on
from benchmarks.probe_scores import Candidates

LABELS = np.arange(120) % 3
TRUTH = pd.Series({"clear": 0.9, "dim": 0.6, "dark": 0.4}, name="toy")


@pytest.fixture
def candidates():
    rng = np.random.default_rng(0)
    noise = dict(zip(TRUTH.index, (0.1, 1.0, 30.0), strict=True))
    features = {name: np.eye(3)[LABELS] + by * rng.normal(size=(120, 3)) for name, by in noise.items()}
    return Candidates("toy", LABELS, {name: partial(np.asarray, own) for name, own in features.items()})


def test_the_best_elsewhere_is_of_the_images_given(candidates):
    assert elsewhere(candidates, "ncm", np.arange(120) < 60) == "clear"
    swapped = {name: own() for name, own in candidates.features.items()}
    swapped["clear"] = np.where(np.arange(120)[:, None] < 60, swapped["clear"], 1e3 * swapped["dark"])
    mixed = Candidates("toy", LABELS, {name: partial(np.asarray, own) for name, own in swapped.items()})
    assert elsewhere(mixed, "ncm", np.arange(120) < 60) == "clear"
    assert elsewhere(mixed, "ncm", np.arange(120) >= 60) == "dim"


def test_what_is_named_is_counted_and_judged_by_the_accuracies():
    found = pd.DataFrame({"model": ["dim", "dark", "clear"], "best_rank": [1, 1, 2]})
    assert judged(found, "clear", TRUTH) == {
        "named": 2,
        "held": 0,
        "first": 0,
        "first_loses": 0.3,
        "named_lose": 0.3,
    }
    assert judged(found, "dark", TRUTH) | {"held": 1, "first": 0} == judged(found, "dark", TRUTH)


@pytest.mark.slow
def test_both_halves_of_each_split_are_searched(candidates, monkeypatch):
    monkeypatch.setattr(best_named, "SPLITS", 2)
    monkeypatch.setattr(best_named, "SETTINGS", {"logme": best_named.SETTINGS["logme"]})
    monkeypatch.setattr(best_named, "accuracies", lambda: TRUTH.to_frame())
    rows = list(on(candidates))
    assert [row["split"] for row in rows] == [0, 0, 1, 1]
    assert all((row["named"], row["held"], row["first"], row["first_loses"]) == (1, 1, 1, 0) for row in rows)
