"""One cell of a study: every model of a pool scored on one dataset, and the ranking compared with the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from transfer_exp.dataset.arrays import FeatureArrays
from transfer_exp.dataset.target_dataset import TargetDataset
from transfer_exp.errors import NotApplicableError
from transfer_exp.evaluation.ranking import Ranking
from transfer_exp.experiment.precompute import CacheCounts, log_cache_counts
from transfer_exp.experiment.run_log import RunLog, TimedExtractor
from transfer_exp.experiment.score_cache import ScoreCache, open_score_cache
from transfer_exp.experiment.scoring import Parts, Scoring, flat
from transfer_exp.features.model_on_target import Pairing, check_pool_and_dataset, pair
from transfer_exp.ground_truth.accuracy_cache import CachedAccuracies
from transfer_exp.ground_truth.regime import Regime
from transfer_exp.metric.metric import Metric, PoolMetric
from transfer_exp.model_pool.pool import ModelPool
from transfer_exp.perturbation.perturbation import Perturbation
from transfer_exp.perturbation.strength_path import StrengthPath
from transfer_exp.progress import Track, progress_bars
from transfer_exp.results.cell import CellResult, ModelResult
from transfer_exp.store import Store


@dataclass(frozen=True, eq=False)
class Experiment:
    """The parts of one cell.

    Attributes
    ----------
    pool, dataset, perturbation, metric, ground_truth, evaluation
        As their config groups describe them.
    store
        Keeps features, scores and trained accuracies.
    device, batch_size, workers
        Of feature extraction.
    seed
        Of the perturbation; the same draw for every model.
    protocol
        What the protocol of fine-tuning is called in tables; empty for a regime that has none.
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
        """The metric after the perturbation."""
        return Scoring(self.metric, self.perturbation, self.seed)

    def run(self, labels: Mapping[str, str], run_log: RunLog | None = None) -> CellResult:
        """Score, adapt and compare.

        Parameters
        ----------
        labels
            What the cell is called in tables, by config group; pool and dataset name themselves.
        run_log
            Filled on the way.

        Raises
        ------
        InputError
            For bad input of any kind, naming the model where one is at fault.
        """
        check_pool_and_dataset(self.pool, self.dataset)
        cell = {**labels, "model_pool": self.pool.name, "dataset": self.dataset.name, "seed": str(self.seed)}
        found: CacheCounts = Counter()
        names = {"pool": self.pool.name, "dataset": self.dataset.name, "regime": labels["ground_truth"]}
        names |= {"protocol": self.protocol, "seed": str(self.seed)}
        measuring = CachedAccuracies(self.ground_truth, self.store, self.device, names)
        run_log = run_log or RunLog()
        models: list[ModelResult] = []
        parts: dict[str, Mapping[str, Parts]] = {}
        remembered = open_score_cache(self.scoring, self.store, self.dataset.name)
        bars = progress_bars(len(self.pool.candidates), f"{self.dataset.name}: models")
        with remembered as scoring, bars as (track, next_model):
            how = (self.store, self.device, self.batch_size, self.workers)
            extractor = TimedExtractor(*how, track, run_log=run_log)
            for candidate in self.pool.candidates:
                pairing = pair(candidate, self.dataset, extractor)
                models.append(self._one(pairing, scoring, measuring, parts, track, run_log))
                found.update(pairing.cache_hits.items())
                run_log.cache_references.extend(pairing.cache_references())
                next_model()
        log_cache_counts(found)
        scores = dict(zip(parts, self.scoring.combine(list(parts.values())), strict=True))
        models = [replace(m, score=scores[m.model]) if m.model in scores else m for m in models]
        agreement = self.evaluation(labels["metric"], models)
        return CellResult(
            cell, tuple(models), agreement.measures, agreement.null_band, agreement.tied, agreement.null_level
        )

    def _one(
        self,
        pairing: Pairing,
        scoring: ScoreCache,
        measuring: CachedAccuracies,
        parts: dict[str, Mapping[str, Parts]],
        track: Track,
        run_log: RunLog,
    ) -> ModelResult:
        """Collect the parts of a model's score and obtain its accuracy, or say why either is missing."""
        try:
            with run_log.stage(pairing.name, "scoring"):
                own = scoring.parts(pairing, self.ground_truth)
        except NotApplicableError as reason:
            return ModelResult(pairing.name, None, reason=str(reason))
        parts[pairing.name] = own
        run_log.scoring_sets[pairing.name] = pairing.reader("scoring_set")
        try:
            with run_log.stage(pairing.name, "ground_truth"):
                accuracy = measuring(pairing, track)
        except NotApplicableError as reason:
            return ModelResult(pairing.name, None, reason=str(reason), parts=flat(own))
        return ModelResult(pairing.name, None, None if accuracy is None else accuracy.value, parts=flat(own))
