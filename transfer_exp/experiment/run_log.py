"""What a cell comes by on its way and its result has no place for: how long what took, and where features are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from transfer_exp.dataset.target_dataset import LabelledImages
from transfer_exp.features.extraction import Extractor, FeatureReader
from transfer_exp.features.model_on_target import CacheReference
from transfer_exp.model_pool.pool import LoadedModel
from transfer_exp.store import Arrays


@dataclass(eq=False)
class RunLog:
    """Filled while a cell runs.

    Attributes
    ----------
    seconds
        By model, then by stage: ``features``, ``scoring``, ``ground_truth``. A stage within another counts for itself
        alone, so that the stages of a model add up to its time.
    scoring_sets
        Give the scoring set of each model again, by its name.
    cache_references
        What the store has of the features that were asked for.
    """

    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    scoring_sets: dict[str, FeatureReader] = field(default_factory=dict)
    cache_references: list[CacheReference] = field(default_factory=list)
    _within: list[float] = field(default_factory=list)

    @contextmanager
    def stage(self, model: str, name: str) -> Iterator[None]:
        """Add the time of what follows to a stage of a model, even where it ends in an error."""
        start = time.perf_counter()
        self._within.append(0.0)
        try:
            yield
        finally:
            whole = time.perf_counter() - start
            stages = self.seconds.setdefault(model, {})
            stages[name] = stages.get(name, 0.0) + whole - self._within.pop()
            if self._within:
                self._within[-1] += whole


@dataclass(frozen=True)
class TimedExtractor(Extractor):
    """An extractor whose passes are a stage of their model.

    Attributes
    ----------
    run_log
        Told of each pass.
    """

    run_log: RunLog = field(default_factory=RunLog)

    def compute(self, name: str, model: LoadedModel, images: LabelledImages) -> Arrays:
        """Return features as `Extractor.compute`, and tell how long that took."""
        with self.run_log.stage(name, "features"):
            return super().compute(name, model, images)
