"""Base of everything that works on the models of a pool on one dataset: cells, score matrices and searches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, TypeVar

from transfer_exp.dataset.arrays import FeatureArrays
from transfer_exp.dataset.inspection import inspect_and_log
from transfer_exp.dataset.split_names import Part
from transfer_exp.dataset.target_dataset import TargetDataset
from transfer_exp.errors import InputError
from transfer_exp.experiment.parallel import SERIAL_SECONDS, Jobs, count_jobs, map_models
from transfer_exp.experiment.run_log import RunLog, TimedExtractor
from transfer_exp.features.extraction import Extractor
from transfer_exp.features.model_on_target import ModelArrays, Pairing, pair
from transfer_exp.ground_truth.accuracy_cache import CachedAccuracies
from transfer_exp.ground_truth.regime import Regime
from transfer_exp.model_pool.layers import HEAD_INPUT, LayerSetting, Pooling
from transfer_exp.model_pool.pool import Candidate, ModelPool
from transfer_exp.progress import Track, progress_bars
from transfer_exp.store import Store

Value = TypeVar("Value")
_OF_EXTRACTOR = ("store", "device", "batch_size", "workers", "layer", "pooling")


@dataclass(frozen=True, eq=False)
class PoolOnDataset:
    """A pool and a dataset, the settings for working on them, and the loop over the models.

    Attributes:
        pool, dataset: Objects of the config groups.
        store: Cache of features, scores and trained accuracies.
        device, batch_size, workers, layer, pooling: Settings of feature extraction, see `Extractor`.
        seed: Seed of everything random, the same for every model.
        jobs: Number of models to work on at a time, see `count_jobs`.
        inspect: Whether to inspect the images that are read, and refuse unreadable ones before any work.
    """

    pool: ModelPool
    dataset: TargetDataset | FeatureArrays
    _: KW_ONLY
    store: Store
    device: str
    batch_size: int
    workers: int
    seed: int
    jobs: Jobs = 1
    inspect: bool = True
    layer: LayerSetting = HEAD_INPUT
    pooling: Pooling | None = None

    def cell(self, option_names: Mapping[str, str]) -> dict[str, str]:
        """Return the names of a cell: those of its options, the pool and the dataset, and the seed."""
        return {**option_names, "model_pool": self.pool.name, "dataset": self.dataset.name, "seed": str(self.seed)}

    def extractor(self, track: Track, run_log: RunLog | None = None) -> Extractor:
        """Return the extractor of the features; it logs the time of each pass if there is a log."""
        settings: dict[str, Any] = {name: getattr(self, name) for name in _OF_EXTRACTOR} | {"track": track}
        return Extractor(**settings) if run_log is None else TimedExtractor(**settings, run_log=run_log)

    def cached_accuracies(self, regime: Regime, label: str, protocol: str) -> CachedAccuracies:
        """Return the accuracies under a regime, which the store keeps.

        Args:
            regime: Object of the config group ``ground_truth``.
            label, protocol: Names of the regime and of its protocol in the table of accuracies.
        """
        names = {"pool": self.pool.name, "dataset": self.dataset.name, "regime": label, "protocol": protocol}
        return CachedAccuracies(regime, self.store, self.device, {**names, "seed": str(self.seed)})

    def check_images(self, splits: Sequence[Part], **options: Any) -> list[str]:
        """Inspect the images of some splits, unless the settings turn it off, and return the findings.

        Args:
            splits: Splits that the work reads.
            **options: Options of `inspect_and_log`.

        Raises:
            InputError: If only one of pool and dataset consists of arrays, or an image cannot be read.
        """
        if isinstance(self.dataset, FeatureArrays) != (self.pool.name == "arrays"):
            raise InputError("dataset=arrays and model_pool=arrays go together: set both or neither")
        return inspect_and_log(self.dataset, splits, self.store, self.workers, **options) if self.inspect else []

    def for_each_model(
        self,
        work: Callable[[Pairing, Track, RunLog], Value],
        run_log: RunLog | None = None,
        pool: ModelPool | None = None,
        what: str = "models",
    ) -> Iterator[Value]:
        """Yield the value of some work on each model, in the order of the pool, and show the progress.

        Args:
            work: Function of a model on the dataset, of the callback for its progress, and of a log that it may fill.
            run_log: Log to add those of all models to.
            pool: Models to work on; by default all.
            what: Noun for the progress.
        """
        pool, run_log = pool or self.pool, run_log or RunLog()
        n_jobs = count_jobs(self.jobs, len(pool.candidates), self.device, self.store)
        is_arrays = isinstance(self.dataset, FeatureArrays)

        def work_on(candidate: Candidate, track: Track) -> tuple[Value, RunLog]:
            model_log = RunLog()
            return work(pair(candidate, self.dataset, self.extractor(track, model_log)), track, model_log), model_log

        with progress_bars(len(pool.candidates), f"{self.dataset.name}: {what}") as (track, advance):
            values = map_models(work_on, pool.candidates, n_jobs, track, SERIAL_SECONDS if is_arrays else 0.0)
            for candidate, (value, model_log) in zip(pool.candidates, values, strict=True):
                run_log.merge(model_log)
                if isinstance(self.dataset, FeatureArrays):  # Not from a worker: arrays can be large.
                    run_log.add(ModelArrays(candidate.name, self.dataset))
                yield value
                advance()
        run_log.report_cache_hits()
