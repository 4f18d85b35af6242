"""Comparison of models and regimes within a time budget: order, budget, choice on validation, and reasons."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from transfer_exp.dataset.arrays import arrays
from transfer_exp.errors import InputError, NotApplicableError, explain_model_failure
from transfer_exp.evaluation.halving import Halving
from transfer_exp.experiment.budget import Budget
from transfer_exp.experiment.regime_comparison import RANKING_SHARE, RegimeComparison
from transfer_exp.experiment.search import PoolSearch
from transfer_exp.ground_truth.accuracy_cache import CachedAccuracies
from transfer_exp.ground_truth.regime import Accuracy, NoGroundTruth
from transfer_exp.metric.logme import LogME
from transfer_exp.model_pool.arrays import arrays as arrays_pool
from transfer_exp.perturbation.none import NoPerturbation
from transfer_exp.results.search import SearchedModel, SearchResult

CELL = {"model_pool": "p", "dataset": "d", "perturbation": "none", "metric": "logme", "seed": "0"}


@dataclass
class Clock:
    """Clock that only training moves."""

    now: float = 0.0


@dataclass(frozen=True, eq=False)
class FakeRegime(CachedAccuracies):
    """Accuracies whose training takes ``seconds`` steps of a second, and that predict ``predicted`` seconds.

    ``results`` holds validation and test accuracy by model; a model without them cannot be adapted.
    """

    clock: Clock = field(default_factory=Clock)
    seconds: int = 1
    predicted: float = 1.0
    results: dict[str, tuple[float, float]] = field(default_factory=dict)

    def predict_seconds(self, pairing):
        return self.predicted

    def with_validation(self, pairing, track):
        if pairing.name not in self.results:
            raise NotApplicableError("it has no linear layers")
        with explain_model_failure("it cannot be trained", "protocol.batch_size"):  # as in `CachedAccuracies`
            advance = track("training", self.seconds)
            for _ in range(self.seconds):
                self.clock.now += 1.0
                advance()
        validation, test = self.results[pairing.name]
        return Accuracy(
            test, "accuracy", {"validation": validation}, trainable_parameters=10, seconds=float(self.seconds)
        )


ACCURACIES = {"first": (0.7, 0.6), "second": (0.6, 0.9), "third": (0.5, 0.5)}


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("time.perf_counter", lambda: clock.now)
    return clock


@pytest.fixture
def compare(tmp_path, store, clock):
    """Return a function that compares regimes, given as (seconds, predicted seconds, accuracies) by name."""
    for name in ACCURACIES:
        np.savez(tmp_path / f"{name}.npz", features=np.eye(8), labels=np.arange(8) % 2)
    settings = {"device": "cpu", "batch_size": 16, "workers": 0, "seed": 0, "store": store, "draws": 20}
    parts = {"metric": LogME(), "perturbation": NoPerturbation(), "ground_truth": NoGroundTruth()}
    root = str(tmp_path)
    search = PoolSearch(
        arrays_pool(root),
        arrays(root),
        **parts,
        **settings,
        halving=Halving(first=4, top=1),
        budget=Budget(None),
        jobs=1,
    )
    models = (
        *(SearchedModel(n, i, score=0.5) for i, n in enumerate(ACCURACIES, 1)),
        SearchedModel("x", status="failed"),
    )
    result = SearchResult(CELL, models, "all images", 8, 2, 24, 1.0, command="transfer-exp run")

    def run(budget, measure="accuracy", **regimes):
        caches = {
            name: FakeRegime(NoGroundTruth(), store, "cpu", {}, clock, seconds, predicted, accuracies)
            for name, (seconds, predicted, accuracies) in regimes.items()
        }
        return RegimeComparison(search, caches, Budget(budget)).run(replace(result, measure=measure))

    return run


def test_models_come_by_rank_and_the_cheapest_regime_of_each_first(compare):
    result = compare(None, full=(10, 10.0, ACCURACIES), lora=(4, 4.0, ACCURACIES))
    order = [(name, regime) for name in ACCURACIES for regime in ("lora", "full")]
    assert [(pair.model, pair.regime) for pair in result.pairs] == order
    assert {pair.status for pair in result.pairs} == {"measured"}
    assert result.command == ""


def test_a_pair_that_does_not_fit_is_not_started_and_a_cheaper_one_of_a_later_model_is(compare, clock):
    result = compare(20.0, full=(10, 10.0, ACCURACIES), lora=(4, 4.0, ACCURACIES))
    statuses = {(pair.model, pair.regime): pair.status for pair in result.pairs}
    tried = {("first", "lora"), ("first", "full"), ("second", "lora")}
    assert {key for key, status in statuses.items() if status == "measured"} == tried
    assert {status for key, status in statuses.items() if key not in tried} == {"not tried"}
    assert clock.now == 18.0
    reasons = {(pair.model, pair.regime): pair.reason for pair in result.pairs}
    assert reasons["second", "full"] == "it needs up to 12.0 s, and 2.0 s were left"
    assert result.budget_seconds == 20.0


@pytest.mark.parametrize(("budget", "n_stopped"), [(9.0, 0), (16.0, 1), (30.0, 0), (60.0, 0)])
def test_the_budget_holds_although_the_training_takes_longer_than_predicted(compare, clock, budget, n_stopped):
    result = compare(budget, full=(7, 2.0, ACCURACIES), lora=(4, 4.0, ACCURACIES))
    assert clock.now <= budget + 1.0, "at most the step in progress"
    stopped = [pair for pair in result.pairs if "ended during the training" in pair.reason]
    assert len(stopped) == n_stopped
    assert all(pair.status == "not tried" and pair.accuracy is None for pair in stopped)
    assert result.pairs[0].status == "measured", "finished pairs are kept"


def test_a_budget_that_ends_during_the_first_training_says_so(compare, clock):
    with pytest.raises(InputError, match="of first with full, before any pair was finished: the same command with a l"):
        compare(5.0, full=(7, 2.0, ACCURACIES), lora=(4, 4.0, ACCURACIES))
    assert clock.now == 5.0


def test_a_budget_that_ends_after_a_regime_that_cannot_adapt_the_model_does_not_call_it_the_first_pair(compare):
    with pytest.raises(InputError, match="of first with full, before any pair was finished: the same command with a l"):
        compare(5.0, full=(7, 2.0, ACCURACIES), lora=(1, 1.0, {}))


def test_a_timeout_of_the_network_is_not_the_end_of_the_budget(compare, monkeypatch):
    def time_out(regime, pairing, track):
        raise TimeoutError("read of s3 timed out")

    monkeypatch.setattr(FakeRegime, "with_validation", time_out)
    with pytest.raises(TimeoutError, match="read of s3 timed out"):
        compare(None, full=(1, 1.0, ACCURACIES))


def test_the_best_pair_is_chosen_on_validation_and_not_on_test_images(compare):
    result = compare(None, full=(1, 1.0, ACCURACIES))
    assert (result.best_pair.model, result.best_pair.accuracy) == ("first", 0.6)
    smallest = compare(None, measure="rmse", full=(1, 1.0, ACCURACIES)).best_pair
    assert smallest.model == "third", "an error is best where it is smallest"


def test_of_equal_pairs_the_one_with_fewer_trained_parameters_is_best(compare):
    result = compare(None, full=(1, 1.0, ACCURACIES))
    for trained in (5, 0):
        few = replace(result.pairs[1], validation=0.7, trainable_parameters=trained)
        assert replace(result, pairs=(result.pairs[0], few)).best_pair == few
    unknown = replace(result.pairs[1], validation=0.7, trainable_parameters=None, model="a")
    assert replace(result, pairs=(unknown, result.pairs[0])).best_pair == result.pairs[0], "unknown: last"


def test_a_model_that_a_regime_cannot_adapt_is_named_and_the_others_go_on(compare):
    result = compare(None, full=(1, 1.0, ACCURACIES), lora=(1, 0.5, {"third": (0.5, 0.5)}))
    failed = [(pair.model, pair.reason) for pair in result.pairs if pair.status == "failed"]
    assert failed == [("first", "it has no linear layers"), ("second", "it has no linear layers")]
    with pytest.raises(InputError, match="no model can be fine-tuned by these regimes, such as first: it has no lin"):
        compare(None, lora=(1, 0.5, {}))


def test_the_time_that_a_pair_needs_differs_from_the_time_that_is_left(compare):
    result = compare(15.97, full=(10, 10.0, ACCURACIES), lora=(4, 4.0, ACCURACIES))
    (reason,) = (pair.reason for pair in result.pairs if (pair.model, pair.regime) == ("first", "full"))
    assert reason == "it needs up to 12.00 s, and 11.97 s were left"


def test_a_budget_that_no_pair_fits_names_the_cheapest_and_a_budget_that_suffices(compare, clock):
    clock.now, regimes = 3.0, {"full": (10, 10.0, ACCURACIES), "lora": (4, 4.0, ACCURACIES)}
    with pytest.raises(InputError, match=r"the cheapest, lora of first, needs up to 4\.8 s") as error:
        compare(4.0, **regimes)
    sufficient = float(re.search(r"set --budget (\d+)s", str(error.value))[1])
    assert compare((1 - RANKING_SHARE) * sufficient + 0.1, **regimes).best_pair.regime == "lora"


def test_a_budget_that_the_ranking_used_up_still_names_the_cheapest(compare):
    with pytest.raises(InputError, match=r"fits into the 0.0 s that the ranking left: the cheapest, lora of first"):
        compare(-1.0, full=(10, 10.0, ACCURACIES), lora=(4, 4.0, ACCURACIES))


def test_a_used_up_budget_before_a_stored_accuracy_asks_for_more_than_what_was_used(compare, clock, monkeypatch):
    def predict(regime, pairing):
        clock.now += 3.0
        return 0.0

    monkeypatch.setattr(FakeRegime, "predict_seconds", predict)
    with pytest.raises(InputError, match=r"used up before first with lora: set --budget (\d+)s$") as error:
        compare(2.0, lora=(0, 0.0, ACCURACIES))
    sufficient = float(re.search(r"set --budget (\d+)s", str(error.value))[1])
    assert compare(sufficient, lora=(0, 0.0, ACCURACIES)).best_pair.model == "first"


def test_a_budget_that_ends_after_a_model_that_cannot_be_adapted_says_so(compare, monkeypatch):
    def refuse(regime, pairing):
        raise NotApplicableError("it has no linear layers")

    monkeypatch.setattr(FakeRegime, "predict_seconds", refuse)
    with pytest.raises(InputError, match=r"ended after first, which .* \(it has no linear layers\): set a larger"):
        compare(-1.0, lora=(1, 1.0, ACCURACIES))
