"""Search for the best models of a pool on a dataset within a time budget.

All models are scored on few images, and the better ones on more (successive halving). Intervals of scores and ranks of
the finalists (the models of the last round) come from half-samples of the images. Expected accuracies come from a
calibration of the scores.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from threadpoolctl import threadpool_limits

from transfer_exp.dataset.arrays import FeatureArrays
from transfer_exp.dataset.target_dataset import TargetDataset
from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.evaluation.expectations import Expectations, expectations
from transfer_exp.evaluation.half_samples import half_samples, rank_intervals, score_intervals
from transfer_exp.evaluation.halving import Halving, HalvingResult
from transfer_exp.experiment.run_log import RunLog
from transfer_exp.experiment.scoring import Parts, Scoring
from transfer_exp.features.extraction import Extractor, FeatureReader
from transfer_exp.features.model_on_target import SampleSubset, check_pool_and_dataset
from transfer_exp.features.nested_subsets import NestedSubsets
from transfer_exp.ground_truth.regime import Regime
from transfer_exp.metric.linear_classifier import LinearClassifier
from transfer_exp.metric.metric import Metric, PoolMetric
from transfer_exp.model_pool.pool import ModelPool
from transfer_exp.perturbation.perturbation import Perturbation
from transfer_exp.perturbation.strength_path import StrengthPath
from transfer_exp.progress import progress_bars
from transfer_exp.results.search import SearchedModel, SearchResult
from transfer_exp.statistics.feature_set import FeatureSet
from transfer_exp.store import Store

_FIRST_ROUND_SHARE = 0.5
"""Share of the time budget for the first images of all models; the rest is for more images of the better models."""
_MIN_CLASS_SIZE = 4
"""A half-sample then has at least two images of every class."""


@dataclass(frozen=True, eq=False)
class PoolSearch:
    """Settings of a search.

    Attributes:
        pool, dataset, metric, perturbation: Objects of the config groups.
        ground_truth: Source of accuracies on other datasets, for metrics that need them.
        halving: Successive halving; its budget is set from ``seconds``.
        seconds: Time budget for feature extraction; None for no limit.
        draws: Number of half-samples for the intervals.
        store: Cache of the features.
        device, batch_size, workers: Settings of feature extraction, see `Extractor`.
        seed: Seed of the order of the images, of the half-samples and of the perturbation.
    """

    pool: ModelPool
    dataset: TargetDataset | FeatureArrays
    metric: Metric | PoolMetric
    perturbation: Perturbation | StrengthPath
    ground_truth: Regime
    halving: Halving
    seconds: float | None
    draws: int
    store: Store
    device: str
    batch_size: int
    workers: int
    seed: int
    _reasons: dict[str, str] = field(default_factory=dict, init=False)
    """Why a model has no score, by model."""

    @cached_property
    def scoring(self) -> Scoring:
        """The metric applied after the perturbation."""
        return Scoring(self.metric, self.perturbation, self.seed)

    def run(self, labels: Mapping[str, str]) -> tuple[SearchResult, RunLog]:
        """Score all models on few images and the better ones on more, and estimate how certain the order is.

        Args:
            labels: Names of ``perturbation`` and ``metric`` in tables.

        Returns:
            The ranking, and the timings and scoring sets of its models.

        Raises:
            InputError: If no model can be scored, or an input is invalid.
        """
        check_pool_and_dataset(self.pool, self.dataset)
        start = time.perf_counter()
        with progress_bars(len(self.pool.candidates), f"{self.dataset.name}: models") as (track, advance):
            extractor = Extractor(self.store, self.device, self.batch_size, self.workers, track)
            candidates = {candidate.name: candidate for candidate in self.pool.candidates}
            subsets = NestedSubsets(candidates, self.dataset, extractor, self.seed)
            names = self._extract_first_images(subsets, advance)
            search = self._halve(subsets, names)
            pairings = self._extract_finalists(subsets, search)
        scores = self._score(pairings)
        if not scores:
            raise self._no_score()
        finalists = {name: pairings[name] for name in scores}
        models, regret, notes = self._with_uncertainty(scores, finalists, labels)
        if models[0].images < len(subsets.order):
            notes.append("expected accuracies are of models trained on the images that were scored, not on all")
        result = SearchResult(
            {**labels, "model_pool": self.pool.name, "dataset": self.dataset.name, "seed": str(self.seed)},
            self._ranked(models, search),
            search.stop_reason,
            len(subsets.order),
            subsets.forward_passes,
            time.perf_counter() - start,
            regret,
            tuple(notes),
        )
        seconds = {name: {"features": seconds} for name, seconds in subsets.seconds.items()}
        readers: dict[str, FeatureReader] = {
            name: partial(_read_from_memory, pairing.scoring_set) for name, pairing in finalists.items()
        }
        return result, RunLog(seconds, readers)

    def _extract_first_images(self, subsets: NestedSubsets, advance: Callable[[], object]) -> list[str]:
        """Extract the first images with one model after another while time allows; return the names of these models."""
        n_images, names = min(self.halving.first, len(subsets.order)), list[str]()
        for name in subsets.candidates:
            spent = sum(subsets.seconds.values())
            is_time_up = self.seconds is not None and spent >= _FIRST_ROUND_SHARE * self.seconds
            if is_time_up and len(names) > self.halving.top:
                self._reasons[name] = "the time budget was used up before this model: raise the budget"
            else:
                names += self._pairings(subsets, [name], n_images)
            advance()
        if not names:
            raise self._no_score()
        return names

    def _halve(self, subsets: NestedSubsets, names: Sequence[str]) -> HalvingResult:
        """Run successive halving with seconds as the cost."""
        n_images = min(self.halving.first, len(subsets.order))
        seconds_per_image = {name: max(subsets.seconds[name], 1e-6) / n_images for name in names}

        def score(remaining: Sequence[str], n_images: int) -> dict[str, float]:
            for name in set(subsets.candidates) - set(remaining):
                subsets.forget(name)
            scores = self._score(self._pairings(subsets, remaining, n_images))
            if not scores:
                raise self._no_score()
            return scores

        # The first images are extracted already, so their time must fit into the budget, apart from rounding.
        spent = sum(subsets.seconds.values()) * (1 + 1e-9)
        halving = replace(self.halving, budget=None if self.seconds is None else max(self.seconds, spent))
        return halving(names, len(subsets.order), score, subsets.imagenet_accuracies, seconds_per_image)

    def _extract_finalists(self, subsets: NestedSubsets, search: HalvingResult) -> dict[str, SampleSubset]:
        """Return the models of the last round, on all images if there is time for them."""
        last_round, n_all = search.rounds[-1], len(subsets.order)
        spent = sum(subsets.seconds.values())
        needed = sum(subsets.seconds[name] for name in last_round.scores) * (n_all / last_round.images - 1)
        n_images = n_all if self.seconds is None or spent + needed <= self.seconds else last_round.images
        return self._pairings(subsets, list(last_round.scores), n_images)

    def _pairings(self, subsets: NestedSubsets, names: Sequence[str], n_images: int) -> dict[str, SampleSubset]:
        """Return models on the first images, and record the reasons of those that cannot be used."""
        pairings = dict[str, SampleSubset]()
        for name in names:
            try:
                pairings[name] = subsets.pairing(name, n_images)
            except NotApplicableError as reason:
                self._reasons[name] = str(reason)
        return pairings

    def _score(self, pairings: Mapping[str, SampleSubset]) -> dict[str, float]:
        """Return the scores of the models that have one, and record the reasons of the others."""
        parts = dict[str, Mapping[str, Parts]]()
        for name, pairing in pairings.items():
            try:
                parts[name] = self.scoring.compute_parts(pairing, self.ground_truth)
            except NotApplicableError as reason:
                self._reasons[name] = str(reason)
        return dict(zip(parts, self.scoring.combine(list(parts.values())), strict=True))

    def _with_uncertainty(
        self, scores: Mapping[str, float], pairings: Mapping[str, SampleSubset], labels: Mapping[str, str]
    ) -> tuple[list[SearchedModel], float | None, list[str]]:
        """Return the finalists with their intervals, the expected regret of the first, and notes on what is missing."""
        columns: dict[str, Sequence[Any]] = {"score": list(scores.values())}
        regret, notes = None, list[str]()
        try:
            score_bounds, rank_bounds = self._intervals(scores, pairings)
            columns["low"], columns["high"] = score_bounds.T.tolist()
            columns["best_rank"], columns["worst_rank"] = rank_bounds.T.tolist()
        except InputError as reason:
            notes.append(f"no intervals of scores: {reason}")
        try:
            expected = self._expected_accuracies(scores, pairings, labels)
            columns["expected"] = expected.accuracies.tolist()
            columns["expected_low"], columns["expected_high"] = expected.low.tolist(), expected.high.tolist()
            regret = float(expected.regrets[0])
        except InputError as reason:
            notes.append(f"no expected accuracy: {reason}")
        n_images = len(next(iter(pairings.values())).scoring_set.labels)
        rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
        models = [SearchedModel(name, images=n_images, **row) for name, row in zip(scores, rows, strict=True)]
        return models, regret, notes

    def _intervals(
        self, scores: Mapping[str, float], pairings: Mapping[str, SampleSubset]
    ) -> tuple[Float[np.ndarray, "models 2"], Int[np.ndarray, "models 2"]]:
        """Return the interval of each score and of each rank; InputError if a class has fewer than four images."""
        labels = next(iter(pairings.values())).scoring_set.labels
        if np.unique(labels, return_counts=True)[1].min() < _MIN_CLASS_SIZE:
            raise InputError(f"some class has fewer than {_MIN_CLASS_SIZE} images among those scored")
        halves = np.empty((self.draws, len(scores)))
        # One thread, because each of these thousands of scores is too small to gain from several.
        with threadpool_limits(1):
            for draw, samples in enumerate(half_samples(labels, self.draws, self.seed)):
                subsets = {
                    name: SampleSubset(pairing.pairing, pairing.scoring_set.subset(samples))
                    for name, pairing in pairings.items()
                }
                half_scores = self._score(subsets)
                halves[draw] = [half_scores.get(name, np.nan) for name in scores]
        values = np.array(list(scores.values()))
        return score_intervals(values, halves), rank_intervals(values, halves)

    def _expected_accuracies(
        self, scores: Mapping[str, float], pairings: Mapping[str, SampleSubset], labels: Mapping[str, str]
    ) -> Expectations:
        """Return accuracies after full fine-tuning; InputError if the metric and perturbation are not calibrated.

        The order comes from the scores, the level from a linear classifier on the same unperturbed features.
        """
        scoring_sets = [pairing.scoring_set for pairing in pairings.values()]
        anchors = np.array([LinearClassifier()(samples.features, samples.labels) for samples in scoring_sets])
        values, n_classes = np.array(list(scores.values())), len(self.dataset.class_names)
        return expectations(labels["metric"], values, n_classes, anchors, perturbation=labels["perturbation"])

    def _ranked(self, finalists: Sequence[SearchedModel], search: HalvingResult) -> tuple[SearchedModel, ...]:
        """Return all models: the finalists by score, the eliminated ones in the order of the search, the unscored."""
        scores = {name: (r.images, score) for r in search.rounds for name, score in r.scores.items()}
        finalist_names = {model.model for model in finalists}
        eliminated = [name for name in search.ranking if name not in {*finalist_names, *self._reasons}]
        ranked = [
            *sorted(finalists, key=lambda model: -(model.score or 0.0)),
            *(SearchedModel(name, images=scores[name][0], score=scores[name][1]) for name in eliminated),
        ]
        unscored = [SearchedModel(n, reason=reason) for n, reason in self._reasons.items() if n not in finalist_names]
        return (*(replace(model, rank=rank) for rank, model in enumerate(ranked, start=1)), *unscored)

    def _no_score(self) -> InputError:
        name, reason = next(iter(self._reasons.items()), ("no model", "the pool is empty"))
        return InputError(f"no model of {self.pool.name} can be scored on {self.dataset.name}; {name}: {reason}")


def _read_from_memory(features: FeatureSet, max_values: int) -> FeatureSet:
    """Return features that are already in memory, without a limit on their size."""
    return features
