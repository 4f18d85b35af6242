"""One cell: every model has a score or a reason, and nothing is computed twice."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from transfer_exp.dataset.arrays import arrays
from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.evaluation.halving import Halving
from transfer_exp.evaluation.ranking import Ranking
from transfer_exp.experiment.budget import Budget
from transfer_exp.experiment.experiment import Experiment
from transfer_exp.experiment.precompute import Precomputation
from transfer_exp.experiment.run_log import RunLog
from transfer_exp.experiment.score_matrix import ScoreMatrix
from transfer_exp.experiment.search import PoolSearch
from transfer_exp.features.extraction import Extractor
from transfer_exp.ground_truth.linear_probe import LinearProbe
from transfer_exp.ground_truth.regime import Accuracy, NoGroundTruth
from transfer_exp.metric.leep import LEEP
from transfer_exp.metric.logme import LogME
from transfer_exp.model_pool.arrays import arrays as arrays_pool
from transfer_exp.model_pool.backbone import Backbone
from transfer_exp.model_pool.builtin import builtin
from transfer_exp.model_pool.pool import Candidate, ModelPool
from transfer_exp.perturbation.none import NoPerturbation
from transfer_exp.statistics.class_statistics import class_statistics
from transfer_exp.store import Store

pytestmark = pytest.mark.slow

NAMES = ("resnet_glyphs", "vit_shapes")
LABELS = {"perturbation": "none", "metric": "logme", "ground_truth": "linear_probe"}


@pytest.fixture
def experiment(store, dataset):
    return Experiment(
        pool=builtin(NAMES),
        dataset=dataset,
        perturbation=NoPerturbation(),
        metric=LogME(),
        ground_truth=LinearProbe(strengths=(0.1,)),
        evaluation=Ranking(draws=200),
        store=store,
        device="cpu",
        batch_size=16,
        workers=0,
        seed=0,
    )


def test_a_cell_scores_and_compares_every_model(experiment):
    result = experiment.run(LABELS)
    assert [m.model for m in result.models] == list(NAMES)
    assert all(np.isfinite(m.score) and 0 <= m.accuracy <= 1 for m in result.models)
    assert result.cell == {**LABELS, "model_pool": "builtin", "dataset": "coloured", "seed": "0"}
    assert -1 <= result.measures["weighted_tau"] <= 1
    assert result.null_band is not None


ENTRIES = {
    "experiment": lambda e, parts, **options: replace(e, ground_truth=NoGroundTruth(), **options).run(LABELS),
    "search": lambda e, parts, **options: PoolSearch(
        **parts, metric=LogME(), perturbation=NoPerturbation(), ground_truth=NoGroundTruth(),
        halving=Halving(first=100, top=3), budget=Budget(None), draws=10, **options,
    ).run(LABELS),
    "score matrix": lambda e, parts, **options: ScoreMatrix(
        **parts, metrics={"logme": LogME()}, perturbations={"none": NoPerturbation()}, images_per_class=(None,),
        splits=("train",), ground_truth=NoGroundTruth(), **options,
    ).run(),
    "precomputation": lambda e, parts, **options: Precomputation(**parts, **options).extract_features(("scoring_set",)),
}  # fmt: skip


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_inspects_and_refuses_unreadable_images_before_any_work(experiment, entry, caplog, monkeypatch):
    names = ("pool", "dataset", "store", "device", "batch_size", "workers", "seed")
    parts = {name: getattr(experiment, name) for name in names} | {"pool": builtin(NAMES[:1])}
    train, target = experiment.dataset.train, entry.replace(" ", "_")
    twice = replace(train.subset(np.arange(36) // 6 * 6), labels=train.labels)  # equal images with several labels
    parts["dataset"] = replace(experiment.dataset, name=target, train=twice, scoring_set=twice)
    experiment = replace(experiment, **parts)
    ENTRIES[entry](experiment, parts)
    assert re.search(rf"{target}: warning: the same image .* several classes", caplog.text)
    caplog.clear()

    def refuse(i):
        raise InputError("image 3 is not readable")

    monkeypatch.setattr(Extractor, "compute", lambda *a: pytest.fail("features were computed"))
    unreadable = replace(train, read=lambda i: refuse(i) if i == 3 else train.read(i))
    parts["dataset"] = replace(experiment.dataset, train=unreadable, scoring_set=unreadable)
    with pytest.raises(InputError, match=r"^image 3 is not readable$"):
        ENTRIES[entry](replace(experiment, **parts), parts)
    monkeypatch.undo()
    ENTRIES[entry](experiment, {**parts, "dataset": experiment.dataset}, inspect=False)
    assert "warning" not in caplog.text


def test_the_score_is_the_metric_of_the_scoring_set(experiment):
    result = replace(experiment, ground_truth=NoGroundTruth()).run(LABELS)
    scoring_sets = [load_file(path)["features"] for path in experiment.store.root.rglob("*.safetensors")]
    expected = {
        LogME()(class_statistics(p, experiment.dataset.scoring_set.labels))
        for p in scoring_sets
        if len(p) == len(experiment.dataset.scoring_set)
    }
    assert {m.score for m in result.models} == expected


def test_the_result_the_store_and_the_log_do_not_depend_on_the_jobs(experiment, tmp_path):
    def refuse():
        raise NotApplicableError("no such weights")

    candidates = (Candidate("broken", refuse), *experiment.pool.candidates)
    found = []
    for jobs in (1, 2):
        run_log, store = RunLog(), Store(tmp_path / str(jobs))
        cell = replace(experiment, pool=ModelPool("test", candidates), store=store, jobs=jobs)
        result = cell.run(LABELS, run_log)
        assert cell.run(LABELS, RunLog()) == result
        files = sorted(str(path.relative_to(store.root)) for path in store.root.rglob("*.*"))
        features = [run_log.scoring_sets[name](10**6).features.tobytes() for name in NAMES]
        found.append((result, files, features, run_log.cache_hits, [r.model for r in run_log.cache_references]))
    assert found[0] == found[1]
    assert result.models[0].reason == "no such weights"


def test_a_second_run_reads_everything_from_the_store_and_logs_it(experiment, monkeypatch, caplog):
    first = experiment.run(LABELS)
    never = lambda *a, **k: pytest.fail("computed again")  # noqa: E731
    monkeypatch.setattr(LinearProbe, "__call__", never)
    monkeypatch.setattr("transfer_exp.features.extraction.Extractor.compute", never)
    with caplog.at_level("INFO"):
        assert experiment.run(LABELS) == first
    assert "scores: 2 read from the store, 0 computed" in caplog.text
    assert "accuracy: 2 read from the store, 0 computed" in caplog.text


def test_other_settings_of_a_regime_are_another_accuracy(experiment):
    experiment.run(LABELS)
    files = lambda: len(list(experiment.store.root.glob("accuracy/*/*.json")))  # noqa: E731
    before = files()
    replace(experiment, ground_truth=LinearProbe(strengths=(0.2,))).run(LABELS)
    assert files() == 2 * before


def _broken(error):
    def load():
        raise error

    return load


def test_an_unusable_model_is_skipped_with_its_reason(experiment):
    pool = ModelPool("mixed", (*experiment.pool.candidates, Candidate("odd", _broken(NotApplicableError("no head")))))
    result = replace(experiment, pool=pool).run(LABELS)
    assert result.models[-1].score is None
    assert result.models[-1].reason == "no head"
    assert result.compared == 2


class _Network(Backbone):
    """A network whose answer to any batch is a function of it."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def features_and_logits(self, images):
        return self.answer(images), None


