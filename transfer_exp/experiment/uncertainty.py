"""Uncertainty of a search: intervals of scores and ranks, and the accuracies that the scores predict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int
from threadpoolctl import threadpool_limits

from transfer_exp.errors import InputError
from transfer_exp.evaluation.expectations import Expectations, expectations
from transfer_exp.evaluation.half_samples import half_samples, rank_intervals, score_intervals
from transfer_exp.features.model_on_target import SampleSubset
from transfer_exp.metric.linear_classifier import LinearClassifier

_MIN_CLASS_SIZE = 4
"""A half-sample then has at least two images of every class."""
ScoreFunction: TypeAlias = Callable[[Mapping[str, SampleSubset]], Mapping[str, float]]
"""Scores of models by name; a model that cannot be scored is missing."""


def intervals(
    score: ScoreFunction, scores: Mapping[str, float], pairings: Mapping[str, SampleSubset], draws: int, seed: int
) -> tuple[Float[np.ndarray, "models 2"], Int[np.ndarray, "models 2"]]:
    """Return the interval of each score and of each rank, estimated on half-samples of the images.

    Args:
        score: Function that scores models.
        scores: Scores on all images of the scoring set, by model.
        pairings: The same models, all with the same images as the scoring set.
        draws, seed: Number of half-samples, and their seed.

    Raises:
        InputError: If a class has fewer than four images, or a model cannot be scored on a half-sample.
    """
    labels = next(iter(pairings.values())).scoring_set.labels
    if np.unique(labels, return_counts=True)[1].min() < _MIN_CLASS_SIZE:
        raise InputError(f"some class has fewer than {_MIN_CLASS_SIZE} images among those scored")
    halves = np.empty((draws, len(scores)))
    # One thread, because each of these thousands of scores is too small to gain from several.
    with threadpool_limits(1):
        for draw, samples in enumerate(half_samples(labels, draws, seed)):
            subsets = {
                name: SampleSubset(pairing.pairing, pairing.scoring_set.subset(samples))
                for name, pairing in pairings.items()
            }
            half_scores = score(subsets)
            halves[draw] = [half_scores.get(name, np.nan) for name in scores]
    values = np.array(list(scores.values()))
    return score_intervals(values, halves), rank_intervals(values, halves)


def predicted_accuracies(
    scores: Mapping[str, float], pairings: Mapping[str, SampleSubset], n_classes: int, metric: str, perturbation: str
) -> Expectations:
    """Return the accuracy that each model is expected to reach after full fine-tuning.

    The order comes from the scores, the level from a linear classifier on the same unperturbed features.

    Args:
        scores, pairings: Scores by model, and the models with the images they were scored on.
        n_classes: C of the dataset.
        metric, perturbation: Names of the metric and the perturbation, to find their calibration.

    Raises:
        InputError: If this metric and perturbation have not been calibrated, or the linear classifier cannot be fitted.
    """
    scoring_sets = [pairing.scoring_set for pairing in pairings.values()]
    anchors = np.array([LinearClassifier()(samples.features, samples.labels) for samples in scoring_sets])
    return expectations(metric, np.array(list(scores.values())), n_classes, anchors, perturbation=perturbation)
