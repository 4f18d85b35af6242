"""Search of a pool: the best models from fewer images, reasons for models left out, and the intervals of the order."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pytest

from transfer_exp.dataset.arrays import arrays
from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.evaluation.halving import Halving
from transfer_exp.evaluation.ranking import Ranking
from transfer_exp.experiment.budget import Budget
from transfer_exp.experiment.experiment import Experiment
from transfer_exp.experiment.scoring import Scoring
from transfer_exp.experiment.search import PoolSearch
from transfer_exp.features.nested_subsets import NestedSubsets
from transfer_exp.ground_truth.regime import Accuracy, NoGroundTruth
from transfer_exp.metric.knn import KNN
from transfer_exp.metric.leep import LEEP
from transfer_exp.metric.logme import LogME
from transfer_exp.metric.ncm import NCM
from transfer_exp.model_pool.arrays import arrays as arrays_pool
from transfer_exp.model_pool.builtin import builtin
from transfer_exp.model_pool.pool import Candidate, ModelPool
from transfer_exp.perturbation.none import NoPerturbation
from transfer_exp.statistics.class_statistics import class_statistics

pytestmark = pytest.mark.slow

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
        "budget": Budget(None),
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


def test_the_result_does_not_depend_on_the_jobs(search, monkeypatch):
    monkeypatch.setattr("transfer_exp.experiment.uncertainty.SERIAL_SECONDS", 0.0)
    alone, together = (replace(search, jobs=jobs).run(LABELS)[0] for jobs in (1, 2))
    facts = [(replace(model, seconds=0.0) for model in result.models) for result in (alone, together)]
    assert list(facts[0]) == list(facts[1])
    assert alone.expected_regret == together.expected_regret


def test_only_finalists_have_intervals(search):
    result, _ = search.run(LABELS)
    finalists = [model for model in result.models if model.images == result.images]
    for model in finalists:
        assert model.score_low_95 < model.score < model.score_high_95
        assert 1 <= model.best_rank_95 <= model.worst_rank_95 <= len(finalists)
        low, high = model.expected_accuracy_low_80, model.expected_accuracy_high_80
        assert 0 <= low <= model.expected_accuracy <= high <= 1
    assert result.best == ("best",), "its classes are the furthest apart"
    assert result.expected_regret >= 0
    for model in result.models[len(finalists) :]:
        assert model.score_low_95 is model.best_rank_95 is model.expected_accuracy is None
        assert model.status == "dropped"


def test_two_almost_equal_models_may_both_be_the_best(search, folder):
    features = dict(np.load(folder / "best.npz"))
    features["features"] = features["features"] + 0.01 * np.random.default_rng(1).normal(size=(240, 8))
    np.savez(folder / "twin.npz", **features)
    result, _ = replace(search, pool=arrays_pool(str(folder)), dataset=arrays(str(folder))).run(LABELS)
    assert set(result.best) == {"best", "twin"}


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that stands still until ``costs`` (seconds by image, or of a score) let it run."""
    clock = Clock()
    monkeypatch.setattr("time.perf_counter", lambda: clock.now)
    pairing, compute = NestedSubsets._extract, Scoring.compute_parts

    def extract(self, model, positions):
        clock.now += clock.image * clock.factors.get(model.name, 1.0) * len(positions)
        return pairing(self, model, positions)

    def compute_parts(self, model, ground_truth, subset):
        clock.now += clock.score * (len(subset.labels) / 24) ** 2
        return compute(self, model, ground_truth, subset)

    monkeypatch.setattr(NestedSubsets, "_extract", extract)
    monkeypatch.setattr(Scoring, "compute_parts", compute_parts)
    return clock


@dataclass
class Clock:
    now: float = 0.0
    image: float = 0.0
    score: float = 0.0
    factors: dict[str, float] = field(default_factory=dict)


def test_a_short_budget_means_fewer_images_for_every_model(search, clock):
    clock.image = 0.1  # 2.4 s for 24 images of one model, 1.6 s for 16
    result, _ = replace(search, budget=Budget(15.0)).run(LABELS)
    assert not result.with_status("not looked at")
    assert [model.model for model in result.models][:2] == ["best", "good"]
    assert min(model.images for model in result.models) == 16
    assert clock.now <= 15.0
    assert result.stop_reason == "budget"
    assert any("not on all" in note for note in result.notes)


@pytest.mark.parametrize("seconds", [1e-9, 6.0, 9.0, 12.0, 25.0, 60.0])
def test_a_budget_holds_and_every_model_is_ranked_or_named(search, clock, seconds):
    clock.image, clock.score = 0.1, 0.2
    result, _ = replace(search, budget=Budget(seconds)).run(LABELS)
    assert {model.model for model in result.models} == set(NOISES)
    first_look = 16 * clock.image + 2 * clock.score
    assert clock.now <= max(seconds, first_look) + clock.score
    ranked = [model for model in result.models if model.rank is not None]
    assert list(result.models[: len(ranked)]) == ranked, "no model without a look is above one with a look"
    unseen = result.with_status("not looked at")
    assert result.seconds_missing == pytest.approx(16 * clock.image * len(unseen), rel=0.6)
    assert result.stop_reason == "budget" or (not unseen and result.models[0].images == result.images)


def test_scoring_counts_as_time_too(search, clock):
    clock.score = 2.0  # on 24 images, and 200 s on all
    result, _ = replace(search, budget=Budget(30.0)).run(LABELS)
    assert clock.now <= 32.0
    assert not result.with_status("not looked at")
    assert result.stop_reason == "budget"
    assert result.models[0].best_rank_95 is None
    assert any(note.startswith("no intervals of scores and ranks: the time budget") for note in result.notes)