def _no_room(images):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


_FORWARD_FAILURES = {
    "gray": (lambda x: nn.functional.conv2d(x, torch.ones(4, 1, 3, 3)), "its network cannot take the images (Given gr"),
    "maps": (lambda x: x[:, :2], "its features have the shape (16, 2, 32, 32) for 16 images"),
    "halved": (lambda x: x.flatten(1)[::2], "its features have the shape (8, 3072) for 16 images"),
    "nan": (lambda x: x.flatten(1) * float("nan"), "its features are NaN or infinite, first for image 0"),
    "infinite": (lambda x: x.flatten(1) / 0.0, "its features are NaN or infinite"),
    "large": (_no_room, "it does not fit into memory: lower features.batch_size"),
}


def _failing(experiment, answer):
    model = experiment.pool.candidates[0].load()
    identity = {"weights": str(id(answer))}
    return lambda: replace(model, backbone=_Network(answer), identity=identity)


@pytest.mark.parametrize("name", _FORWARD_FAILURES)
def test_a_failing_network_is_left_out_with_its_reason_and_alone_ends_the_cell(experiment, name):
    answer, reason = _FORWARD_FAILURES[name]
    bad = Candidate(name, _failing(experiment, answer))
    experiment = replace(experiment, ground_truth=NoGroundTruth())
    result = replace(experiment, pool=ModelPool("mixed", (bad, experiment.pool.candidates[0]))).run(LABELS)
    assert result.models[0].score is None
    assert reason in result.models[0].reason
    assert result.models[1].score is not None
    with pytest.raises(InputError, match=f"no model of alone can be scored on .*; {name}: {re.escape(reason)}"):
        replace(experiment, pool=ModelPool("alone", (bad,))).run(LABELS)


