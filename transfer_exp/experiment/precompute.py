"""Precomputation of features and accuracies for the models of a pool on one dataset, ahead of scoring."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from transfer_exp.dataset.arrays import FeatureArrays
from transfer_exp.dataset.inspection import ALL_SPLITS, Part, inspect_and_log
from transfer_exp.dataset.target_dataset import TargetDataset
from transfer_exp.errors import InputError, ModelFailureError, NotApplicableError
from transfer_exp.experiment.parallel import Jobs, count_jobs, map_models
from transfer_exp.experiment.run_log import CacheHits, RunLog
from transfer_exp.features.extraction import Extractor
from transfer_exp.features.model_on_target import (
    ModelArrays,
    NetworkOnImages,
    Pairing,
    Split,
    check_pool_and_dataset,
    pair,
)
from transfer_exp.ground_truth.accuracy_cache import CachedAccuracies
from transfer_exp.ground_truth.regime import Regime, require_grid
from transfer_exp.model_pool.layers import HEAD_INPUT, LayerSetting, Pooling
from transfer_exp.model_pool.pool import Candidate, ModelPool
from transfer_exp.progress import Track, progress_bars
from transfer_exp.store import Store

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Precomputation:
    """Fill the store for a pool on one dataset; every method counts the values that were computed and already there.

    Attributes:
        pool, dataset: Objects of the config groups.
        store: Store to fill.
        device, batch_size, workers, layer, pooling: Settings of feature extraction, see `Extractor`.
        run_log: Log to fill.
        jobs: Number of models to work on at a time, see `count_jobs`.
        inspect: Whether to inspect the images that are read, and refuse unreadable ones before any work.
    """

    pool: ModelPool
    dataset: TargetDataset | FeatureArrays
    store: Store
    device: str
    batch_size: int
    workers: int
    run_log: RunLog = field(default_factory=RunLog)
    jobs: Jobs = 1
    inspect: bool = True
    layer: LayerSetting = HEAD_INPUT
    pooling: Pooling | None = None

    def extract_features(self, splits: Sequence[Split]) -> CacheHits:
        """Compute the features of the splits that the dataset has.

        Raises:
            InputError: If a model or an image cannot be read.
        """

        def extract(pairing: Pairing, track: Track) -> None:
            for layer in pairing.layers():
                for split in splits:
                    layer.features(split)

        return self._for_each_model(extract, splits)

    def compute_accuracies(self, regime: Regime, names: Mapping[str, str]) -> CacheHits:
        """Compute the accuracies under a regime.

        Args:
            regime: Object of the config group ``ground_truth``.
            names: Names of the cell in the table of accuracies, see `CachedAccuracies`.

        Raises:
            InputError: If the regime does not train, or under the conditions of `extract_features`.
        """
        if not regime.trains:
            raise InputError("stage=finetune needs a ground_truth that trains: full, last_block or linear_probe")
        return self._for_each_model(CachedAccuracies(regime, self.store, self.device, names), ALL_SPLITS)

    def train_grid_point(self, regime: Regime, names: Mapping[str, str], point: int) -> CacheHits:
        """Train one point of a regime's grid for every model.

        Args:
            regime, names: Parameters of `compute_accuracies`.
            point: Position in the grid, from 0.

        Raises:
            InputError: If the regime has no grid, or under the conditions of `extract_features`.
        """
        grid, accuracy_cache = require_grid(regime), CachedAccuracies(regime, self.store, self.device, names)

        def train_point(pairing: Pairing, track: Track) -> None:
            if isinstance(pairing, NetworkOnImages):
                accuracy_cache.train_point(grid, pairing, point, track)

        return self._for_each_model(train_point, ALL_SPLITS)

    def _for_each_model(self, work: Callable[[Pairing, Track], object], splits: Sequence[Part]) -> CacheHits:
        """Do some work on splits for every model, and log the models that cannot be used; InputError if none can."""
        check_pool_and_dataset(self.pool, self.dataset)
        if self.inspect:
            self.run_log.findings = inspect_and_log(self.dataset, splits, self.store, self.workers)
        failures: list[str] = []
        n_jobs = count_jobs(self.jobs, len(self.pool.candidates), self.device, self.store)
        with progress_bars(len(self.pool.candidates), f"{self.dataset.name}: models") as (track, advance):
            for failure, run_log in map_models(partial(self._work_on, work), self.pool.candidates, n_jobs, track):
                failures += [failure] if failure else []
                self.run_log.merge(run_log)
                advance()
        if isinstance(self.dataset, FeatureArrays):
            for candidate in self.pool.candidates:
                self.run_log.add(ModelArrays(candidate.name, self.dataset))
        self.run_log.report_cache_hits()
        if failures and len(failures) == len(self.pool.candidates):
            raise InputError(f"no model of {self.pool.name} can be used on {self.dataset.name}; {failures[0]}")
        return self.run_log.cache_hits

    def _work_on(
        self, work: Callable[[Pairing, Track], object], candidate: Candidate, track: Track
    ) -> tuple[str, RunLog]:
        """Do some work for one model; return the failure of the model, or an empty text, and a log."""
        run_log, failure = RunLog(), ""
        extractor = Extractor(
            self.store, self.device, self.batch_size, self.workers, track, layer=self.layer, pooling=self.pooling
        )
        pairing = pair(candidate, self.dataset, extractor)
        try:
            work(pairing, track)
        except NotApplicableError as reason:
            _log.warning("%s is skipped: %s", candidate.name, reason)
            failure = f"{candidate.name}: {reason}" if isinstance(reason, ModelFailureError) else ""
        if isinstance(pairing, NetworkOnImages):
            run_log.add(pairing)
        return failure, run_log
