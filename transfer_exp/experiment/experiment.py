"""One cell of a study: all models of a pool scored on one dataset, and the ranking compared with the ground truth.

A cell is a pool on a target dataset under one perturbation, metric and regime (the way to get true accuracies).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import NamedTuple

from transfer_exp.dataset.arrays import FeatureArrays
from transfer_exp.dataset.inspection import ALL_SPLITS, SCORING_SET, inspect_and_log
from transfer_exp.dataset.target_dataset import TargetDataset
from transfer_exp.errors import InputError, ModelFailureError, NotApplicableError
from transfer_exp.evaluation.ranking import Ranking
from transfer_exp.experiment.parallel import SERIAL_SECONDS, Jobs, count_jobs, map_models
from transfer_exp.experiment.run_log import RunLog, TimedExtractor
from transfer_exp.experiment.score_cache import ScoreCache
from transfer_exp.experiment.scoring import BestLayer, Parts, Scoring, flatten_parts
from transfer_exp.features.model_on_target import ModelArrays, NetworkOnImages, Pairing, check_pool_and_dataset, pair
from transfer_exp.ground_truth.accuracy_cache import CachedAccuracies
from transfer_exp.ground_truth.regime import Regime
from transfer_exp.io.measures import common_measure
from transfer_exp.metric.metric import Metric, PoolMetric
from transfer_exp.model_pool.layers import HEAD_INPUT, LayerSetting, Pooling
from transfer_exp.model_pool.pool import Candidate, ModelPool
from transfer_exp.perturbation.perturbation import Perturbation
from transfer_exp.perturbation.strength_path import StrengthPath
from transfer_exp.progress import Track, phase, progress_bars
from transfer_exp.results.cell import CellResult, ModelResult
from transfer_exp.store import Store


@dataclass(frozen=True, eq=False)
class Experiment:
    """Settings of one cell.

    Attributes:
        pool, dataset, perturbation, metric, ground_truth, evaluation: Objects of the config groups.
        store: Cache of features, scores and trained accuracies.
        device, batch_size, workers, layer, pooling: Settings of feature extraction, see `Extractor`.
        seed: Seed of the perturbation, the same for every model.
        protocol: Name of the fine-tuning protocol in tables; empty for a regime without one.
        jobs: Number of models to work on at a time, see `count_jobs`.
        inspect: Whether to inspect the images that the run reads, and refuse unreadable ones before any work.
    """

    pool: ModelPool
    dataset: TargetDataset | FeatureArrays
    perturbation: Perturbation | StrengthPath
    metric: Metric | PoolMetric
    ground_truth: Regime
    evaluation: Ranking
    store: Store
    device: str
    batch_size: int
    workers: int
    seed: int
    protocol: str = ""
    jobs: Jobs = 1
    inspect: bool = True
    layer: LayerSetting = HEAD_INPUT
    pooling: Pooling | None = None

    @cached_property
    def scoring(self) -> Scoring:
        """The metric applied after the perturbation."""
        return Scoring(self.metric, self.perturbation, self.seed)

    def cell(self, labels: Mapping[str, str]) -> dict[str, str]:
        """Return the labels of the cell in tables, with the names of its pool and target."""
        return {**labels, "model_pool": self.pool.name, "dataset": self.dataset.name, "seed": str(self.seed)}

    def run(self, labels: Mapping[str, str], run_log: RunLog | None = None) -> CellResult:
        """Extract features, perturb them, score and adapt every model, and compare scores with accuracies.

        Args:
            labels: Names of ``perturbation``, ``metric`` and ``ground_truth`` in tables.
            run_log: Log to fill; None discards it.

        Raises:
            InputError: If an input is invalid, or no model has a score because each of them fails.
        """
        check_pool_and_dataset(self.pool, self.dataset)
        run_log = run_log or RunLog()
        if self.inspect:
            splits = ALL_SPLITS if self.ground_truth.trains else SCORING_SET
            run_log.findings = inspect_and_log(self.dataset, splits, self.store, self.workers)
        outcomes: list[_Outcome] = []
        score_cache = ScoreCache(self.scoring, self.store, self.dataset.name, self.dataset.target_kind)
        names = {"pool": self.pool.name, "dataset": self.dataset.name, "regime": labels["ground_truth"]}
        names |= {"protocol": self.protocol, "seed": str(self.seed)}
        accuracy_cache = CachedAccuracies(self.ground_truth, self.store, self.device, names)
        bars = progress_bars(len(self.pool.candidates), f"{self.dataset.name}: models")
        with score_cache, bars as (track, advance):
            work = partial(self._work_on, score_cache, accuracy_cache)
            n_jobs = count_jobs(self.jobs, len(self.pool.candidates), self.device, self.store)
            alone = SERIAL_SECONDS if isinstance(self.dataset, FeatureArrays) else 0.0
            for outcome in map_models(work, self.pool.candidates, n_jobs, track, alone):
                outcomes.append(outcome)
                run_log.merge(outcome.run_log)
                score_cache.add(outcome.new_scores)
                advance()
        if isinstance(self.dataset, FeatureArrays):
            for candidate in self.pool.candidates:
                run_log.add(ModelArrays(candidate.name, self.dataset))
        run_log.report_cache_hits()
        results = self._combine(outcomes)
        measures = [outcome.measure for outcome in outcomes if outcome.result.accuracy is not None]
        measure = common_measure(measures or [self.dataset.measure], f"dataset {self.dataset.name}")
        agreement = self.evaluation(labels["metric"], results, measure)
        return CellResult(
            self.cell(labels),
            tuple(results),
            agreement.measures,
            agreement.null_band,
            agreement.tied,
            agreement.null_level,
            measure,
        )

    def _work_on(
        self, score_cache: ScoreCache, accuracy_cache: CachedAccuracies, candidate: Candidate, track: Track
    ) -> _Outcome:
        """Score and adapt one model."""
        run_log = RunLog()
        extractor = TimedExtractor(
            self.store,
            self.device,
            self.batch_size,
            self.workers,
            track,
            layer=self.layer,
            pooling=self.pooling,
            run_log=run_log,
        )
        pairing: Pairing = pair(candidate, self.dataset, extractor)
        best: BestLayer[Pairing] | None = None
        accuracy, reason, is_failure = None, "", False
        try:
            # The metric requests features; they are then extracted (timed as a nested stage) and perturbed.
            with run_log.stage(pairing.name, "scoring"):
                phase(f"scoring {pairing.name}")
                layers: Sequence[Pairing] = pairing.layers()
                best = self.scoring.best_layer(
                    layers, lambda layer: score_cache.compute_parts(layer, self.ground_truth)
                )
                pairing = best.pairing
            with run_log.stage(pairing.name, "ground_truth"):
                phase(f"accuracy of {pairing.name}")
                accuracy = accuracy_cache(pairing, track)
        except NotApplicableError as error:
            reason, is_failure = str(error), isinstance(error, ModelFailureError)
        if isinstance(pairing, NetworkOnImages):  # Arrays can be large, and are added where they are needed.
            run_log.add(pairing)
        result = ModelResult(pairing.name, score=None, reason=reason)
        if best is not None:
            result = replace(
                result, parts=flatten_parts(best.parts), layer=pairing.layer, layer_scores=best.layer_scores
            )
        if accuracy is not None:
            result = replace(
                result,
                accuracy=accuracy.value,
                trainable_parameters=accuracy.trainable_parameters,
                training_seconds=accuracy.seconds,
            )
        parts, measure = None if best is None else best.parts, "" if accuracy is None else accuracy.measure
        return _Outcome(result, parts, is_failure, run_log, score_cache.take_unsaved(), measure)

    def _combine(self, outcomes: Sequence[_Outcome]) -> list[ModelResult]:
        """Return the results of all models with their scores; InputError if there is none because all models fail."""
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
        parts: Parts of the score by step; None if there is none.
        is_failure: Whether the model fails, rather than not being applicable.
        run_log: Log of this model.
        new_scores: See `ScoreCache.take_unsaved`.
        measure: Measure of the accuracy; empty without one.
    """

    result: ModelResult
    parts: Mapping[str, Parts] | None
    is_failure: bool
    run_log: RunLog
    new_scores: dict[str, dict[str, Parts]]
    measure: str
