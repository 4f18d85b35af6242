"""Searching a pool: the best of all images from fewer, reasons for who is left out, and how sure the order is."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from transfer_exp.dataset.arrays import arrays
from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.evaluation.halving import Halving
from transfer_exp.evaluation.ranking import Ranking
from transfer_exp.experiment.experiment import Experiment
from transfer_exp.experiment.search import PoolSearch
from transfer_exp.ground_truth.none import NoGroundTruth
from transfer_exp.metric.logme import LogME
from transfer_exp.metric.ncm import NCM
from transfer_exp.model_pool.arrays import arrays as arrays_pool
from transfer_exp.model_pool.builtin import builtin
from transfer_exp.model_pool.pool import Candidate, ModelPool
from transfer_exp.perturbation.none import NoPerturbation
from transfer_exp.statistics.class_statistics import class_statistics

LABELS = {"perturbation": "none", "metric": "logme"}
NOISES = {"best": 0.5, "good": 1.0, "fair": 2.0, "poor": 4.0, "worst": 9.0, "none": 90.0}


@pytest.fixture
def folder(tmp_path):
    """Return npz files of models whose classes lie the further apart, the better the model."""
    rng = np.random.default_rng(0)
    labels = np.arange(240) % 4
    for name, noise in NOISES.items():
        features = np.eye(4, 8)[labels] * 4 + noise * rng.normal(size=(240, 8))
        np.savez(tmp_path / f"{name}.npz", features=features, labels=labels)
    return tmp_path


@pytest.fixture
def search(folder, store):
    halving = Halving(first=24, top=2, stable=2)
    how = {"device": "cpu", "batch_size": 16, "workers": 0, "seed": 0, "store": store, "draws": 20, "seconds": None}
    parts = {"metric": LogME(), "perturbation": NoPerturbation(), "ground_truth": NoGroundTruth(), "halving": halving}
    return PoolSearch(arrays_pool(str(folder)), arrays(str(folder)), **parts, **how)


def test_the_best_are_found_and_those_of_the_last_round_see_all_images(search):
    found, seen = search.run(LABELS)
    assert [model.model for model in found.models] == list(NOISES)
    assert [model.rank for model in found.models] == [1, 2, 3, 4, 5, 6]
    assert found.models[0].images == found.images == 240
    assert found.models[-1].images == 24
    assert found.pushed < 0.7 * 240 * 6
    assert set(seen.scoring_sets) == {model.model for model in found.models if model.images == 240}
    best = found.models[0]
    features = arrays(search.dataset.files["best"].parent.as_posix()).feature_set("best", "scoring_set")
    assert best.score == pytest.approx(LogME()(class_statistics(features.features, features.labels)), rel=1e-6)


def test_what_is_sure_is_said_of_the_last_round_alone(search):
    found, _ = search.run(LABELS)
    last = [model for model in found.models if model.images == found.images]
    for model in last:
        assert model.low < model.score < model.high
        assert 1 <= model.best_rank <= model.worst_rank <= len(last)
        assert 0 <= model.expected_low <= model.expected <= model.expected_high <= 1
    assert found.best == ("best",), "it is far above the others"
    assert found.regret >= 0
    assert all(model.low is model.best_rank is model.expected is None for model in found.models[len(last) :])


def test_models_alike_cannot_be_told_apart(search, folder):
    features = dict(np.load(folder / "best.npz"))
    features["features"] = features["features"] + 0.01 * np.random.default_rng(1).normal(size=(240, 8))
    np.savez(folder / "twin.npz", **features)
    found, _ = replace(search, pool=arrays_pool(str(folder)), dataset=arrays(str(folder))).run(LABELS)
    assert set(found.best) == {"best", "twin"}


def test_time_that_is_up_leaves_models_out_by_name(search, monkeypatch):
    monkeypatch.setattr("transfer_exp.features.nested_subsets.time.perf_counter", map(float, count()).__next__)
    found, _ = replace(search, seconds=7.0).run(LABELS)
    left_out = [model for model in found.models if model.rank is None]
    assert [model.model for model in left_out] == sorted(NOISES)[4:], "four seconds for four models, of seven in all"
    assert all("raise the budget" in model.reason for model in left_out)
    assert found.models[0].images < found.images, "there was no time to show all images to anybody"
    assert any("not on all" in note for note in found.notes)


def test_a_budget_that_the_first_look_used_up_is_no_error(search):
    found, _ = replace(search, seconds=1e-9).run(LABELS)
    assert sum(model.rank is not None for model in found.models) == search.halving.top + 1


def test_a_model_that_fails_on_all_images_is_left_out_of_the_last_round(search, monkeypatch):
    whole = type(search)._shown_all

    def broken(self, nested_subsets, held):
        pairings = whole(self, nested_subsets, held)
        features = pairings["best"].scoring_set.features.copy()
        features[0, 0] = np.nan
        scoring_set = replace(pairings["best"].scoring_set, features=features)
        return {**pairings, "best": replace(pairings["best"], scoring_set=scoring_set)}

    monkeypatch.setattr(type(search), "_shown_all", broken)
    found, _ = search.run(LABELS)
    assert found.models[0].model == "good"
    assert found.models[0].best_rank == 1
    assert "best" in {model.model for model in found.models if model.reason}


def _without_weights():
    raise InputError("no weights: connect")


def _too_small():
    raise NotApplicableError("takes no images of this size")


def test_models_that_cannot_be_used_are_left_out_with_their_reasons(search, dataset):
    fine = builtin(("resnet_glyphs", "vit_shapes", "convnext_textures"))
    broken = (Candidate("gone", _without_weights), Candidate("small", _too_small))
    pool = ModelPool("mixed", (*broken, *fine.candidates))
    found, _ = replace(search, pool=pool, dataset=dataset, metric=NCM()).run({**LABELS, "metric": "ncm"})
    assert {model.model: model.reason for model in found.models if model.rank is None} == {
        "gone": "no weights: connect",
        "small": "takes no images of this size",
    }
    assert {model.model for model in found.models[:3]} == {c.name for c in fine.candidates}
    with pytest.raises(InputError, match="no model of mixed can be scored on coloured; gone: no weights: connect"):
        replace(search, pool=ModelPool("mixed", broken), dataset=dataset).run(LABELS)


def test_no_image_is_pushed_twice_and_a_second_search_pushes_none(search, dataset, monkeypatch):
    pool = builtin(("resnet_glyphs", "vit_shapes", "convnext_textures"))
    search = replace(search, pool=pool, dataset=dataset, halving=Halving(first=9, top=1, stable=2))
    first, _ = search.run(LABELS)
    assert first.pushed <= 3 * len(dataset.scoring_set)
    monkeypatch.setattr("transfer_exp.features.extraction.Extractor.compute", lambda *a: pytest.fail("pushed again"))
    again, _ = search.run(LABELS)
    assert again.models == first.models


@pytest.fixture
def small_pool(search, dataset):
    """Return a search of three networks, all of which see all images, and a run on the same scoring set."""
    pool = builtin(("resnet_glyphs", "vit_shapes", "convnext_textures"))
    search = replace(search, pool=pool, dataset=dataset, halving=Halving(first=9, top=3, stable=9))
    how = {"store": search.store, "device": "cpu", "batch_size": 16, "workers": 0, "seed": 0}
    parts = {"metric": LogME(), "perturbation": NoPerturbation(), "ground_truth": NoGroundTruth()}
    return search, Experiment(pool, dataset, **parts, evaluation=Ranking(), **how)


def _scores(models):
    return {model.model: model.score for model in models}


def test_a_run_after_a_search_extracts_nothing_and_scores_the_same(small_pool, monkeypatch):
    search, run = small_pool
    found, _ = search.run(LABELS)
    monkeypatch.setattr("transfer_exp.features.extraction.Extractor.compute", lambda *a: pytest.fail("pushed again"))
    scored = run.run({**LABELS, "ground_truth": "none"})
    assert _scores(scored.models) == pytest.approx(_scores(found.models), rel=1e-9)


def test_a_search_after_a_run_extracts_nothing_and_scores_the_same(small_pool, monkeypatch):
    search, run = small_pool
    scored = run.run({**LABELS, "ground_truth": "none"})
    monkeypatch.setattr("transfer_exp.features.extraction.Extractor.compute", lambda *a: pytest.fail("pushed again"))
    found, _ = search.run(LABELS)
    assert _scores(found.models) == pytest.approx(_scores(scored.models), rel=1e-9)


def test_too_few_images_of_a_class_and_unknown_metrics_are_notes(search, dataset):
    small = arrays(str(next(iter(search.dataset.files.values())).parent), scoring_set_size=12)
    found, _ = replace(search, dataset=small, halving=Halving(first=8, top=1)).run({**LABELS, "metric": "mine"})
    assert any(note.startswith("no intervals of scores: some class has fewer than 4") for note in found.notes)
    assert any(note.startswith("no expected accuracy: ") for note in found.notes)
    assert found.regret is None
    assert found.best == (found.models[0].model,)
