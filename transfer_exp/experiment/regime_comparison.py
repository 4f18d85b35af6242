"""Comparison of pairs of model and regime (a way to adapt the model) within what is left of a time budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from transfer_exp.errors import InputError, NotApplicableError, format_apart
from transfer_exp.experiment.budget import Budget
from transfer_exp.experiment.run_log import RunLog
from transfer_exp.experiment.search import PoolSearch
from transfer_exp.features.model_on_target import Pairing
from transfer_exp.ground_truth.accuracy_cache import CachedAccuracies
from transfer_exp.progress import Track
from transfer_exp.results.search import AdaptedModel, SearchResult, format_seconds

RANKING_SHARE = 0.25
"""Share of the time budget that the search may take."""
_MARGIN = 1.2
"""Factor of the predicted time that must be left for a pair to start."""
_NOT_REACHED, _STOPPED = "the time budget was used up before", "the time budget ended during the training"


class _BudgetSpentError(TimeoutError):
    """Raised at the first step of a training after the end of the budget.

    An `OSError`, which `explain_model_failure` does not take for a failure of the network.
    """


@dataclass(frozen=True, eq=False)
class RegimeComparison:
    """Fine-tunes the models of a search in the order of their ranks, each by its cheapest regime first.

    Before the first training of a model, the time of each of its regimes is predicted. A pair that does not fit into
    the rest of the budget is not started, and cheaper pairs of later models may still be.

    Attributes:
        search: Search that has ranked the models. Its pool, dataset and settings are used.
        regimes: Accuracies under each regime, by its label.
        budget: Time budget of the search and the comparison together.
    """

    search: PoolSearch
    regimes: Mapping[str, CachedAccuracies]
    budget: Budget

    def run(self, result: SearchResult) -> SearchResult:
        """Return the result of the search with the pairs.

        Raises:
            InputError: If no pair can be fine-tuned, or none within the budget.
        """
        ranked = [model.model for model in result.models if model.rank is not None]
        left = max(self.budget.left(), 0.0)
        pool = self.search.pool.select(ranked)
        adapt = partial(self._adapt, ranked[0])
        by_model = self.search.for_each_model(adapt, pool=pool, what="fine-tuning")
        pairs = tuple(pair for pairs in by_model for pair in pairs)
        if not any(pair.status == "measured" for pair in pairs):
            raise self._nothing_measured(pairs, left)
        return replace(result, pairs=pairs, command="", budget_seconds=self.budget.seconds)

    def _adapt(self, first: str, pairing: Pairing, track: Track, run_log: RunLog) -> list[AdaptedModel]:
        """Return the pairs of one model, cheapest first; the times of the ``first`` model are predicted in any case."""
        if self.budget.left() <= 0 and pairing.name != first:
            return [AdaptedModel(pairing.name, label, "not tried", reason=_NOT_REACHED) for label in self.regimes]
        predicted = [self._predict(pairing, label) for label in self.regimes]
        predicted.sort(key=lambda pair: pair.expected_seconds or 0.0)
        return [self._measure(pairing, pair, track) for pair in predicted]

    def _predict(self, pairing: Pairing, label: str) -> AdaptedModel:
        """Return a pair with its predicted time, or as failed."""
        pair = AdaptedModel(pairing.name, label, "not tried")
        try:
            return replace(pair, expected_seconds=self.regimes[label].predict_seconds(pairing))
        except NotApplicableError as error:
            return replace(pair, status="failed", reason=str(error))

    def _measure(self, pairing: Pairing, pair: AdaptedModel, track: Track) -> AdaptedModel:
        """Return a pair after training, or with the reason why it has no accuracy."""
        if pair.status == "failed":
            return pair
        expected, left = pair.expected_seconds or 0.0, self.budget.left()
        if left <= 0:
            return replace(pair, reason=_NOT_REACHED)
        if expected * _MARGIN > left:
            needed, rest = format_apart(expected * _MARGIN, left, format_seconds)
            return replace(pair, reason=f"it needs up to {needed}, and {rest} were left")
        try:
            accuracy = self.regimes[pair.regime].with_validation(pairing, self._within_budget(track))
        except _BudgetSpentError:
            return replace(pair, reason=_STOPPED)
        except NotApplicableError as error:
            return replace(pair, status="failed", reason=str(error))
        if accuracy is None or "validation" not in accuracy.chosen:
            return replace(pair, status="failed", reason="the regime gives no accuracy on validation images")
        return replace(
            pair,
            status="measured",
            accuracy=accuracy.value,
            validation=accuracy.chosen["validation"],
            trainable_parameters=accuracy.trainable_parameters,
            training_seconds=accuracy.seconds,
        )

    def _within_budget(self, track: Track) -> Track:
        """Return a progress display that raises `_BudgetSpentError` at the first step after the end of the budget."""

        def start(description: str, total: int) -> Callable[[], object]:
            advance = track(description, total)

            def advance_within_budget() -> None:
                if self.budget.left() <= 0:
                    raise _BudgetSpentError
                advance()

            return advance_within_budget

        return start

    def _nothing_measured(self, pairs: tuple[AdaptedModel, ...], left: float) -> InputError:
        """Return the error about pairs none of which has an accuracy."""
        not_tried = [pair for pair in pairs if pair.status == "not tried"]
        if not not_tried:
            first = pairs[0]
            return InputError(f"no model can be fine-tuned by these regimes, such as {first.model}: {first.reason}")
        for pair in not_tried:
            if pair.reason == _STOPPED:
                return InputError(
                    f"the time budget ended during the training of {pair.model} with {pair.regime}, before any pair "
                    "was finished: the same command with a larger --budget continues there"
                )
        predicted = [pair for pair in not_tried if pair.expected_seconds is not None]
        if not predicted:
            return InputError(
                f"the time budget ended after {pairs[0].model}, which cannot be fine-tuned by these regimes "
                f"({pairs[0].reason}): set a larger --budget"
            )
        cheapest = min(predicted, key=lambda pair: pair.expected_seconds or 0.0)
        needed = _MARGIN * (cheapest.expected_seconds or 0.0)
        total = math.floor(max(self.budget.spent + needed, needed / (1 - RANKING_SHARE))) + 1
        if needed == 0:  # a stored accuracy, or a time that is unknown
            return InputError(
                f"the time budget was used up before {cheapest.model} with {cheapest.regime}: set --budget {total}s"
            )
        needed_text, left_text = format_apart(needed, left, format_seconds)
        return InputError(
            f"no pair of model and regime fits into the {left_text} that the ranking left: the cheapest, "
            f"{cheapest.regime} of {cheapest.model}, needs up to {needed_text}: set --budget {total}s"
        )
