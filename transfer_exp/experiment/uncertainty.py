"""How sure the order of scored models is, and what accuracy they are expected to reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from threadpoolctl import threadpool_limits

from transfer_exp.errors import InputError
from transfer_exp.evaluation.expectations import Expectations, expectations
from transfer_exp.evaluation.half_samples import half_samples, rank_intervals, score_intervals
from transfer_exp.features.model_on_target import SampleSubset
from transfer_exp.metric.linear_classifier import LinearClassifier
from transfer_exp.results.search import SearchedModel
from transfer_exp.statistics.feature_set import FeatureSet

_FEWEST = 4
"""Images of a class, so that half of them is never one alone."""
Scores = Callable[[Mapping[str, SampleSubset]], Mapping[str, float]]


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """Of the scores that a function gives.

    Attributes
    ----------
    scores
        Of models by name.
    labels
        What perturbation and metric are called.
    draws, seed
        Half-samples, and what they are drawn from.
    """

    scores: Scores
    labels: Mapping[str, str]
    draws: int
    seed: int

    def of(
        self, scores: Mapping[str, float], pairings: Mapping[str, SampleSubset], classes: int
    ) -> tuple[dict[str, SearchedModel], float | None, list[str]]:
        """Return what is known of models besides score and rank, the regret expected of the first, and notes.

        Parameters
        ----------
        scores
            On the same images, by model.
        pairings
            The models with these images as the scoring set.
        classes
            C of the target.
        """
        notes, models = list[str](), {name: SearchedModel(name) for name in scores}
        scoring_sets = {name: pairing.scoring_set for name, pairing in pairings.items()}
        values = np.array([scores[name] for name in models])
        try:
            low_high, ranks = self._spread(values, pairings, scoring_sets)
        except InputError as reason:
            notes.append(f"no intervals of scores: {reason}")
        else:
            for name, (low, high), (first, last) in zip(models, low_high.tolist(), ranks.tolist(), strict=True):
                models[name] = replace(models[name], low=low, high=high, best_rank=first, worst_rank=last)
        try:
            known = self._expected(values, scoring_sets, classes)
        except InputError as reason:
            notes.append(f"no expected accuracy: {reason}")
            return models, None, notes
        bounds = zip(models, known.accuracies.tolist(), known.low.tolist(), known.high.tolist(), strict=True)
        for name, middle, low, high in bounds:
            models[name] = replace(models[name], expected=middle, expected_low=low, expected_high=high)
        return models, float(known.regrets[0]), notes

    def _spread(
        self,
        values: Float[np.ndarray, " models"],
        pairings: Mapping[str, SampleSubset],
        scoring_sets: Mapping[str, FeatureSet],
    ) -> tuple[Float[np.ndarray, "models 2"], Int[np.ndarray, "models 2"]]:
        """Return the interval of each score, and the ranks that each model may have."""
        labels = next(iter(scoring_sets.values())).labels
        if np.unique(labels, return_counts=True)[1].min() < _FEWEST:
            raise InputError(f"some class has fewer than {_FEWEST} images among those scored")
        halves = np.empty((self.draws, len(values)))
        # Thousands of small problems, for each of which threads would wait for each other longer than they work.
        with threadpool_limits(1):
            for draw, chosen in enumerate(half_samples(labels, self.draws, self.seed)):
                found = self.scores(
                    {n: SampleSubset(p.pairing, scoring_sets[n].subset(chosen)) for n, p in pairings.items()}
                )
                halves[draw] = [found.get(name, np.nan) for name in pairings]
        return score_intervals(values, halves), rank_intervals(values, halves)

    def _expected(
        self, values: Float[np.ndarray, " models"], scoring_sets: Mapping[str, FeatureSet], classes: int
    ) -> Expectations:
        """Return expected accuracies, their level taken from a linear classifier on the same features."""
        anchors = np.array(
            [LinearClassifier()(scoring_set.features, scoring_set.labels) for scoring_set in scoring_sets.values()]
        )
        metric, perturbation = self.labels["metric"], self.labels["perturbation"]
        return expectations(metric, values, classes, anchors, perturbation=perturbation)
