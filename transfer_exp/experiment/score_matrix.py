"""Every metric after every perturbation on parts of a target's images: scores only, from one reading of them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from transfer_exp.dataset.arrays import FeatureArrays
from transfer_exp.dataset.stratification import stratified_indices
from transfer_exp.dataset.target_dataset import TargetDataset
from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.experiment.scoring import MetricInputs, Parts, over_pool, parts_of
from transfer_exp.features.extraction import Extractor
from transfer_exp.features.model_on_target import Pairing, SampleSubset, Split, check_pool_and_dataset, pair
from transfer_exp.ground_truth.regime import Regime
from transfer_exp.metric.metric import Metric, PoolMetric
from transfer_exp.model_pool.pool import ModelPool
from transfer_exp.perturbation.perturbation import Perturbation
from transfer_exp.progress import progress_bars
from transfer_exp.statistics.feature_set import FeatureSet, concatenate
from transfer_exp.store import Store

_log = logging.getLogger(__name__)
_PERTURBED = ("features", "class_statistics")
_SPLITS: tuple[Split, ...] = ("train", "validation", "test")
Size: TypeAlias = int | None
Cell: TypeAlias = tuple[Size, str, str]


@dataclass(frozen=True, eq=False)
class ScoreGrid:
    """The axes of a grid, all on one target.

    A perturbation is made once for all metrics, and features are read once for everything.

    Attributes
    ----------
    pool, dataset, metrics, perturbations
        As their config groups describe them, the last two by name.
    images_per_class
        How many images of each class are scored: C times as many of the splits, classes in their proportions. None is
        all there are.
    splits
        What is scored: ``train``, and others joined to it, those that the dataset has.
    ground_truth
        Asked for accuracies on other targets, by metrics that go by them.
    store, device, batch_size, workers
        Of feature extraction.
    seed
        Draws the images and perturbs, the same for every model.
    """

    pool: ModelPool
    dataset: TargetDataset | FeatureArrays
    metrics: Mapping[str, Metric | PoolMetric]
    perturbations: Mapping[str, Perturbation]
    images_per_class: tuple[Size, ...]
    splits: tuple[Split, ...]
    ground_truth: Regime
    store: Store
    device: str
    batch_size: int
    workers: int
    seed: int
    _given_up: dict[Cell, str] = field(default_factory=dict, repr=False)

    def run(self) -> list[dict[str, str]]:
        """Return one row per cell: what it is, and the score of every model under its name, empty where it has none.

        A metric that refuses its input is said once, and its row stays away; a model that cannot be used is said, and
        its column stays empty.

        Raises
        ------
        InputError
            For fewer than two images of a class, splits without ``train``, arrays without their pool, or when nothing
            could be scored.
        """
        check_pool_and_dataset(self.pool, self.dataset)
        for size in self.images_per_class:
            if size is not None and size < 2:
                raise InputError(f"images_per_class={size}: a class needs at least 2, or null for all")
        if "train" not in self.splits or not set(self.splits) <= set(_SPLITS):
            raise InputError(f"splits=[{', '.join(self.splits)}]: need train, which validation and test may join")
        parts: dict[Cell, dict[str, Parts]] = {}
        reason = "no metric applies"
        with progress_bars(len(self.pool.candidates), f"{self.dataset.name}: models") as (track, next_model):
            extractor = Extractor(self.store, self.device, self.batch_size, self.workers, track)
            for candidate in self.pool.candidates:
                try:
                    for cell, found in self._model(pair(candidate, self.dataset, extractor)):
                        parts.setdefault(cell, {})[candidate.name] = found
                except NotApplicableError as unusable:
                    reason = f"{candidate.name} is skipped: {unusable}"
                    _log.warning("%s", reason)
                next_model()
        rows = [
            row for cell, by_model in parts.items() if cell not in self._given_up for row in self._row(cell, by_model)
        ]
        if not rows:
            raise InputError(f"nothing could be scored: {next(iter(self._given_up.values()), reason)}")
        for reason, cells in Counter(self._given_up.values()).items():
            _log.warning("left out of %d cells: %s", cells, reason)
        return rows

    def _model(self, whole: Pairing) -> Iterator[tuple[Cell, Parts]]:
        """Return the parts of one model in every cell."""
        known = concatenate([found for split in self.splits if (found := whole.features(split)) is not None])
        for size in self.images_per_class:
            yield from self._one(size, SampleSubset(whole, self._drawn(known, size)))

    def _drawn(self, known: FeatureSet, size: Size) -> FeatureSet:
        total = None if size is None else min(size * len(self.dataset.class_names), len(known.labels))
        return known.subset(stratified_indices(known.labels, total, self.seed))

    def _one(self, size: Size, scoring_set: SampleSubset) -> Iterator[tuple[Cell, Parts]]:
        """Return the parts of one model in every cell with so many images."""
        alike: dict[str, Parts] = {}
        for perturbed_by, perturbation in self.perturbations.items():
            evidence = MetricInputs(scoring_set, perturbation, self.seed, self.ground_truth)
            for name, metric in self.metrics.items():
                cell = size, perturbed_by, name
                if cell in self._given_up:
                    continue
                try:
                    found = alike[name] if name in alike else parts_of(metric, evidence)
                except NotApplicableError:
                    continue
                except InputError as error:
                    self._given_up[cell] = f"{name} on model {scoring_set.name}: {error}"
                    continue
                if not set(_PERTURBED) & set(metric.inputs):
                    alike[name] = found
                yield cell, found

    def _row(self, cell: Cell, parts: Mapping[str, Parts]) -> Iterator[dict[str, str]]:
        size, perturbation, name = cell
        try:
            scores = over_pool(self.metrics[name], list(parts.values()))
        except InputError as error:
            self._given_up[cell] = f"{name}: {error}"
            return
        by_model = {model: f"{score:.9g}" for model, score in zip(parts, scores, strict=True)}
        yield {
            "model_pool": self.pool.name,
            "dataset": self.dataset.name,
            "splits": "+".join(self.splits),
            "images_per_class": "all" if size is None else str(size),
            "seed": str(self.seed),
            "perturbation": perturbation,
            "metric": name,
            **{candidate.name: by_model.get(candidate.name, "") for candidate in self.pool.candidates},
        }
