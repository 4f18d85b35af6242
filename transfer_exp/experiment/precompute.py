"""Precomputation of features and accuracies for the models of a pool on one dataset, ahead of scoring."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from transfer_exp.dataset.inspection import ALL_SPLITS
from transfer_exp.dataset.split_names import Part
from transfer_exp.errors import InputError, ModelFailureError, NotApplicableError
from transfer_exp.experiment.pool_on_dataset import PoolOnDataset
from transfer_exp.experiment.run_log import CacheHits, RunLog
from transfer_exp.features.model_on_target import NetworkOnImages, Pairing
from transfer_exp.ground_truth.regime import Regime, require_grid
from transfer_exp.progress import Track

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, kw_only=True)
class Precomputation(PoolOnDataset):
    """Fill the store for a pool on one dataset; every method counts the values that were computed and already there.

    Attributes:
        run_log: Log to fill.
    """

    run_log: RunLog = field(default_factory=RunLog)

    def extract_features(self, splits: Sequence[Part]) -> CacheHits:
        """Compute the features of the splits that the dataset has.

        Raises:
            InputError: If a model or an image cannot be read.
        """

        def extract(pairing: Pairing, track: Track) -> None:
            for layer in pairing.one_per_layer():
                for split in splits:
                    layer.features(split)

        return self._for_each_model(extract, splits)

    def compute_accuracies(self, regime: Regime, label: str, protocol: str) -> CacheHits:
        """Compute the accuracies under a regime.

        Args:
            regime, label, protocol: Parameters of `cached_accuracies`.

        Raises:
            InputError: If the regime does not train, or under the conditions of `extract_features`.
        """
        if not regime.trains:
            raise InputError("stage=finetune needs a ground_truth that trains: full, last_block or linear_probe")
        return self._for_each_model(self.cached_accuracies(regime, label, protocol), ALL_SPLITS)

    def train_grid_point(self, regime: Regime, label: str, protocol: str, point: int) -> CacheHits:
        """Train one point of a regime's grid for every model.

        Args:
            regime, label, protocol: Parameters of `cached_accuracies`.
            point: Position in the grid, from 0.

        Raises:
            InputError: If the regime has no grid, or under the conditions of `extract_features`.
        """
        grid, accuracy_cache = require_grid(regime), self.cached_accuracies(regime, label, protocol)

        def train_point(pairing: Pairing, track: Track) -> None:
            if isinstance(pairing, NetworkOnImages):
                accuracy_cache.train_point(grid, pairing, point, track)

        return self._for_each_model(train_point, ALL_SPLITS)

    def _for_each_model(self, work: Callable[[Pairing, Track], object], splits: Sequence[Part]) -> CacheHits:
        """Do some work on splits for every model, and log the models that cannot be used; InputError if none can."""
        self.run_log.findings = self.check_images(splits)
        failures = list(filter(None, self.for_each_model(partial(_try, work), self.run_log)))
        if failures and len(failures) == len(self.pool.candidates):
            raise InputError(f"no model of {self.pool.name} can be used on {self.dataset.name}; {failures[0]}")
        return self.run_log.cache_hits


def _try(work: Callable[[Pairing, Track], object], pairing: Pairing, track: Track, run_log: RunLog) -> str:
    """Do some work for one model; return the failure of the model, or an empty text."""
    failure = ""
    try:
        work(pairing, track)
    except NotApplicableError as reason:
        _log.warning("%s is skipped: %s", pairing.name, reason)
        failure = f"{pairing.name}: {reason}" if isinstance(reason, ModelFailureError) else ""
    if isinstance(pairing, NetworkOnImages):
        run_log.add(pairing)
    return failure
