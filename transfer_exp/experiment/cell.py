"""One cell of a study: every model of a pool scored on one dataset, and the ranking compared with the truth."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from transfer_exp import __version__
from transfer_exp.dataset.arrays import FeatureArrays
from transfer_exp.dataset.target_dataset import TargetDataset
from transfer_exp.evaluation.ranking import Ranking
from transfer_exp.experiment.progress import progress_bars
from transfer_exp.experiment.scoring import Parts, Scoring, flat
from transfer_exp.features.extraction import Extractor
from transfer_exp.features.pairing import NetworkOnImages, Pairing, pair
from transfer_exp.ground_truth.regime import Accuracy, Regime
from transfer_exp.metric.metric import Metric, PoolMetric
from transfer_exp.model_pool.pool import ModelPool
from transfer_exp.perturbation.path import Path
from transfer_exp.perturbation.perturbation import Perturbation
from transfer_exp.store import Store
from transfer_exp.types import CellResult, InputError, ModelResult, NotApplicableError, Track

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Experiment:
    """The parts of one cell.

    Attributes
    ----------
    pool, dataset, perturbation, metric, ground_truth, evaluation
        As their config groups describe them.
    store
        Keeps features and trained accuracies.
    device, batch_size, workers
        Of feature extraction.
    seed
        Of the perturbation; the same draw for every model.
    """

    pool: ModelPool
    dataset: TargetDataset | FeatureArrays
    perturbation: Perturbation | Path
    metric: Metric | PoolMetric
    ground_truth: Regime
    evaluation: Ranking
    store: Store
    device: str
    batch_size: int
    workers: int
    seed: int

    def run(self, labels: Mapping[str, str]) -> CellResult:
        """Score, adapt and compare.

        Parameters
        ----------
        labels
            What the cell is called in tables, by config group; pool and dataset name themselves.

        Raises
        ------
        InputError
            For bad input of any kind, naming the model where one is at fault.
        """
        if isinstance(self.dataset, FeatureArrays) != (self.pool.name == "arrays"):
            raise InputError("dataset=arrays and model_pool=arrays go together: set both or neither")
        cell = {**labels, "model_pool": self.pool.name, "dataset": self.dataset.name, "seed": str(self.seed)}
        found: Counter[tuple[str, bool]] = Counter()
        scoring = Scoring(self.metric, self.perturbation, self.seed)
        models: list[ModelResult] = []
        parts: dict[str, Mapping[str, Parts]] = {}
        with progress_bars(len(self.pool.candidates), f"{self.dataset.name}: models") as (track, next_model):
            extractor = Extractor(self.store, self.device, self.batch_size, self.workers, track)
            for candidate in self.pool.candidates:
                pairing = pair(candidate, self.dataset, extractor)
                models.append(self._one(pairing, scoring, parts, track))
                found.update(pairing.found.items())
                next_model()
        _say_what_was_found(found)
        scores = dict(zip(parts, scoring.combine(list(parts.values())), strict=True))
        models = [replace(m, score=scores[m.model]) if m.model in scores else m for m in models]
        agreement = self.evaluation(labels["metric"], models)
        return CellResult(
            cell, tuple(models), agreement.measures, agreement.null_band, agreement.tied, agreement.null_level
        )

    def _one(
        self, pairing: Pairing, scoring: Scoring, parts: dict[str, Mapping[str, Parts]], track: Track
    ) -> ModelResult:
        """Collect the parts of a model's score and obtain its accuracy, or say why either is missing."""
        try:
            own = scoring.parts(pairing, self.ground_truth)
        except NotApplicableError as reason:
            return ModelResult(pairing.name, None, reason=str(reason))
        parts[pairing.name] = own
        try:
            accuracy = self._accuracy(pairing, track)
        except NotApplicableError as reason:
            return ModelResult(pairing.name, None, reason=str(reason), parts=flat(own))
        return ModelResult(pairing.name, None, None if accuracy is None else accuracy.value, parts=flat(own))

    def _accuracy(self, pairing: Pairing, track: Track) -> Accuracy | None:
        """Obtain the accuracy, from the store where training it gave it before."""
        if not self.ground_truth.trains or not isinstance(pairing, NetworkOnImages):
            return self.ground_truth(pairing, track)
        key = {"version": __version__, "regime": repr(self.ground_truth), **pairing.identity()}

        def train() -> dict[str, object]:
            accuracy = self.ground_truth(pairing, track)
            return {} if accuracy is None else asdict(accuracy)

        record, pairing.found["accuracy"] = self.store.record("accuracy", key, train)
        return Accuracy(**record)


def _say_what_was_found(found: Counter[tuple[str, bool]]) -> None:
    """Log how much of what was asked for was in the store, and how much had to be computed."""
    for what in sorted({name for name, _ in found}):
        _log.info("%s: %d read from the store, %d computed", what, found[what, True], found[what, False])
