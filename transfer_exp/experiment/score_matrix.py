"""Score matrix: every metric after every perturbation, on subsets of a dataset, from one extraction of the features.

Each model is scored in every cell (a subset size, a perturbation and a metric) before the next model is loaded. What is
kept are its *parts*: the numbers of one model that the metric combines, at the end, into scores of the whole pool.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from transfer_exp.dataset.split_names import Split
from transfer_exp.dataset.stratification import stratified_indices
from transfer_exp.errors import InputError, ModelFailureError, NotApplicableError, SharedInputError
from transfer_exp.experiment.pool_on_dataset import PoolOnDataset
from transfer_exp.experiment.run_log import RunLog
from transfer_exp.experiment.scoring import MetricInputs, Parts, metric_parts, metric_scores
from transfer_exp.features.model_on_target import Pairing
from transfer_exp.ground_truth.regime import Regime
from transfer_exp.metric.metric import Metric, PoolMetric
from transfer_exp.perturbation.perturbation import Perturbation
from transfer_exp.progress import Track
from transfer_exp.statistics.feature_set import FeatureSet, concatenate
from transfer_exp.statistics.rounding import merge_ties

_log = logging.getLogger(__name__)
_PERTURBED_INPUTS = {"features", "class_statistics"}
_SPLITS: tuple[Split, ...] = ("train", "validation", "test")
Size: TypeAlias = int | None
"""Mean number of images per class in a subset; None for all images."""
Cell: TypeAlias = tuple[Size, str, str]
"""Size, perturbation and metric."""


@dataclass(eq=False)
class _ModelScores:
    """Scores of one model.

    Attributes:
        parts: Parts of the score by cell.
        refusals: Why a cell has no row.
        skips: Why the model has no score, or none by some metric, with the level of the log message.
    """

    parts: dict[Cell, Parts] = field(default_factory=dict)
    refusals: dict[Cell, str] = field(default_factory=dict)
    skips: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, kw_only=True)
class ScoreMatrix(PoolOnDataset):
    """Settings of a score matrix on one dataset.

    Attributes:
        metrics, perturbations: Objects of the config groups, by name.
        images_per_class: Subset sizes n, at least 2. A subset has n * C images, with the class proportions of the
            dataset, but at most all images; None takes all.
        splits: ``train`` and the splits to score together with it; splits that the dataset lacks are left out.
        ground_truth: Source of accuracies on other datasets, for metrics that need them.
    """

    metrics: Mapping[str, Metric | PoolMetric]
    perturbations: Mapping[str, Perturbation]
    images_per_class: tuple[Size, ...]
    splits: tuple[Split, ...]
    ground_truth: Regime

    def run(self) -> list[dict[str, str]]:
        """Return one row per cell: its labels, and the score of every model by name, empty if there is none.

        The labels ``splits`` and ``images_per_class`` are the settings, not what a dataset has of them: rows of several
        datasets can then be compared. A model that cannot be used, or that a metric refuses, is logged and its score
        stays empty. If a metric refuses to combine the models (InputError), or needs what the run or the perturbation
        cannot give (SharedInputError), it is logged and the cell has no row.

        Raises:
            InputError: If a size is below 2, the splits lack ``train``, only one of pool and dataset consists of
                arrays, or nothing can be scored.
        """
        self._check_axes()
        self.check_images(self.splits)
        parts, refusals, skips = dict[Cell, dict[str, Parts]](), dict[Cell, str](), list[str]()
        for candidate, scores in zip(self.pool.candidates, self.for_each_model(self._score_model), strict=True):
            for cell, model_parts in scores.parts.items():
                parts.setdefault(cell, {})[candidate.name] = model_parts
            for cell, refusal in scores.refusals.items():
                refusals.setdefault(cell, refusal)
            for reason, level in scores.skips.items():
                if reason not in skips:  # logged once for all cells
                    skips.append(reason)
                    _log.log(level, "%s", reason)
        rows = []
        for cell in [cell for cell in parts if cell not in refusals]:
            try:
                rows.append(self._row(cell, parts[cell]))
            except InputError as error:
                refusals[cell] = f"{cell[-1]}: {error}"
        if not rows:
            reasons = [*refusals.values(), *skips, "the pool is empty"]
            raise InputError(f"nothing could be scored: {reasons[0]}")
        for refusal, n_cells in Counter(refusals.values()).items():
            _log.warning("%d cells are left out: %s", n_cells, refusal)
        return rows

    def _check_axes(self) -> None:
        for size in self.images_per_class:
            if size is not None and size < 2:
                raise InputError(f"images_per_class={size}: a class needs at least 2, or null for all")
        if "train" not in self.splits or not set(self.splits) <= set(_SPLITS):
            raise InputError(f"splits=[{', '.join(self.splits)}]: need train, optionally with validation and test")

    def _score_model(self, pairing: Pairing, track: Track, run_log: RunLog) -> _ModelScores:
        """Return the parts of one model in every cell."""
        scores = _ModelScores()
        try:
            if len(pairing.one_per_layer()) > 1:
                fix = "name one with features.layer=NAME, or take mean"
                raise SharedInputError(f"a score matrix is of one layer: {fix}")
            features_of_splits = [pairing.features(split) for split in self.splits]
            samples = concatenate([features for features in features_of_splits if features is not None])
            n_samples = len(samples.labels)
            for size in self.images_per_class:
                total = None if size is None else min(size * len(self.dataset.class_names), n_samples)
                scoring_set = samples.subset(stratified_indices(samples.labels, total, self.seed))
                self._score_subset(size, pairing, scoring_set, scores)
        except NotApplicableError as error:
            scores.skips[f"{pairing.name} is skipped: {error}"] = logging.WARNING
        return scores

    def _score_subset(self, size: Size, pairing: Pairing, scoring_set: FeatureSet, scores: _ModelScores) -> None:
        """Add the parts of one model in every cell of one subset size."""
        same_for_all: dict[str, Parts] = {}  # parts that no perturbation changes, by metric
        for perturbation_name, perturbation in self.perturbations.items():
            # The features are perturbed once, on first use, for all metrics.
            inputs = MetricInputs(pairing, perturbation, self.seed, self.ground_truth, scoring_set)
            for metric_name, metric in self.metrics.items():
                cell = size, perturbation_name, metric_name
                try:
                    parts = same_for_all.get(metric_name) or metric_parts(metric_name, metric, inputs)
                except SharedInputError as error:
                    # Not only this model: the metric needs what this run or this perturbation cannot give.
                    scores.refusals[cell] = str(error)
                    continue
                except ModelFailureError as error:
                    scores.skips.setdefault(str(error), logging.WARNING)
                    continue
                except NotApplicableError as error:
                    scores.skips.setdefault(f"{metric_name} is left empty for {pairing.name}: {error}", logging.INFO)
                    continue
                if not _PERTURBED_INPUTS & set(metric.inputs):
                    same_for_all[metric_name] = parts
                scores.parts[cell] = parts

    def _row(self, cell: Cell, parts: Mapping[str, Parts]) -> dict[str, str]:
        """Return the row of a cell; InputError if the metric refuses to combine the parts of the models."""
        size, perturbation, metric = cell
        scores = merge_ties(metric_scores(self.metrics[metric], list(parts.values())))
        by_model = {model: f"{score:.9g}" for model, score in zip(parts, scores, strict=True)}
        return {
            "model_pool": self.pool.name,
            "dataset": self.dataset.name,
            "splits": "+".join(self.splits),
            "images_per_class": "all" if size is None else str(size),
            "seed": str(self.seed),
            "perturbation": perturbation,
            "metric": metric,
            **{candidate.name: by_model.get(candidate.name, "") for candidate in self.pool.candidates},
        }
