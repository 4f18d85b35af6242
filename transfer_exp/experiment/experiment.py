"""One cell of a study: all models of a pool scored on one dataset, and the ranking compared with the ground truth.

A cell is a pool on a target dataset under one perturbation, metric and regime (the way to get true accuracies).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

from transfer_exp.dataset.inspection import ALL_SPLITS, SCORING_SET
from transfer_exp.errors import InputError, ModelFailureError, NotApplicableError
from transfer_exp.evaluation.ranking import Ranking
from transfer_exp.experiment.pool_on_dataset import PoolOnDataset
from transfer_exp.experiment.run_log import RunLog
from transfer_exp.experiment.score_cache import ScoreCache
from transfer_exp.experiment.scoring import Parts, Scoring, flatten_parts
from transfer_exp.features.model_on_target import NetworkOnImages, Pairing
from transfer_exp.ground_truth.accuracy_cache import CachedAccuracies
from transfer_exp.ground_truth.regime import Regime
from transfer_exp.io.measures import common_measure
from transfer_exp.metric.metric import Metric, PoolMetric
from transfer_exp.perturbation.perturbation import Perturbation
from transfer_exp.perturbation.strength_path import StrengthPath
from transfer_exp.progress import Track, phase
from transfer_exp.results.cell import CellResult, ModelResult


@dataclass(frozen=True, eq=False, kw_only=True)
class Experiment(PoolOnDataset):
    """Settings of one cell.

    Attributes:
        perturbation, metric, ground_truth, evaluation: Objects of the config groups.
        protocol: Name of the fine-tuning protocol in tables; empty for a regime without one.
    """

    perturbation: Perturbation | StrengthPath
    metric: Metric | PoolMetric
    ground_truth: Regime
    evaluation: Ranking
    protocol: str = ""

    @cached_property
    def scoring(self) -> Scoring:
        """The metric applied after the perturbation."""
        return Scoring(self.metric, self.perturbation, self.seed)

    def run(self, option_names: Mapping[str, str], run_log: RunLog | None = None) -> CellResult:
        """Score every model after the perturbation, get its accuracy, and compare scores with accuracies.

        Args:
            option_names: Names of ``perturbation``, ``metric`` and ``ground_truth`` in tables.
            run_log: Log to fill; None discards it.

        Raises:
            InputError: If an input is invalid, or no model has a score and one of them failed (rather than not being
                applicable).
        """
        if self.ground_truth.trains and self.dataset.target_kind == "unlabelled":
            raise InputError(
                f"{self.dataset.name} has no labels to train on: set ground_truth=none, or label the images"
            )
        run_log = run_log or RunLog()
        run_log.findings = self.check_images(ALL_SPLITS if self.ground_truth.trains else SCORING_SET)
        outcomes: list[_Outcome] = []
        score_cache = ScoreCache(self.scoring, self.store, self.dataset.name, self.dataset.target_kind)
        accuracy_cache = self.cached_accuracies(self.ground_truth, option_names["ground_truth"], self.protocol)
        with score_cache:
            for outcome in self.for_each_model(partial(self._work_on, score_cache, accuracy_cache), run_log):
                outcomes.append(outcome)
                score_cache.add(outcome.new_scores)
        results = self._combine(outcomes)
        accuracy_measures = [outcome.measure for outcome in outcomes if outcome.result.accuracy is not None]
        measure = common_measure(accuracy_measures or [self.dataset.measure], f"dataset {self.dataset.name}")
        agreement = self.evaluation(option_names["metric"], results, measure)
        return CellResult(
            self.cell(option_names),
            tuple(results),
            agreement.measures,
            agreement.null_band,
            agreement.tied,
            agreement.null_level,
            measure,
        )

    def _work_on(
        self,
        score_cache: ScoreCache,
        accuracy_cache: CachedAccuracies,
        pairing: Pairing,
        track: Track,
        run_log: RunLog,
    ) -> _Outcome:
        """Score one model and get its accuracy; record the reason if either does not apply or fails."""
        parts: Mapping[str, Parts] | None = None
        facts, is_failure, measure = dict[str, Any](), False, ""
        try:
            # The metric requests features; they are then extracted (timed as a nested stage) and perturbed.
            with run_log.stage(pairing.name, "scoring"):
                phase(f"scoring {pairing.name}")
                layers: Sequence[Pairing] = pairing.one_per_layer()
                pairing, parts, layer_scores = self.scoring.best_layer(
                    layers, lambda layer: score_cache.compute_parts(layer, self.ground_truth)
                )
                facts |= {"parts": flatten_parts(parts), "layer": pairing.layer, "layer_scores": layer_scores}
            with run_log.stage(pairing.name, "ground_truth"):
                phase(f"accuracy of {pairing.name}")
                accuracy = accuracy_cache(pairing, track)
            if accuracy is not None:
                facts |= {"accuracy": accuracy.value, "trainable_parameters": accuracy.trainable_parameters}
                facts["training_seconds"], measure = accuracy.seconds, accuracy.measure
        except NotApplicableError as error:
            facts["reason"], is_failure = str(error), isinstance(error, ModelFailureError)
        if isinstance(pairing, NetworkOnImages):  # arrays have no network, and so no costs to log
            run_log.add(pairing)
        result = ModelResult(pairing.name, score=None, **facts)
        return _Outcome(result, parts, is_failure, score_cache.take_unsaved(), measure)

    def _combine(self, outcomes: Sequence[_Outcome]) -> list[ModelResult]:
        """Return the results of all models with their scores; InputError if there is none and a model failed."""
        failures = [f"{o.result.model}: {o.result.reason}" for o in outcomes if o.is_failure]
        parts = {o.result.model: o.parts for o in outcomes if o.parts is not None}
        if failures and not parts:
            raise InputError(f"no model of {self.pool.name} can be scored on {self.dataset.name}; {failures[0]}")
        scores = dict(zip(parts, self.scoring.combine(list(parts.values())), strict=True))
        return [replace(o.result, score=scores.get(o.result.model)) for o in outcomes]


class _Outcome(NamedTuple):
    """What the work on one model gives.

    Attributes:
        result: The result without its score, which may depend on the other models.
        parts: What the metric computes of this model alone, for `Scoring.combine`; None if it was not scored.
        is_failure: Whether the model fails, rather than not being applicable.
        new_scores: See `ScoreCache.take_unsaved`.
        measure: Measure of the accuracy; empty without one.
    """

    result: ModelResult
    parts: Mapping[str, Parts] | None
    is_failure: bool
    new_scores: dict[str, dict[str, Parts]]
    measure: str
