"""Run log: seconds by stage that add up, and readers of the features that need no network."""

from __future__ import annotations

import time
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest

from transfer_exp.errors import InputError
from transfer_exp.evaluation.ranking import Ranking
from transfer_exp.experiment.experiment import Experiment
from transfer_exp.experiment.run_log import RunLog
from transfer_exp.ground_truth.linear_probe import LinearProbe
from transfer_exp.ground_truth.regime import NoGroundTruth
from transfer_exp.metric.logme import LogME
from transfer_exp.metric.random import Random
from transfer_exp.model_pool.builtin import builtin
from transfer_exp.perturbation.none import NoPerturbation
from transfer_exp.perturbation.pca import Pca
from transfer_exp.perturbation.strength_path import StrengthPath

pytestmark = pytest.mark.slow

LABELS = {"perturbation": "none", "metric": "logme", "ground_truth": "linear_probe"}
NAMES = ("resnet_glyphs", "vit_shapes")


@pytest.fixture
def parts(store, dataset):
    settings = {"store": store, "device": "cpu", "batch_size": 16, "workers": 0, "seed": 0}
    inputs = {"pool": builtin(NAMES), "dataset": dataset, "metric": LogME(), "perturbation": NoPerturbation()}
    return {**inputs, "ground_truth": LinearProbe(strengths=(0.1,)), "evaluation": Ranking(draws=50), **settings}


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that moves only when a test advances it."""
    now = SimpleNamespace(time=0.0)
    monkeypatch.setattr(time, "perf_counter", lambda: now.time)
    return now


def test_the_time_of_a_nested_stage_is_not_part_of_the_outer_stage(clock):
    run_log = RunLog()
    with run_log.stage("a", "scoring"):
        clock.time += 1
        with run_log.stage("a", "features"):
            clock.time += 10
        clock.time += 2
    with suppress(ZeroDivisionError), run_log.stage("a", "scoring"):
        clock.time += 4
        raise ZeroDivisionError
    assert run_log.seconds == {"a": {"features": 10, "scoring": 7}}


def test_every_stage_is_timed_and_cached_features_have_no_extraction_stage(parts):
    first, second = RunLog(), RunLog()
    result = Experiment(**parts).run(LABELS, first)
    assert Experiment(**parts).run(LABELS, second) == result
    assert [set(first.seconds[name]) for name in NAMES] == [{"features", "scoring", "ground_truth"}] * 2
    assert [set(second.seconds[name]) for name in NAMES] == [{"scoring", "ground_truth"}] * 2
    assert all(time > 0 for stages in first.seconds.values() for time in stages.values())


def test_the_scoring_set_is_read_again_up_to_a_size(parts, monkeypatch, dataset):
    run_log = RunLog()
    Experiment(**parts).run(LABELS, run_log)
    never = lambda *a, **k: pytest.fail("computed again")  # noqa: E731
    monkeypatch.setattr("transfer_exp.features.extraction.Extractor.compute", never)
    scoring_set = run_log.scoring_sets[NAMES[0]](10**6)
    assert len(scoring_set.features) == len(dataset.scoring_set)
    assert (scoring_set.labels == dataset.scoring_set.labels).all()
    with pytest.raises(InputError, match=r"36 samples of \d+ features are too many"):
        run_log.scoring_sets[NAMES[0]](10)


def test_a_metric_without_features_loads_no_network(parts, monkeypatch):
    never = lambda *a, **k: pytest.fail("loaded the network")  # noqa: E731
    monkeypatch.setattr("transfer_exp.features.extraction.Extractor.reader", never)
    run_log = RunLog()
    Experiment(**{**parts, "metric": Random(), "ground_truth": NoGroundTruth()}).run(LABELS, run_log)
    assert [run_log.scoring_sets[name](10**6) for name in NAMES] == [None, None]


def test_the_reader_of_deleted_features_returns_none(parts):
    run_log = RunLog()
    Experiment(**parts).run(LABELS, run_log)
    for path in parts["store"].root.rglob("*.safetensors"):
        path.unlink()
    assert run_log.scoring_sets[NAMES[0]](10**6) is None


def test_perturb_returns_the_features_that_the_metric_scored(parts, dataset):
    run_log = RunLog()
    experiment = Experiment(**parts)
    experiment.run(LABELS, run_log)
    scoring_set = run_log.scoring_sets[NAMES[0]](10**6)
    assert experiment.scoring.perturb(scoring_set) is None
    rng = np.random.default_rng(0)
    expected = Pca(dim=2)(scoring_set.features, scoring_set.labels, rng)
    assert (Experiment(**{**parts, "perturbation": Pca(dim=2)}).scoring.perturb(scoring_set) == expected).all()
    path = StrengthPath(strengths=(0.0, 0.5))
    last = path.steps()["alpha=0.5"](scoring_set.features, scoring_set.labels, rng)
    assert (Experiment(**{**parts, "perturbation": path}).scoring.perturb(scoring_set) == last).all()
