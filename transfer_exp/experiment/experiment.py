"""One cell of a study: all models of a pool scored on one dataset, and the ranking compared with the ground truth.

A cell is a pool on a target dataset under one perturbation, metric and regime (the way to get true accuracies).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from transfer_exp.dataset.arrays import FeatureArrays
from transfer_exp.dataset.target_dataset import TargetDataset
from transfer_exp.errors import InputError, ModelFailureError, NotApplicableError
from transfer_exp.evaluation.ranking import Ranking
from transfer_exp.experiment.run_log import RunLog, TimedExtractor
from transfer_exp.experiment.score_cache import ScoreCache
from transfer_exp.experiment.scoring import Parts, Scoring, flatten_parts
from transfer_exp.features.model_on_target import check_pool_and_dataset, pair
from transfer_exp.ground_truth.accuracy_cache import CachedAccuracies
from transfer_exp.ground_truth.regime import Regime
from transfer_exp.metric.metric import Metric, PoolMetric
from transfer_exp.model_pool.pool import ModelPool
from transfer_exp.perturbation.perturbation import Perturbation
from transfer_exp.perturbation.strength_path import StrengthPath
from transfer_exp.progress import progress_bars
from transfer_exp.results.cell import CellResult, ModelResult
from transfer_exp.store import Store


@dataclass(frozen=True, eq=False)
class Experiment:
    """Settings of one cell.

    Attributes:
        pool, dataset, perturbation, metric, ground_truth, evaluation: Objects of the config groups.
        store: Cache of features, scores and trained accuracies.
        device, batch_size, workers: Settings of feature extraction, see `Extractor`.
        seed: Seed of the perturbation, the same for every model.
        protocol: Name of the fine-tuning protocol in tables; empty for a regime without one.
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

    @cached_property
    def scoring(self) -> Scoring:
        """The metric applied after the perturbation."""
        return Scoring(self.metric, self.perturbation, self.seed)

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
        parts: dict[str, Mapping[str, Parts]] = {}
        results: list[ModelResult] = []
        failures: list[str] = []
        score_cache = ScoreCache(self.scoring, self.store, self.dataset.name)
        names = {"pool": self.pool.name, "dataset": self.dataset.name, "regime": labels["ground_truth"]}
        names |= {"protocol": self.protocol, "seed": str(self.seed)}
        accuracy_cache = CachedAccuracies(self.ground_truth, self.store, self.device, names)
        bars = progress_bars(len(self.pool.candidates), f"{self.dataset.name}: models")
        with score_cache, bars as (track, advance):
            extractor = TimedExtractor(self.store, self.device, self.batch_size, self.workers, track, run_log=run_log)
            for candidate in self.pool.candidates:
                pairing = pair(candidate, self.dataset, extractor)
                accuracy, reason = None, ""
                try:
                    # The metric requests features; they are then extracted (timed as a nested stage) and perturbed.
                    with run_log.stage(pairing.name, "scoring"):
                        parts[pairing.name] = score_cache.compute_parts(pairing, self.ground_truth)
                    with run_log.stage(pairing.name, "ground_truth"):
                        accuracy = accuracy_cache(pairing, track)
                except NotApplicableError as error:
                    reason = str(error)
                    if isinstance(error, ModelFailureError):
                        failures.append(f"{pairing.name}: {reason}")
                value = None if accuracy is None else accuracy.value
                flat_parts = flatten_parts(parts.get(pairing.name, {}))
                results.append(ModelResult(pairing.name, score=None, accuracy=value, reason=reason, parts=flat_parts))
                run_log.add(pairing)
                advance()
        run_log.report_cache_hits()
        if failures and not parts:
            raise InputError(f"no model of {self.pool.name} can be scored on {self.dataset.name}; {failures[0]}")
        scores = dict(zip(parts, self.scoring.combine(list(parts.values())), strict=True))
        results = [replace(result, score=scores.get(result.model)) for result in results]
        agreement = self.evaluation(labels["metric"], results)
        return CellResult(
            {**labels, "model_pool": self.pool.name, "dataset": self.dataset.name, "seed": str(self.seed)},
            tuple(results),
            agreement.measures,
            agreement.null_band,
            agreement.tied,
            agreement.null_level,
        )