def test_a_model_that_cannot_be_loaded_is_left_out_with_its_reason(experiment):
    errors = (InputError("no weights of bad"), OSError("no weights of bad"), KeyError("weights"))
    bad = (Candidate(type(error).__name__, _broken(error)) for error in errors)
    pool = ModelPool("mixed", (experiment.pool.candidates[0], *bad))
    result = replace(experiment, pool=pool, ground_truth=NoGroundTruth()).run(LABELS)
    assert [model.score is None for model in result.models] == [False, True, True, True]
    assert all("weights" in model.reason for model in result.models[1:])


def test_an_error_that_all_models_share_ends_the_cell_at_the_first(experiment):
    loads = []

    def load(candidate):
        loads.append(candidate.name)
        return candidate.load()

    def refuse(index):
        raise InputError("picture 3 is damaged")

    candidates = tuple(Candidate(c.name, partial(load, c)) for c in experiment.pool.candidates)
    images = replace(experiment.dataset.scoring_set, read=refuse, fingerprint=lambda i: b"damaged")
    dataset = replace(experiment.dataset, scoring_set=images)
    with pytest.raises(InputError, match="picture 3 is damaged"):
        replace(experiment, pool=ModelPool("mixed", candidates), dataset=dataset).run(LABELS)
    assert len(loads) == 1


@dataclass(frozen=True)
class _NoAccuracy:
    trains: ClassVar[bool] = True

    def __call__(self, pairing, track) -> Accuracy | None:
        raise NotApplicableError("training diverged")


def test_a_score_survives_a_failed_adaptation(experiment):
    result = replace(experiment, ground_truth=_NoAccuracy()).run(LABELS)
    assert all(m.score is not None and m.accuracy is None and "diverged" in m.reason for m in result.models)


def test_source_metrics_get_source_probabilities(experiment):
    result = replace(experiment, metric=LEEP(), ground_truth=NoGroundTruth()).run({**LABELS, "metric": "leep"})
    assert all(m.score <= 0 for m in result.models)


@dataclass(frozen=True)
class _Collapse:
    name: ClassVar[str] = "_Collapse"
    source: ClassVar[str] = "this test"

    def __call__(self, features, labels, rng):
        return np.full_like(features, np.nan)


def test_the_message_of_a_refused_input_names_metric_and_model(experiment):
    with pytest.raises(InputError, match=r"logme on model resnet_glyphs: .*NaN"):
        replace(experiment, perturbation=_Collapse()).run(LABELS)


@dataclass(frozen=True)
class _CollapseOfWide(_Collapse):
    def __call__(self, features, labels, rng):
        return super().__call__(features, labels, rng) if features.shape[1] == 3072 else features


def test_a_model_whose_features_the_metric_refuses_is_left_out(experiment):
    wide = Candidate("wide", _failing(experiment, lambda x: x.flatten(1)))
    pool = ModelPool("mixed", (wide, experiment.pool.candidates[0]))
    settings = {"perturbation": _CollapseOfWide(), "ground_truth": NoGroundTruth(), "pool": pool}
    first, second = replace(experiment, **settings).run(LABELS).models
    assert first.score is None
    assert first.reason.startswith("logme on model wide: features hold NaN or infinity")
    assert second.score is not None


@dataclass(frozen=True)
class _Noise:
    name: ClassVar[str] = "_Noise"
    source: ClassVar[str] = "this test"

    def __call__(self, features, labels, rng):
        return features + 5 * rng.normal(size=features.shape)


def test_the_seed_decides_the_perturbation(experiment):
    noisy = replace(experiment, perturbation=_Noise(), ground_truth=NoGroundTruth())
    scores = [[m.score for m in replace(noisy, seed=seed).run(LABELS).models] for seed in (0, 0, 1)]
    assert scores[0] == scores[1] != scores[2]


def test_the_users_features_are_ranked_without_a_network(experiment, tmp_path, dataset):
    rng, labels = np.random.default_rng(0), np.arange(60) % 3
    for name, noise in (("clear", 0.5), ("dim", 5.0)):
        features = np.eye(3)[labels] + noise * rng.normal(size=(60, 3))
        np.savez(tmp_path / f"{name}.npz", features=features, labels=labels)
    target = arrays(str(tmp_path))
    ranked = replace(experiment, pool=arrays_pool(str(tmp_path)), dataset=target, ground_truth=NoGroundTruth())
    scores = {m.model: m.score for m in ranked.run(LABELS).models}
    assert scores["clear"] > scores["dim"]
    with pytest.raises(InputError, match="go together"):
        replace(ranked, pool=experiment.pool).run(LABELS)
