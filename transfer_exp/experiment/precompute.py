"""Precomputation the store ahead of scoring: features, or accuracies, of each model of a pool on one target."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from transfer_exp.dataset.arrays import FeatureArrays
from transfer_exp.dataset.target_dataset import TargetDataset
from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.experiment.run_log import RunLog
from transfer_exp.features.extraction import Extractor
from transfer_exp.features.model_on_target import NetworkOnImages, Pairing, Split, check_pool_and_dataset, pair
from transfer_exp.ground_truth.accuracy_cache import CachedAccuracies
from transfer_exp.ground_truth.regime import Regime, require_grid
from transfer_exp.model_pool.pool import ModelPool
from transfer_exp.progress import Track, progress_bars
from transfer_exp.store import Store

_log = logging.getLogger(__name__)
CacheCounts = Counter[tuple[str, bool]]
"""How often what was asked for was in the store (True), or had to be computed."""


@dataclass(frozen=True, eq=False)
class Precomputation:
    """A pool on one target.

    Attributes
    ----------
    pool, dataset
        As their config groups describe them.
    store
        What is filled.
    device, batch_size, workers
        Of feature extraction.
    run_log
        Told where features are.
    """

    pool: ModelPool
    dataset: TargetDataset | FeatureArrays
    store: Store
    device: str
    batch_size: int
    workers: int
    run_log: RunLog = field(default_factory=RunLog)

    def features(self, splits: Sequence[Split]) -> CacheCounts:
        """See to it that the store has the features of the splits, of those that the dataset has.

        Raises
        ------
        InputError
            For bad input of any kind.
        """

        def extract(pairing: Pairing, track: Track) -> None:
            for split in splits:
                pairing.features(split)

        return self._each(extract)

    def accuracies(self, regime: Regime, names: Mapping[str, str]) -> CacheCounts:
        """See to it that the store has the accuracies under a regime.

        Parameters
        ----------
        regime
            As its config group describes it.
        names
            As `CachedAccuracies`.

        Raises
        ------
        InputError
            When the regime does not train; for bad input of any kind.
        """
        if not regime.trains:
            raise InputError("stage=finetune needs a ground_truth that trains: full, last_block or linear_probe")
        return self._each(CachedAccuracies(regime, self.store, self.device, names))

    def grid_point(self, regime: Regime, names: Mapping[str, str], point: int) -> CacheCounts:
        """See to it that a point of a regime's grid is trained as far as all of them go.

        Parameters
        ----------
        regime, names
            As `accuracies`.
        point
            Of the grid, from 0.

        Raises
        ------
        InputError
            When the regime has no grid; for bad input of any kind.
        """
        grid, measuring = require_grid(regime), CachedAccuracies(regime, self.store, self.device, names)

        def reach(pairing: Pairing, track: Track) -> None:
            if isinstance(pairing, NetworkOnImages):
                measuring.train_point(grid, pairing, point, track)

        return self._each(reach)

    def _each(self, work: Callable[[Pairing, Track], object]) -> CacheCounts:
        """Do something for every model, and say which could not be used."""
        check_pool_and_dataset(self.pool, self.dataset)
        found: CacheCounts = Counter()
        with progress_bars(len(self.pool.candidates), f"{self.dataset.name}: models") as (track, next_model):
            extractor = Extractor(self.store, self.device, self.batch_size, self.workers, track)
            for candidate in self.pool.candidates:
                pairing = pair(candidate, self.dataset, extractor)
                try:
                    work(pairing, track)
                except NotApplicableError as reason:
                    _log.warning("%s is skipped: %s", candidate.name, reason)
                found.update(pairing.cache_hits.items())
                self.run_log.cache_references.extend(pairing.cache_references())
                next_model()
        log_cache_counts(found)
        return found


def log_cache_counts(found: CacheCounts) -> None:
    """Log how much of what was asked for was in the store, and how much had to be computed."""
    for what in sorted({name for name, _ in found}):
        _log.info("%s: %d read from the store, %d computed", what, found[what, True], found[what, False])
