"""Log of a run: timings by stage, cache hits, and references to the features that were used."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from transfer_exp.dataset.target_dataset import LabelledImages
from transfer_exp.features.extraction import Extractor, FeatureReader
from transfer_exp.features.model_on_target import CacheReference, Pairing
from transfer_exp.model_pool.loaded_model import LoadedModel
from transfer_exp.store import Arrays

CacheHits: TypeAlias = Counter[tuple[str, bool]]
"""Number of requested values by their label and by whether the store had them."""
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class RunLog:
    """Facts about a run that are collected while it is in progress.

    Attributes:
        seconds: Time by model, then by stage (``features``, ``scoring``, ``ground_truth``). The time of a nested stage
            is not part of the outer stage, so that the stages of a model add up to its total.
        scoring_sets: Readers of the scoring-set features, by model.
        cache_references: References to the cached features that the run used.
        cache_hits: Counts of requested values.
        findings: Possible faults of the images, line by line.
    """

    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    scoring_sets: dict[str, FeatureReader] = field(default_factory=dict)
    cache_references: list[CacheReference] = field(default_factory=list)
    cache_hits: CacheHits = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    _nested_seconds: list[float] = field(default_factory=list)

    @contextmanager
    def stage(self, model: str, stage: str) -> Iterator[None]:
        """Add the time spent in the context to a stage of a model, even if it ends in an error."""
        start = time.perf_counter()
        self._nested_seconds.append(0.0)
        try:
            yield
        finally:
            elapsed = time.perf_counter() - start
            stages = self.seconds.setdefault(model, {})
            stages[stage] = stages.get(stage, 0.0) + elapsed - self._nested_seconds.pop()
            if self._nested_seconds:
                self._nested_seconds[-1] += elapsed

    def add(self, pairing: Pairing) -> None:
        """Record the cache hits and the features of a model that is finished."""
        self.cache_hits.update(pairing.cache_hits.items())
        self.cache_references.extend(pairing.cache_references())
        self.scoring_sets[pairing.name] = pairing.reader("scoring_set")

    def merge(self, other: RunLog) -> None:
        """Add what another log has collected, for example about one model in another process."""
        for model, stages in other.seconds.items():
            total = self.seconds.setdefault(model, {})
            for stage, seconds in stages.items():
                total[stage] = total.get(stage, 0.0) + seconds
        self.scoring_sets |= other.scoring_sets
        self.cache_references += other.cache_references
        self.cache_hits.update(other.cache_hits)

    def report_cache_hits(self) -> None:
        """Log how many of the requested values were read from the store, and how many were computed."""
        for label in sorted({label for label, _ in self.cache_hits}):
            read, computed = self.cache_hits[label, True], self.cache_hits[label, False]
            _log.info("%s: %d read from the store, %d computed", label, read, computed)


@dataclass(frozen=True)
class TimedExtractor(Extractor):
    """Extractor that logs each pass as the stage ``features`` of its model."""

    run_log: RunLog = field(default_factory=RunLog)

    def compute(self, name: str, model: LoadedModel, images: LabelledImages) -> Arrays:
        """Call `Extractor.compute` and log its duration."""
        with self.run_log.stage(name, "features"):
            return super().compute(name, model, images)
