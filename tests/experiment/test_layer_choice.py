"""Runs and searches on inner layers: the best layer of each model, named layers, and accuracies that stay the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from torch_helpers import FakePairing

from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.evaluation.halving import Halving
from transfer_exp.evaluation.ranking import Ranking
from transfer_exp.experiment.budget import Budget
from transfer_exp.experiment.experiment import Experiment
from transfer_exp.experiment.run_log import RunLog
from transfer_exp.experiment.score_matrix import ScoreMatrix
from transfer_exp.experiment.scoring import Scoring
from transfer_exp.experiment.search import PoolSearch
from transfer_exp.features.extraction import Extractor
from transfer_exp.ground_truth.linear_probe import LinearProbe
from transfer_exp.ground_truth.regime import NoGroundTruth
from transfer_exp.metric.fusion import Fusion
from transfer_exp.metric.leep import LEEP
from transfer_exp.metric.logme import LogME
from transfer_exp.metric.ncm import NCM
from transfer_exp.model_pool.builtin import builtin
from transfer_exp.perturbation.none import NoPerturbation
from transfer_exp.progress import silent
from transfer_exp.statistics.class_statistics import class_statistics

pytestmark = pytest.mark.slow

NAMES = ("resnet_glyphs", "vit_shapes")
BLOCKS = {
    "resnet_glyphs": ["act1", *(f"layer{i}" for i in range(1, 5))],
    "vit_shapes": [f"blocks.{i}" for i in range(6)],
}
LABELS = {"perturbation": "none", "metric": "logme", "ground_truth": "linear_probe"}


@pytest.fixture
def experiment(store, dataset):
    parts = {"perturbation": NoPerturbation(), "metric": LogME(), "ground_truth": NoGroundTruth()}
    settings = {"device": "cpu", "batch_size": 16, "workers": 0, "seed": 0}
    return Experiment(
        pool=builtin(NAMES), dataset=dataset, evaluation=Ranking(draws=50), store=store, **parts, **settings
    )


def logme_of(experiment, name, layer):
    model = experiment.pool.select((name,)).candidates[0].load()
    extractor = Extractor(experiment.store, "cpu", 16, 0, silent, layer=layer)
    features, _ = extractor(name, model, experiment.dataset.scoring_set)
    return LogME()(class_statistics(features.features, features.labels))


def test_the_best_layer_of_each_model_is_the_one_with_the_highest_score(experiment):
    run_log = RunLog()
    result = replace(experiment, layer="best").run(LABELS, run_log)
    assert result.has_layers
    for model in result.models:
        scores = {layer: logme_of(experiment, model.model, layer) for layer in (*BLOCKS[model.model], "head_input")}
        assert model.layer_scores == pytest.approx(scores, rel=1e-6)
        assert model.layer == max(scores, key=scores.__getitem__)
        assert model.score == pytest.approx(max(scores.values()), rel=1e-6)
    assert run_log.scoring_sets["resnet_glyphs"](10**6).features.shape[1] > 0
    cached = replace(experiment, layer="best").run(LABELS)
    assert cached == result


def test_accuracies_are_those_of_the_head_whatever_layer_is_scored(experiment):
    experiment = replace(experiment, ground_truth=LinearProbe(strengths=(0.1,)))
    default, inner = experiment.run(LABELS), replace(experiment, layer=-2).run(LABELS)
    assert [m.accuracy for m in inner.models] == [m.accuracy for m in default.models]
    assert [m.layer for m in inner.models] == ["layer3", "blocks.4"]
    assert all(not m.layer_scores for m in inner.models)
    assert [m.score for m in inner.models] != [m.score for m in default.models]
    assert not default.has_layers


def test_models_without_a_layer_are_skipped_and_a_run_without_any_is_an_error(experiment):
    result = replace(experiment, layer="blocks.3").run(LABELS)
    assert [m.score is None for m in result.models] == [True, False]
    assert result.models[0].reason == (
        "no layer 'blocks.3': available: act1, head_input, layer1, layer2, layer3, layer4"
    )
    with pytest.raises(InputError, match=r"no model of builtin can be scored on coloured; .* no layer 'nowhere'"):
        replace(experiment, layer="nowhere").run(LABELS)


def test_metrics_of_source_probabilities_need_the_head(experiment):
    experiment = replace(experiment, metric=LEEP())
    assert [m.layer for m in replace(experiment, layer="best").run(LABELS).models] == ["head_input", "head_input"]
    reasons = {m.reason for m in replace(experiment, layer=0).run(LABELS).models}
    assert reasons == {"no source probabilities: the model has no head, or features.layer is inside it"}


def test_a_metric_over_a_pool_compares_the_layers_of_a_model(experiment):
    result = replace(experiment, metric=Fusion((LogME(), NCM())), layer="best").run(LABELS)
    assert all(m.layer in m.layer_scores for m in result.models)


def test_equal_layers_give_the_last_one_and_an_error_only_if_all_fail():
    scoring = Scoring(LogME(), NoPerturbation(), 0)

    class View(FakePairing):
        layer, value = "", None

    def parts_of(view):
        if view.value is None:
            raise NotApplicableError(view.layer)
        return {"": {"score": view.value}}

    best, _, layer_scores = scoring.best_layer(
        [
            View(layer="a", value=1.0),
            View(layer="b", value=None),
            View(layer="c", value=1.0),
            View(layer="d", value=0.5),
        ],
        parts_of,
    )
    assert (best.layer, layer_scores) == ("c", {"a": 1.0, "c": 1.0, "d": 0.5})
    with pytest.raises(NotApplicableError, match="b"):
        scoring.best_layer([View(layer="a", value=None), View(layer="b", value=None)], parts_of)


@pytest.mark.parametrize("layer", ["best", "mean", -1])
def test_a_search_chooses_the_layer_on_the_first_images(experiment, layer):
    settings = {name: getattr(experiment, name) for name in ("pool", "dataset", "metric", "perturbation", "store")}
    settings |= {"ground_truth": NoGroundTruth(), "halving": Halving(first=18, top=2), "budget": Budget(None)}
    search = PoolSearch(**settings, draws=20, device="cpu", batch_size=16, workers=0, seed=0, layer=layer)
    result, _ = search.run({"perturbation": "none", "metric": "logme"})
    by_name = {model.model: model for model in result.models}
    if layer == "mean":
        assert by_name["resnet_glyphs"].reason.startswith("features.layer=mean needs blocks of one width")
        assert by_name["vit_shapes"].layer == "mean"
    else:
        assert all(m.layer in (*BLOCKS[m.model][-1 if layer == -1 else 0 :], "head_input") for m in result.models)
    assert result.ordered_by == "score"
    assert any("its calibration is of features.layer=head_input" in note for note in result.notes)
    for model in result.models:
        if model.status == "finalist" and model.images == result.images:
            assert model.score == pytest.approx(logme_of(experiment, model.model, model.layer), rel=1e-6)


def test_a_score_matrix_is_of_one_layer(experiment):
    settings = {name: getattr(experiment, name) for name in ("pool", "dataset", "store", "device", "batch_size")}
    parts = {
        "metrics": {"logme": LogME()},
        "perturbations": {"none": NoPerturbation()},
        "ground_truth": NoGroundTruth(),
    }
    grid = ScoreMatrix(**settings, **parts, images_per_class=(None,), splits=("train",), workers=0, seed=0, layer=1)
    (row,) = grid.run()
    assert float(row["vit_shapes"]) == pytest.approx(logme_of(experiment, "vit_shapes", "blocks.1"), rel=1e-6)
    with pytest.raises(InputError, match="a score matrix is of one layer"):
        replace(grid, layer="best").run()
    assert np.isfinite(float(row["resnet_glyphs"]))
