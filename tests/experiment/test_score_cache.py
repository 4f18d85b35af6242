"""Scores that the store remembers: read where all that decides them is as it was, else computed anew."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import pytest

from transfer_exp.errors import InputError
from transfer_exp.experiment import score_cache as module
from transfer_exp.experiment.score_cache import open_score_cache
from transfer_exp.experiment.scoring import Scoring
from transfer_exp.features.extraction import Extractor
from transfer_exp.features.model_on_target import ModelArrays, pair
from transfer_exp.ground_truth.none import NoGroundTruth
from transfer_exp.metric.knn import KNN
from transfer_exp.metric.logme import LogME
from transfer_exp.metric.parameter_count import ParameterCount
from transfer_exp.model_pool.builtin import builtin
from transfer_exp.perturbation.attract import Attract
from transfer_exp.perturbation.none import NoPerturbation
from transfer_exp.perturbation.strength_path import StrengthPath
from transfer_exp.progress import progress_bars

NAMES = ("resnet_glyphs", "vit_shapes")
SCORING = Scoring(KNN(), NoPerturbation(), 0)


@pytest.fixture
def pairings(store, dataset):
    """Return what pairs the models with the target anew, as each run does."""

    def make(target=dataset, names=NAMES, where=store):
        with progress_bars(1, "models") as (track, _):
            extractor = Extractor(where, "cpu", 16, 0, track)
        return [pair(candidate, target, extractor) for candidate in builtin(names).candidates]

    return make


def _run(store, pairings, scoring=SCORING):
    """Score models, and return the parts of each and how many were read."""
    with open_score_cache(scoring, store, "target") as kept:
        found = [kept.parts(pairing, NoGroundTruth()) for pairing in pairings]
    return found, sum(pairing.cache_hits.get("scores", False) for pairing in pairings)


def test_a_second_run_reads_to_the_last_digit_and_needs_no_features(store, pairings, monkeypatch):
    first, read = _run(store, pairings())
    assert read == 0
    assert first == [SCORING.parts(pairing, NoGroundTruth()) for pairing in pairings()]
    monkeypatch.setattr(Scoring, "parts", lambda *_: pytest.fail("scored again"))
    monkeypatch.setattr(Extractor, "__call__", lambda *_: pytest.fail("read features"))
    assert _run(store, pairings()) == (first, 2)


def test_the_steps_of_a_path_come_back_in_their_order(store, pairings):
    path = Scoring(LogME(), StrengthPath(Attract(), "alpha", (0.0, 0.5, 2.0, 10.0)), 0)
    computed, read = (_run(store, pairings(), path) for _ in range(2))
    assert read[1] == 2
    assert [list(parts) for parts in read[0]] == [["alpha=0", "alpha=0.5", "alpha=2", "alpha=10"]] * 2
    assert path.combine(read[0]) == path.combine(computed[0])


def test_models_are_added_to_what_is_there(store, pairings):
    _run(store, pairings(names=NAMES[:1]))
    assert _run(store, pairings())[1] == 1
    assert _run(store, pairings())[1] == 2
    assert len(list((store.root / "scores").rglob("*.json"))) == 1


@pytest.mark.parametrize(
    "other",
    [
        Scoring(KNN(k=3), NoPerturbation(), 0),
        Scoring(KNN(), Attract(), 0),
        Scoring(KNN(), NoPerturbation(), 1),
        Scoring(LogME(), NoPerturbation(), 0),
    ],
)
def test_another_metric_perturbation_or_seed_is_scored_anew(store, pairings, other):
    _run(store, pairings())
    assert _run(store, pairings(), other)[1] == 0


def test_other_images_labels_or_code_are_scored_anew(store, pairings, dataset, monkeypatch):
    _run(store, pairings())
    shifted = replace(dataset.scoring_set, labels=np.roll(dataset.scoring_set.labels, 1))
    assert _run(store, pairings(replace(dataset, scoring_set=shifted)))[1] == 0
    monkeypatch.setattr("transfer_exp.experiment.fingerprint.code_of", lambda _: "other")
    assert _run(store, pairings())[1] == 0


@dataclass(frozen=True)
class _NoSettings(KNN):
    """A metric with more to it than its fields are told to say."""

    pool: object = None


@dataclass(frozen=True)
class _Undefined(KNN):
    def __call__(self, features, labels):
        return float("nan")


@pytest.mark.parametrize(
    "metric", [ParameterCount(), _Undefined(), replace(_NoSettings(), pool=object())], ids=["model", "nan", "unknown"]
)
def test_what_goes_by_more_than_features_or_is_no_number_is_not_kept(store, pairings, metric):
    for _ in range(2):
        assert _run(store, pairings(), Scoring(metric, NoPerturbation(), 0))[1] == 0
    assert not (store.root / "scores").exists()


def test_arrays_of_the_user_are_scored_each_time(store, tmp_path):
    from transfer_exp.dataset.arrays import arrays

    labels = np.arange(20) % 2
    for scale in (1.0, 2.0):
        np.savez(tmp_path / "net.npz", features=scale * np.eye(2)[labels], labels=labels)
        _run(store, [ModelArrays("net", arrays(str(tmp_path)))], Scoring(KNN(), NoPerturbation(), 0))
    assert not (store.root / "scores").exists()


def test_what_was_scored_before_an_error_is_kept(store, pairings):
    class _Breaks(Exception):
        pass

    with suppress(_Breaks), open_score_cache(SCORING, store, "target") as kept:
        kept.parts(pairings()[0], NoGroundTruth())
        raise _Breaks
    assert _run(store, pairings())[1] == 1


def test_long_cells_are_kept_on_the_way(store, pairings, monkeypatch):
    monkeypatch.setattr(module, "_SECONDS", -1.0)
    with open_score_cache(SCORING, store, "target") as kept:
        for pairing in pairings():
            kept.parts(pairing, NoGroundTruth())
        assert _run(store, pairings())[1] == 2


def test_a_store_that_cannot_be_written_is_said_and_scores_are_there(store, pairings, monkeypatch, caplog):
    expected, _ = _run(store, pairings())

    def refuse(*_):
        raise InputError("cannot write to the store")

    monkeypatch.setattr(type(store), "add", refuse)
    other = replace(SCORING, seed=1)
    assert _run(store, pairings(), other) == (expected, 0)
    assert "scores are not kept: cannot write to the store" in caplog.text


def test_damaged_scores_are_said_and_scored_anew(store, pairings, caplog):
    first, _ = _run(store, pairings())
    (path,) = (store.root / "scores").rglob("*.json")
    path.write_text(path.read_text().replace("score", "scare", 1))
    assert _run(store, pairings()) == (first, 0)
    assert "damaged" in caplog.text
    assert _run(store, pairings()) == (first, 2)


def test_a_score_that_is_read_counts_its_features_as_used_if_they_are_there(store, pairings):
    _run(store, pairings())
    again = pairings()
    _run(store, again)
    assert [len(list(pairing.cache_references())) for pairing in again] == [1, 1]
    for path in (store.root / "features").rglob("*.safetensors"):
        path.unlink()
    again = pairings()
    assert _run(store, again)[1] == 2
    assert [list(pairing.cache_references()) for pairing in again] == [[], []]
