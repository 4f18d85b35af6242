"""Search of a pool: the best models from fewer images, reasons for models left out, and the intervals of the order."""

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
    """Return a folder of npz files; the better the model, the further apart are its classes."""
    rng = np.random.default_rng(0)
    labels = np.arange(240) % 4
    for name, noise in NOISES.items():
        features = np.eye(4, 8)[labels] * 4 + noise * rng.normal(size=(240, 8))
        np.savez(tmp_path / f"{name}.npz", features=features, labels=labels)
    return tmp_path


@pytest.fixture
def search(folder, store):
    halving = Halving(first=24, top=2, stable=2)
    settings = {
        "device": "cpu",
        "batch_size": 16,
        "workers": 0,
        "seed": 0,
        "store": store,
        "draws": 20,
        "seconds": None,
    }
    parts = {"metric": LogME(), "perturbation": NoPerturbation(), "ground_truth": NoGroundTruth(), "halving": halving}
    return PoolSearch(arrays_pool(str(folder)), arrays(str(folder)), **parts, **settings)


def test_the_ranking_is_right_and_only_finalists_are_scored_on_all_images(search):
    result, run_log = search.run(LABELS)
    assert [model.model for model in result.models] == list(NOISES)
    assert [model.rank for model in result.models] == [1, 2, 3, 4, 5, 6]
    assert result.models[0].images == result.images == 240
    assert result.models[-1].images == 24
    assert result.forward_passes < 0.7 * 240 * 6
    assert set(run_log.scoring_sets) == {model.model for model in result.models if model.images == 240}
    best = result.models[0]
    features = arrays(search.dataset.sources["best"].content.parent.as_posix()).feature_set("best", "scoring_set")
    assert best.score == pytest.approx(LogME()(class_statistics(features.features, features.labels)), rel=1e-6)


def test_only_finalists_have_intervals(search):
    result, _ = search.run(LABELS)
    finalists = [model for model in result.models if model.images == result.images]
    for model in finalists:
        assert model.low < model.score < model.high
        assert 1 <= model.best_rank <= model.worst_rank <= len(finalists)
        assert 0 <= model.expected_low <= model.expected <= model.expected_high <= 1
    assert result.best == ("best",), "its classes are the furthest apart"
    assert result.regret >= 0
    assert all(model.low is model.best_rank is model.expected is None for model in result.models[len(finalists) :])


def test_two_almost_equal_models_may_both_be_the_best(search, folder):
    features = dict(np.load(folder / "best.npz"))
    features["features"] = features["features"] + 0.01 * np.random.default_rng(1).normal(size=(240, 8))
    np.savez(folder / "twin.npz", **features)
    result, _ = replace(search, pool=arrays_pool(str(folder)), dataset=arrays(str(folder))).run(LABELS)
    assert set(result.best) == {"best", "twin"}


def test_models_that_the_time_budget_excludes_are_listed_with_the_reason(search, monkeypatch):
    monkeypatch.setattr("transfer_exp.features.nested_subsets.time.perf_counter", map(float, count()).__next__)
    result, _ = replace(search, seconds=7.0).run(LABELS)
    left_out = [model for model in result.models if model.rank is None]
    assert [model.model for model in left_out] == sorted(NOISES)[4:], "four models took four of seven seconds"
    assert all("raise the budget" in model.reason for model in left_out)
    assert result.models[0].images < result.images, "there was no time for all images"
    assert any("not on all" in note for note in result.notes)


def test_a_budget_spent_on_the_first_images_is_not_an_error(search):
    result, _ = replace(search, seconds=1e-9).run(LABELS)
    assert sum(model.rank is not None for model in result.models) == search.halving.top + 1


def test_a_finalist_that_fails_on_all_images_is_left_out(search, monkeypatch):
    extract_finalists = type(search)._extract_finalists

    def broken(self, *arguments):
        pairings = extract_finalists(self, *arguments)
        features = pairings["best"].scoring_set.features.copy()
        features[0, 0] = np.nan
        scoring_set = replace(pairings["best"].scoring_set, features=features)
        return {**pairings, "best": replace(pairings["best"], scoring_set=scoring_set)}

    monkeypatch.setattr(type(search), "_extract_finalists", broken)
    result, _ = search.run(LABELS)
    assert result.models[0].model == "good"
    assert result.models[0].best_rank == 1
    assert "best" in {model.model for model in result.models if model.reason}


