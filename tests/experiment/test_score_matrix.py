"""Score matrix: the scores of single cells, each perturbation computed once, and failures left out with a reason."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from transfer_exp.dataset.arrays import arrays
from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.experiment.score_matrix import ScoreMatrix
from transfer_exp.experiment.scoring import Scoring
from transfer_exp.features.extraction import Extractor
from transfer_exp.features.model_on_target import pair
from transfer_exp.ground_truth.regime import NoGroundTruth
from transfer_exp.metric.etran import ETran
from transfer_exp.metric.h_score import HScore
from transfer_exp.metric.knn import KNN
from transfer_exp.metric.leep import LEEP
from transfer_exp.metric.logme import LogME
from transfer_exp.metric.otce import OTCE
from transfer_exp.metric.static_rank import StaticRank
from transfer_exp.model_pool.arrays import arrays as arrays_pool
from transfer_exp.model_pool.backbone import Backbone
from transfer_exp.model_pool.loaded_model import LoadedModel
from transfer_exp.model_pool.pool import Candidate, ModelPool
from transfer_exp.perturbation.none import NoPerturbation
from transfer_exp.perturbation.pca import Pca
from transfer_exp.progress import silent
from transfer_exp.statistics.class_statistics import class_statistics
from transfer_exp.store import Store

pytestmark = pytest.mark.slow


class Pooled(Backbone):
    """Network whose features and logits depend on its scale."""

    def __init__(self, scale, head):
        super().__init__()
        self.scale, self.head = scale, nn.Linear(3, 5) if head else None

    def forward(self, images):
        return images.mean((2, 3)) ** self.scale

    def features_and_logits(self, images):
        features = self(images)
        return features, None if self.head is None else self.head(features)


class Broken(KNN):
    """Metric that refuses every input."""

    def __call__(self, features, labels):
        raise InputError("no good")


def _image(picture):
    return torch.from_numpy((np.asarray(picture, dtype=np.float32) / 255).transpose(2, 0, 1))


def _load(scale, head):
    identity = {"library": "mine", "architecture": "Pooled", "weights": f"{scale}{head}"}
    torch.manual_seed(scale)
    return LoadedModel(Pooled(scale, head), _image, identity)


POOL = ModelPool("mine", tuple(Candidate(f"net{n}", partial(_load, n, n < 3)) for n in (1, 2, 3)))


def grid(dataset, tmp_path, metrics, sizes=(None,), perturbations=None, seed=0, splits=("train",), jobs=1):
    perturbations = perturbations or {"none": NoPerturbation()}
    settings = {"store": Store(tmp_path / "store"), "device": "cpu", "batch_size": 8, "workers": 0, "seed": seed}
    parts = {"metrics": metrics, "perturbations": perturbations, "ground_truth": NoGroundTruth()}
    return ScoreMatrix(POOL, dataset, **parts, images_per_class=sizes, splits=splits, jobs=jobs, **settings)


def test_scores_are_those_of_single_cells(dataset, tmp_path):
    metrics = {"h_score": HScore(), "logme": LogME(), "leep": LEEP(), "etran": ETran()}
    perturbations = {"none": NoPerturbation(), "pca": Pca(2)}
    rows = grid(dataset, tmp_path, metrics, (None, 6), perturbations).run()
    by_cell = {(r["images_per_class"], r["perturbation"], r["metric"]): r for r in rows}
    assert len(by_cell) == len(rows) == 2 * 2 * 4
    assert {r["dataset"] for r in rows} == {dataset.name}
    extractor = Extractor(Store(tmp_path / "cells"), "cpu", 8, 0, silent)
    for (size, perturbation, name), row in by_cell.items():
        scoring_set = dataset.train if size == "all" else dataset.train.stratified_subset(6 * 3, 0)
        scoring, parts = Scoring(metrics[name], perturbations[perturbation], 0), {}
        for candidate in POOL.candidates:
            with suppress(NotApplicableError):
                pairing = pair(candidate, replace(dataset, scoring_set=scoring_set), extractor)
                parts[candidate.name] = scoring.compute_parts(pairing, NoGroundTruth())
        for model, score in zip(parts, scoring.combine(list(parts.values())), strict=True):
            assert float(row[model]) == pytest.approx(score, rel=1e-5), (size, perturbation, name, model)
        assert {c.name for c in POOL.candidates if row[c.name] == ""} == {c.name for c in POOL.candidates} - set(parts)
    assert by_cell["all", "none", "leep"]["net3"] == "", "it has no head"


def test_the_rows_do_not_depend_on_the_jobs(dataset, tmp_path, caplog):
    metrics = {"h_score": HScore(), "leep": LEEP(), "etran": ETran()}
    with caplog.at_level("INFO"):
        rows = [grid(dataset, tmp_path / str(jobs), metrics, (None, 6), jobs=jobs).run() for jobs in (1, 2)]
    assert rows[0] == rows[1]
    assert [text for text in caplog.messages if "net3" in text] == 2 * [
        "leep is left empty for net3: no source probabilities: the model has no head, or features.layer is inside it"
    ]


def test_a_perturbation_is_computed_once_for_all_metrics(dataset, tmp_path):
    calls = []

    class Counted:
        name = source = "counted"

        def __call__(self, features, labels, rng):
            calls.append(len(features))
            return features

    metrics = {"knn": KNN(), "again": KNN(), "h_score": HScore()}
    grid(dataset, tmp_path, metrics, (None,), {"counted": Counted()}).run()
    assert len(calls) == len(POOL.candidates)


def test_a_metric_of_unperturbed_inputs_is_computed_once(dataset, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(LEEP, "__call__", lambda self, *inputs: calls.append(1) or -1.0)
    perturbations = {"none": NoPerturbation(), "pca": Pca(2), "less": Pca(1)}
    rows = grid(dataset, tmp_path, {"leep": LEEP()}, (None,), perturbations).run()
    assert len(calls) == 2, "two of the networks have a head"
    assert [r["net1"] for r in rows] == ["-1"] * 3


def test_a_metric_that_refuses_its_input_is_left_out_with_a_warning(dataset, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        rows = grid(dataset, tmp_path, {"broken": Broken(), "h_score": HScore()}).run()
    assert [r["metric"] for r in rows] == ["h_score"]
    assert caplog.text.count("broken on model net1: no good") == 1
    with pytest.raises(InputError, match="nothing could be scored: broken on model net1: no good"):
        grid(dataset, tmp_path, {"broken": Broken()}).run()


def test_a_metric_that_lacks_what_no_model_can_give_is_left_out_and_the_others_are_scored(dataset, tmp_path, caplog):
    metrics = {"static_rank": StaticRank(), "h_score": HScore(), "otce": OTCE()}
    perturbations = {"none": NoPerturbation(), "pca": Pca(2)}
    rows = grid(dataset, tmp_path, metrics, (None,), perturbations).run()
    assert [(r["perturbation"], r["metric"]) for r in rows] == [("none", "h_score"), ("pca", "h_score")]
    assert "2 cells are left out: static_rank on model net1: needs accuracies on other targets" in caplog.text
    assert "1 cells are left out: otce on model net1: relates features" in caplog.text
    with pytest.raises(InputError, match="nothing could be scored: static_rank on model net1: needs accuracies"):
        grid(dataset, tmp_path, {"static_rank": StaticRank()}).run()


def test_a_metric_that_does_not_apply_to_a_model_is_logged_once_and_is_the_reason_of_an_empty_matrix(
    dataset, tmp_path, caplog
):
    caplog.set_level(logging.INFO)
    perturbations = {"none": NoPerturbation(), "pca": Pca(2)}
    grid(dataset, tmp_path, {"leep": LEEP()}, (None, 6), perturbations).run()
    reason = "leep is left empty for net3: no source probabilities: the model has no head"
    assert caplog.text.count(reason) == 1
    headless = replace(grid(dataset, tmp_path, {"leep": LEEP()}), pool=ModelPool("mine", POOL.candidates[2:]))
    with pytest.raises(InputError, match=f"nothing could be scored: {reason}"):
        headless.run()


def test_a_second_run_starts_without_the_refusals_of_the_first(dataset, tmp_path, monkeypatch):
    matrix = grid(dataset, tmp_path, {"broken": Broken(), "h_score": HScore()})
    assert len(matrix.run()) == 1
    monkeypatch.setattr(Broken, "__call__", KNN.__call__)
    assert [row["metric"] for row in matrix.run()] == ["broken", "h_score"]


def test_the_label_of_a_size_is_the_setting_even_if_the_dataset_has_fewer_images(dataset, tmp_path):
    all_images, capped = grid(dataset, tmp_path, {"h_score": HScore()}, (None, 10_000)).run()
    assert (all_images["images_per_class"], capped["images_per_class"]) == ("all", "10000")
    assert all_images["net1"] == capped["net1"]


def test_the_column_of_an_unusable_model_is_empty_with_a_warning(dataset, tmp_path, caplog):
    def unusable():
        raise NotApplicableError("its code needs trust")

    matrix = grid(dataset, tmp_path, {"h_score": HScore()})
    pool = ModelPool("mine", (*POOL.candidates, Candidate("stranger", unusable)))
    (row,) = replace(matrix, pool=pool).run()
    assert row["stranger"] == "" != row["net1"]
    assert "stranger is skipped: its code needs trust" in caplog.text
    unusable_pool = replace(matrix, pool=ModelPool("mine", (Candidate("stranger", unusable),)))
    with pytest.raises(InputError, match="nothing could be scored: stranger is skipped: its code needs trust"):
        unusable_pool.run()


def test_arrays_are_scored_with_their_pool(dataset, tmp_path):
    rng, labels = np.random.default_rng(0), np.arange(24) % 3
    values = {name: rng.random((24, 5)) for name in ("first", "second")}
    for name, features in values.items():
        np.savez(tmp_path / f"{name}.npz", features=features, labels=labels)
    matrix = replace(grid(dataset, tmp_path, {"h_score": HScore()}), dataset=arrays(str(tmp_path)))
    with pytest.raises(InputError, match="go together"):
        matrix.run()
    (row,) = replace(matrix, pool=arrays_pool(str(tmp_path))).run()
    for name, features in values.items():
        assert float(row[name]) == pytest.approx(HScore()(class_statistics(features, labels)), rel=1e-8)


def test_splits_are_scored_together_and_a_missing_split_is_left_out(dataset, tmp_path):
    both = dataset.train.concatenate(dataset.test)
    (expected,) = grid(replace(dataset, train=both, scoring_set=both), tmp_path, {"h_score": HScore()}).run()
    (row,) = grid(dataset, tmp_path, {"h_score": HScore()}, splits=("train", "validation", "test")).run()
    assert row["splits"] == "train+validation+test"
    assert {c.name: row[c.name] for c in POOL.candidates} == {c.name: expected[c.name] for c in POOL.candidates}
    (train_only,) = grid(dataset, tmp_path, {"h_score": HScore()}).run()
    assert train_only["net1"] != row["net1"]


@pytest.mark.parametrize("splits", [("test",), ("train", "scoring_set"), ()])
def test_splits_without_train_or_with_the_scoring_set_are_refused(dataset, tmp_path, splits):
    with pytest.raises(InputError, match="need train"):
        grid(dataset, tmp_path, {"h_score": HScore()}, splits=splits).run()


@pytest.mark.parametrize("size", [0, 1])
def test_a_class_of_one_image_is_refused(dataset, tmp_path, size):
    with pytest.raises(InputError, match=f"images_per_class={size}"):
        grid(dataset, tmp_path, {"h_score": HScore()}, (size,)).run()