def test_a_search_of_few_models_uses_the_time_for_more_images(search, clock):
    clock.image = clock.score = 0.01
    few = search.pool.select(["best", "good"])
    result, _ = replace(search, pool=few, budget=Budget(4.0)).run(LABELS)
    assert result.models[0].images == 96, "192 images would take 3.84 s, and 3 s are for images and scores"


def test_many_classes_are_looked_at_with_four_images_of_some(search, tmp_path):
    folder, labels = tmp_path / "many", np.repeat(np.arange(60), 5)
    folder.mkdir()
    features = 5 * np.random.default_rng(0).normal(size=(60, 16))[labels]
    for name, noise in (("clear", 1.0), ("noisy", 20.0)):
        features_with_noise = features + noise * np.random.default_rng(1).normal(size=features.shape)
        np.savez(folder / f"{name}.npz", features=features_with_noise, labels=labels)
    data = {"pool": arrays_pool(str(folder)), "dataset": arrays(str(folder))}
    result, _ = replace(search, **data, metric=KNN(), budget=Budget(1e-9)).run({**LABELS, "metric": "knn"})
    assert result.models[0].images == 16
    assert result.models[0].score > 0.5
    assert "scores are of images of 4 of the 60 classes" in result.notes


def test_cheap_models_come_first_whatever_the_order_of_the_pool(search, clock):
    clock.image = 0.1
    sizes = dict(zip(("worst", "fair", "best", "none", "good", "poor"), range(1, 7), strict=True))
    clock.factors = {name: float(size) for name, size in sizes.items()}
    for order in (1, -1):
        candidates = [replace(c, count_parameters=partial(sizes.__getitem__, c.name)) for c in search.pool.candidates]
        pool = ModelPool("arrays", tuple(candidates[::order]))
        clock.now = 0.0
        result, _ = replace(search, pool=pool, budget=Budget(14.0)).run(LABELS)
        unseen = {model.model for model in result.with_status("not looked at")}
        assert unseen == {"good", "poor", "none"}, "the looks at the first three take 9.6 s, at the fourth 6.4 s"
        assert result.seconds_missing == pytest.approx(15 * 1.6, rel=0.01)


def test_models_are_in_the_order_of_their_expected_accuracies(search):
    result, _ = search.run(LABELS)
    finalists = result.with_status("finalist")
    expected = [model.expected_accuracy for model in finalists]
    assert result.ordered_by == "expected accuracy"
    assert expected == sorted(expected, reverse=True)
    assert all(model.best_rank_95 <= model.rank <= model.worst_rank_95 for model in finalists)


def test_equal_models_share_their_rank(search, folder):
    (folder / "copy.npz").write_bytes((folder / "best.npz").read_bytes())
    result, _ = replace(search, pool=arrays_pool(str(folder)), dataset=arrays(str(folder))).run(LABELS)
    assert [(m.rank, m.model) for m in result.models[:3]] == [(1, "best"), (1, "copy"), (3, "good")]


def test_a_finalist_that_fails_on_all_images_is_left_out(search, monkeypatch):
    pairing = NestedSubsets.pairing

    def broken(self, name, n_images, *limits):
        subset = pairing(self, name, n_images, *limits)
        if (name, n_images) != ("best", 240):
            return subset
        features = subset.scoring_set.features.copy()
        features[0, 0] = np.nan
        return subset._replace(scoring_set=replace(subset.scoring_set, features=features))

    monkeypatch.setattr(NestedSubsets, "pairing", broken)
    result, _ = search.run(LABELS)
    assert result.models[0].model == "good"
    assert result.models[0].best_rank_95 == 1
    assert [model.model for model in result.with_status("failed")] == ["best"]


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


@pytest.mark.parametrize("seconds", [None, 60.0])
def test_a_pool_without_a_score_is_refused_with_the_reason_with_any_budget(search, seconds):
    with pytest.raises(InputError, match=r"no model of arrays can be scored on .*: no source probabilities"):
        replace(search, metric=LEEP(), budget=Budget(seconds), pool=search.pool.select(["best"])).run(LABELS)


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


class HalfRight:
    """Regime that cannot adapt one of the models."""

    trains = False

    def __call__(self, pairing, track):
        if pairing.name == "vit_shapes":
            raise NotApplicableError("it has no head")
        return Accuracy(0.5, "accuracy")


def test_recommended_models_are_fine_tuned_and_a_failure_is_a_note(small_pool):
    search, _ = small_pool
    result, _ = search.run(LABELS)
    tuned = search.fine_tune(result, HalfRight(), "full", "quick")
    measured = {model.model: model.accuracy for model in tuned.models if model.accuracy is not None}
    assert measured == {name: 0.5 for name in result.recommended if name != "vit_shapes"}
    assert ("vit_shapes was not fine-tuned: it has no head" in tuned.notes) == ("vit_shapes" in result.recommended)
    (without_head,) = (model for model in result.models if model.model == "vit_shapes")
    only = replace(result, models=(replace(without_head, status="finalist", expected_accuracy=None),))
    with pytest.raises(InputError, match="vit_shapes was not fine-tuned: it has no head"):
        search.fine_tune(only, HalfRight(), "full", "quick")


def test_small_classes_and_metrics_without_calibration_are_notes(search, dataset):
    small = arrays(str(next(iter(search.dataset.sources.values())).content.parent), scoring_set_size=12)
    result, _ = replace(search, dataset=small, halving=Halving(first=8, top=1)).run({**LABELS, "metric": "mine"})
    assert any(note.startswith("no intervals of scores and ranks: some class has fewer") for note in result.notes)
    assert any(note.startswith("no expected accuracy: ") for note in result.notes)
    assert result.expected_regret is None
    assert result.ordered_by == "score"
    assert result.best == (result.models[0].model,)