def _without_weights():
    raise InputError("no weights: connect")


def _too_small():
    raise NotApplicableError("takes no images of this size")


def test_unusable_models_are_listed_with_their_reasons(search, dataset):
    usable = builtin(("resnet_glyphs", "vit_shapes", "convnext_textures"))
    broken = (Candidate("gone", _without_weights), Candidate("small", _too_small))
    pool = ModelPool("mixed", (*broken, *usable.candidates))
    result, _ = replace(search, pool=pool, dataset=dataset, metric=NCM()).run({**LABELS, "metric": "ncm"})
    assert {model.model: model.reason for model in result.models if model.rank is None} == {
        "gone": "no weights: connect",
        "small": "takes no images of this size",
    }
    assert {model.model for model in result.models[:3]} == {c.name for c in usable.candidates}
    with pytest.raises(InputError, match="no model of mixed can be scored on coloured; gone: no weights: connect"):
        replace(search, pool=ModelPool("mixed", broken), dataset=dataset).run(LABELS)


def test_no_image_is_extracted_twice_and_a_second_search_extracts_none(search, dataset, monkeypatch):
    pool = builtin(("resnet_glyphs", "vit_shapes", "convnext_textures"))
    search = replace(search, pool=pool, dataset=dataset, halving=Halving(first=9, top=1, stable=2))
    first, _ = search.run(LABELS)
    assert first.forward_passes <= 3 * len(dataset.scoring_set)
    monkeypatch.setattr("transfer_exp.features.extraction.Extractor.compute", lambda *a: pytest.fail("extracted again"))
    again, _ = search.run(LABELS)
    assert again.models == first.models


@pytest.fixture
def small_pool(search, dataset):
    """Return a search of three networks that scores all images, and an experiment on the same scoring set."""
    pool = builtin(("resnet_glyphs", "vit_shapes", "convnext_textures"))
    search = replace(search, pool=pool, dataset=dataset, halving=Halving(first=9, top=3, stable=9))
    settings = {"store": search.store, "device": "cpu", "batch_size": 16, "workers": 0, "seed": 0}
    parts = {"metric": LogME(), "perturbation": NoPerturbation(), "ground_truth": NoGroundTruth()}
    return search, Experiment(pool, dataset, **parts, evaluation=Ranking(), **settings)


def _scores(models):
    return {model.model: model.score for model in models}


def test_a_run_after_a_search_extracts_nothing_and_scores_the_same(small_pool, monkeypatch):
    search, experiment = small_pool
    result, _ = search.run(LABELS)
    monkeypatch.setattr("transfer_exp.features.extraction.Extractor.compute", lambda *a: pytest.fail("extracted again"))
    cell = experiment.run({**LABELS, "ground_truth": "none"})
    assert _scores(cell.models) == pytest.approx(_scores(result.models), rel=1e-9)


def test_a_search_after_a_run_extracts_nothing_and_scores_the_same(small_pool, monkeypatch):
    search, experiment = small_pool
    cell = experiment.run({**LABELS, "ground_truth": "none"})
    monkeypatch.setattr("transfer_exp.features.extraction.Extractor.compute", lambda *a: pytest.fail("extracted again"))
    result, _ = search.run(LABELS)
    assert _scores(result.models) == pytest.approx(_scores(cell.models), rel=1e-9)


def test_small_classes_and_metrics_without_calibration_are_notes(search, dataset):
    small = arrays(str(next(iter(search.dataset.sources.values())).content.parent), scoring_set_size=12)
    result, _ = replace(search, dataset=small, halving=Halving(first=8, top=1)).run({**LABELS, "metric": "mine"})
    assert any(note.startswith("no intervals of scores: some class has fewer than 4") for note in result.notes)
    assert any(note.startswith("no expected accuracy: ") for note in result.notes)
    assert result.regret is None
    assert result.best == (result.models[0].model,)
