"""The best models of a pool on a target, within a budget of time, and how sure their order is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from transfer_exp.dataset.arrays import FeatureArrays
from transfer_exp.dataset.target_dataset import TargetDataset
from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.evaluation.halving import Halving, HalvingResult
from transfer_exp.experiment.scoring import Parts, Scoring
from transfer_exp.experiment.uncertainty import Uncertainty
from transfer_exp.features.extraction import Extractor
from transfer_exp.features.model_on_target import SampleSubset, check_pool_and_dataset
from transfer_exp.features.nested_subsets import NestedSubsets
from transfer_exp.ground_truth.regime import Regime
from transfer_exp.metric.metric import Metric, PoolMetric
from transfer_exp.model_pool.pool import ModelPool
from transfer_exp.perturbation.perturbation import Perturbation
from transfer_exp.perturbation.strength_path import StrengthPath
from transfer_exp.progress import progress_bars
from transfer_exp.results.search import SearchedModel, SearchResult
from transfer_exp.statistics.feature_set import FeatureSet
from transfer_exp.store import Store

_FIRST_SHARE = 0.5
"""Of the budget, for a first look at as many models as fit into it; the rest is for a longer one at the better."""


class Seen(NamedTuple):
    """Features of the models of the last round, and the seconds of each model by stage."""

    scoring_sets: Mapping[str, FeatureSet]
    seconds: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, eq=False)
class PoolSearch:
    """A pool, a target, and how to search.

    Attributes
    ----------
    pool, dataset, metric, perturbation
        As their config groups describe them.
    ground_truth
        Asked by metrics for accuracies on other targets.
    halving
        How the search goes; its budget is ``seconds`` here.
    seconds
        That pushing images may take in all; None is no bound.
    draws
        Half-samples for the intervals.
    store
        Keeps features.
    device, batch_size, workers
        Of feature extraction.
    seed
        Of the order of the images, of the half-samples, and of the perturbation.
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

    @cached_property
    def scoring(self) -> Scoring:
        """The metric after the perturbation."""
        return Scoring(self.metric, self.perturbation, self.seed)

    def run(self, labels: Mapping[str, str]) -> tuple[SearchResult, Seen]:
        """Search, and say how sure the order is.

        Parameters
        ----------
        labels
            What perturbation and metric are called in tables.

        Returns
        -------
        found, seen
            The ranking, and what was seen on the way to it.

        Raises
        ------
        InputError
            When no model can be scored; for bad input of any kind.
        """
        check_pool_and_dataset(self.pool, self.dataset)
        start = time.perf_counter()
        with progress_bars(len(self.pool.candidates), f"{self.dataset.name}: models") as (track, next_model):
            extractor = Extractor(self.store, self.device, self.batch_size, self.workers, track)
            candidates = {candidate.name: candidate for candidate in self.pool.candidates}
            nested_subsets = NestedSubsets(candidates, self.dataset, extractor, self.seed)
            looked_at = self._first_look(nested_subsets, next_model)
            search = self._search(nested_subsets, looked_at)
            scored = self._shown_all(nested_subsets, search)
        scores = self._scores(scored)
        scored = {name: scored[name] for name in scores}
        certainty = Uncertainty(self._scores, labels, self.draws, self.seed)
        known, regret, notes = certainty.of(scores, scored, len(self.dataset.class_names))
        first = next(iter(scored.values()))
        if len(first.scoring_set.labels) < len(nested_subsets.order):
            notes.append("expected accuracies are of models trained on the images that were scored, not on all")
        cell = {**labels, "model_pool": self.pool.name, "dataset": self.dataset.name, "seed": str(self.seed)}
        models = self._models(
            search, {n: replace(known[n], score=scores[n]) for n in scores}, len(first.scoring_set.labels)
        )
        found = SearchResult(
            cell,
            (*models, *self._unscored([model.model for model in models])),
            search.stop_reason,
            len(nested_subsets.order),
            nested_subsets.forward_passes,
            time.perf_counter() - start,
            regret,
            tuple(notes),
        )
        seconds = {name: {"features": taken} for name, taken in nested_subsets.seconds.items()}
        return found, Seen({name: pairing.scoring_set for name, pairing in scored.items()}, seconds)

    def _first_look(self, nested_subsets: NestedSubsets, next_model: Callable[[], object]) -> list[str]:
        """Show the first images to one model after the other while there is time; return who saw them."""
        images, names = min(self.halving.first, len(nested_subsets.order)), list[str]()
        for name in nested_subsets.candidates:
            spent = sum(nested_subsets.seconds.values())
            if self.seconds is not None and spent >= _FIRST_SHARE * self.seconds and len(names) > self.halving.top:
                self._reasons[name] = "no time was left to look at it: raise the budget"
            elif self._pairing(nested_subsets, name, images) is not None:
                names.append(name)
            next_model()
        if not names:
            name, reason = next(iter(self._reasons.items()), ("no model", "there is none"))
            raise InputError(f"no model of {self.pool.name} can be scored on {self.dataset.name}; {name}: {reason}")
        return names

    def _search(self, nested_subsets: NestedSubsets, names: Sequence[str]) -> HalvingResult:
        images = min(self.halving.first, len(nested_subsets.order))
        pace = {name: max(nested_subsets.seconds[name], 1e-6) / images for name in names}

        def scores(left: Sequence[str], count: int) -> dict[str, float]:
            for name in set(nested_subsets.candidates) - set(left):
                nested_subsets.forget(name)
            pairings = {name: self._pairing(nested_subsets, name, count) for name in left}
            return self._scores({name: pairing for name, pairing in pairings.items() if pairing is not None})

        # What the first round takes was spent by the first look, whatever the budget; the rest is rounding.
        budget = None if self.seconds is None else max(self.seconds, sum(nested_subsets.seconds.values()) * (1 + 1e-9))
        halving = replace(self.halving, budget=budget)
        return halving(names, len(nested_subsets.order), scores, nested_subsets.imagenet_accuracies, pace)

    def _pairing(self, nested_subsets: NestedSubsets, name: str, images: int) -> SampleSubset | None:
        """Return a model on the first images, or None and keep the reason."""
        try:
            return nested_subsets.pairing(name, images)
        except (InputError, NotApplicableError) as reason:
            self._reasons[name] = str(reason)
            return None

    def _scores(self, pairings: Mapping[str, SampleSubset]) -> dict[str, float]:
        """Return the score of each model that has one, and keep the reason where it has none."""
        found = dict[str, Mapping[str, Parts]]()
        for name, pairing in pairings.items():
            try:
                found[name] = self.scoring.compute_parts(pairing, self.ground_truth)
            except (InputError, NotApplicableError) as reason:
                self._reasons[name] = str(reason)
        return dict(zip(found, self.scoring.combine(list(found.values())), strict=True))

    def _shown_all(self, nested_subsets: NestedSubsets, search: HalvingResult) -> dict[str, SampleSubset]:
        """Return the models of the last round, on all images if there is time for that."""
        last, every = search.rounds[-1], len(nested_subsets.order)
        spent = sum(nested_subsets.seconds.values())
        longer = sum(nested_subsets.seconds[name] for name in last.scores) * (every / last.images - 1)
        images = every if self.seconds is None or spent + longer <= self.seconds else last.images
        pairings = {name: self._pairing(nested_subsets, name, images) for name in last.scores}
        return {name: pairing for name, pairing in pairings.items() if pairing is not None}

    def _models(self, search: HalvingResult, last: Mapping[str, SearchedModel], images: int) -> list[SearchedModel]:
        """Return all that were ranked: those of the last round by what is known of them by now, then the others."""
        seen = {name: (held.images, score) for held in search.rounds for name, score in held.scores.items()}
        models = [replace(last[n], images=images) for n in sorted(last, key=lambda n: -(last[n].score or 0.0))]
        for name in search.ranking:
            if name not in last and name not in self._reasons:
                models.append(SearchedModel(name, images=seen[name][0], score=seen[name][1]))
        return [replace(model, rank=place) for place, model in enumerate(models, start=1)]

    def _unscored(self, ranked: Sequence[str]) -> list[SearchedModel]:
        return [SearchedModel(name, reason=reason) for name, reason in self._reasons.items() if name not in ranked]
