"""Scores of a pool: each model's evidence handed to the metric, step by step along a path, then over all models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from transfer_exp.errors import InputError, NotApplicableError, suggestion
from transfer_exp.features.model_on_target import Pairing, SampleSubset
from transfer_exp.ground_truth.regime import KnowsOtherDatasets, Regime
from transfer_exp.metric.metric import Metric, PoolMetric
from transfer_exp.metric.model_facts import ModelFacts
from transfer_exp.perturbation.none import NoPerturbation
from transfer_exp.perturbation.perturbation import Perturbation, StatisticsPerturbation
from transfer_exp.perturbation.strength_path import StrengthPath
from transfer_exp.statistics.class_statistics import ClassStatistics, class_statistics
from transfer_exp.statistics.feature_set import FeatureSet

Parts = Mapping[str, float]
_ALONE, _SCORE = "", "score"
"""The one step of a perturbation that is no path; the one part of a metric that needs no pool."""


@dataclass(eq=False)
class MetricInputs:
    """One model on one target as a metric may see it: every input by name, obtained when asked for.

    Attributes
    ----------
    pairing
        The model and the target.
    perturbation
        Applied to features, and to what is computed from them.
    seed
        Of its draws; the same for every model.
    ground_truth
        Asked for accuracies on other targets.
    """

    pairing: Pairing | SampleSubset
    perturbation: Perturbation
    seed: int
    ground_truth: Regime

    def named(self, inputs: Sequence[str]) -> list[Any]:
        """Return the inputs with these names.

        Raises
        ------
        InputError
            For a name that is not one of this class's inputs, or as its parts do.
        NotApplicableError
            When the model has no such input.
        """
        known = [name for name, value in vars(MetricInputs).items() if isinstance(value, cached_property)]
        for name in inputs:
            if name not in known or name.startswith("_"):
                raise InputError(f"no input '{name}': {suggestion(name, [k for k in known if k[0] != '_'])}")
        return [getattr(self, name) for name in inputs]

    @cached_property
    def _scoring_set(self) -> FeatureSet:
        scoring_set = self.pairing.features("scoring_set")
        assert scoring_set is not None, "every dataset has a scoring set"
        return scoring_set

    @cached_property
    def features(self) -> np.ndarray:
        """Perturbed features, (N, D')."""
        rng = np.random.default_rng(self.seed)
        return self.perturbation(self._scoring_set.features, self._scoring_set.labels, rng)

    @cached_property
    def labels(self) -> np.ndarray:
        """Target classes, (N,)."""
        return self._scoring_set.labels

    @cached_property
    def class_statistics(self) -> ClassStatistics:
        """Class statistics of the perturbed features, without the samples in memory where that can be."""
        if not isinstance(self.perturbation, StatisticsPerturbation):
            return class_statistics(self.features, self.labels)
        statistics = self.pairing.class_statistics("scoring_set")
        assert statistics is not None, "every dataset has a scoring set"
        return self.perturbation.on_statistics(statistics)

    @cached_property
    def source_probabilities(self) -> np.ndarray:
        """Softmax over source classes, (N, S), which no perturbation touches."""
        if self._scoring_set.source_probabilities is None:
            raise NotApplicableError("no source probabilities: the model has no head")
        return self._scoring_set.source_probabilities

    @cached_property
    def model(self) -> ModelFacts:
        """What is known of the model alone."""
        return self.pairing.facts()

    @cached_property
    def dataset(self) -> str:
        """Name of the target."""
        return str(self.pairing.dataset.name)

    @cached_property
    def accuracies_elsewhere(self) -> Mapping[str, float]:
        """Accuracy of the model on other targets, by their names."""
        if not isinstance(self.ground_truth, KnowsOtherDatasets):
            raise InputError("needs accuracies on other targets: set ground_truth=table with a table that has them")
        return self.ground_truth.other_accuracies(self.pairing.name, self.dataset)


@dataclass(frozen=True)
class Scoring:
    """A metric after a perturbation, or after each step of a path.

    Attributes
    ----------
    metric, perturbation
        As their config groups describe them.
    seed
        Of the perturbation.
    """

    metric: Metric | PoolMetric
    perturbation: Perturbation | StrengthPath
    seed: int

    def parts(self, pairing: Pairing | SampleSubset, ground_truth: Regime) -> dict[str, Parts]:
        """Return the parts of one model's score at every step.

        Raises
        ------
        InputError
            Naming metric and model.
        NotApplicableError
            When the metric cannot score this model.
        """
        path = self.perturbation
        steps = path.steps() if isinstance(path, StrengthPath) else {_ALONE: path}
        try:
            parts = {}
            for step, perturbation in steps.items():
                parts[step] = parts_of(self.metric, MetricInputs(pairing, perturbation, self.seed, ground_truth))
            return parts
        except InputError as error:
            raise InputError(f"{self.metric.name} on model {pairing.name}: {error}") from error

    def perturbed(self, scoring_set: FeatureSet) -> Float[np.ndarray, "samples new_dim"] | None:
        """Return features as the metric sees them, of a path at its last step; None where nothing perturbs them."""
        path = self.perturbation
        last = list(path.steps().values())[-1] if isinstance(path, StrengthPath) else path
        if isinstance(last, NoPerturbation):
            return None
        return last(scoring_set.features, scoring_set.labels, np.random.default_rng(self.seed))

    def combine(self, models: Sequence[Mapping[str, Parts]]) -> list[float]:
        """Return the score of every model from the parts of all, averaged along the path.

        Raises
        ------
        InputError
            Naming the metric.
        """
        if not models:
            return []
        try:
            curves = np.array([over_pool(self.metric, [model[step] for model in models]) for step in models[0]])
        except InputError as error:
            raise InputError(f"{self.metric.name}: {error}") from error
        averaged = self.perturbation.average(curves) if isinstance(self.perturbation, StrengthPath) else curves[0]
        return [float(score) for score in averaged]


def parts_of(metric: Metric | PoolMetric, evidence: MetricInputs) -> Parts:
    """Return the parts of one model's score.

    Raises
    ------
    InputError, NotApplicableError
        As the metric and the evidence.
    """
    given = evidence.named(metric.inputs)
    return metric.parts(*given) if isinstance(metric, PoolMetric) else {_SCORE: metric(*given)}


def over_pool(metric: Metric | PoolMetric, parts: Sequence[Parts]) -> Float[np.ndarray, " models"]:
    """Return the scores of all models from the parts of each."""
    if isinstance(metric, PoolMetric):
        return np.asarray(metric.combine(parts))
    return np.array([part[_SCORE] for part in parts])


def flat(parts: Mapping[str, Parts]) -> dict[str, float]:
    """Return parts by one name each, as results keep them; the score of a metric by itself is no part of itself."""
    named = {(step, part): value for step, known in parts.items() for part, value in known.items()}
    if list(named) == [(_ALONE, _SCORE)]:
        return {}
    return {" ".join(n for n in name if n not in (_ALONE, _SCORE)): value for name, value in named.items()}
