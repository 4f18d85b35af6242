"""Expected accuracies of the finalists of a search, and intervals of their scores and ranks.

Finalists are the models of the last round. A calibration, fitted on other datasets, predicts the accuracy after full
fine-tuning from a score and the accuracy of a linear classifier. A half-sample of the images gives other scores and
another accuracy of that classifier; the spread over half-samples gives the intervals.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from transfer_exp.errors import InputError
from transfer_exp.evaluation.correlation import PerModel
from transfer_exp.evaluation.expected_accuracy import (
    Calibration,
    CalibrationKey,
    ScoredPool,
    find_calibration,
    predict_accuracies,
    predict_regrets,
    predicted_angles,
)
from transfer_exp.evaluation.half_samples import half_samples, rank_intervals, score_intervals
from transfer_exp.experiment.parallel import SERIAL_SECONDS, map_models
from transfer_exp.experiment.scored_subsets import ScoredSubsets
from transfer_exp.features.model_on_target import SampleSubset
from transfer_exp.metric.linear_classifier import held_out_hits
from transfer_exp.model_pool.layers import HEAD_INPUT
from transfer_exp.progress import Track, silent
from transfer_exp.results.search import ACCURACY_LEVEL, RANK_LEVEL, SCORE_LEVEL
from transfer_exp.statistics.feature_set import FeatureSet
from transfer_exp.statistics.rounding import merge_ties

_MIN_CLASS_SIZE = 4
"""A half-sample then has at least two images of every class."""
_MIN_DRAWS = 20
"""Half-samples that a 95 % interval needs, unless fewer are asked for."""
_FIRST_FIT = 64
"""Images of the first linear classifier that measures how long the others will take."""
_CLASSIFIER_SHARE = 0.9
"""Share of the time budget after which no linear classifier is fitted; the rest is for half-samples."""


@dataclass(frozen=True, eq=False)
class Finalists:
    """Models of the last round with what the uncertainty of their order is computed from.

    Attributes:
        scores: Scores by model.
        scored_images: Each model on the images that were scored, the same for all.
        scorer: Scores models on other images, within the time budget of the search.
        options: Names of ``metric`` and ``perturbation``, which select the calibration.
        n_half_samples: Number of half-samples.
        jobs: Number of processes.
    """

    scores: Mapping[str, float]
    scored_images: Mapping[str, SampleSubset]
    scorer: ScoredSubsets
    options: Mapping[str, str]
    n_half_samples: int
    jobs: int

    @property
    def labels(self) -> np.ndarray:
        """Classes of the images, (N,)."""
        return next(iter(self.scored_images.values())).scoring_set.labels

    @property
    def n_classes(self) -> int:
        """Number of classes of the dataset."""
        return len(self.scorer.subsets.dataset.class_names)


@dataclass
class Uncertainty:
    """Results for each finalist, in the order of `Finalists.scores`, and what orders them.

    Attributes:
        values: (M,), quantity that orders the finalists, larger first.
        ordered_by: Name of that quantity, ``expected accuracy`` or ``score``.
        columns: Values of fields of `SearchedModel` by field, one for each finalist.
        expected_regret: Expected loss of accuracy of choosing the first; None without expected accuracies.
        notes: Remarks on what is missing.
    """

    values: PerModel
    ordered_by: str = "score"
    columns: dict[str, list[Any]] = field(default_factory=dict)
    expected_regret: float | None = None
    notes: list[str] = field(default_factory=list)


def measure_uncertainty(finalists: Finalists) -> Uncertainty:
    """Compute expected accuracies, the order of the finalists and the intervals, as far as the budget allows.

    The order is that of the expected accuracies, which combine the score with a linear classifier. It is that of the
    scores if there is no calibration, or labels, layer, images or time do not allow the classifier; ``notes`` says why.
    """
    scores = np.array(list(finalists.scores.values()))
    result, calibration, hits = Uncertainty(scores), None, None
    result.columns["score"] = scores.tolist()
    try:
        if finalists.scorer.subsets.dataset.target_kind == "unlabelled":
            raise InputError("without labels, nothing shows which model tells your classes apart")
        if finalists.scorer.subsets.extractor.layer != HEAD_INPUT:
            raise InputError(f"its calibration is of features.layer={HEAD_INPUT}")
        # Accuracy after full fine-tuning, with that of a linear classifier as second predictor.
        options = finalists.options
        key = CalibrationKey("full", "linear_classifier", options["perturbation"], options["metric"])
        calibration = find_calibration(key)
        hits = _classifier_hits(finalists)
        _add_expected_accuracies(result, calibration, ScoredPool(scores, finalists.n_classes, hits.mean(axis=1)))
    except InputError as reason:
        result.notes.append(f"no expected accuracy: {reason}")
    try:
        _add_intervals(result, finalists, calibration, hits)
    except InputError as reason:
        result.notes.append(f"no intervals of scores and ranks: {reason}")
    return result


def _classifier_hits(finalists: Finalists) -> Bool[np.ndarray, "models samples"]:
    """Return whether a linear classifier, fitted without an image, finds its class, for each finalist and image.

    Raises:
        InputError: If images have no single class, or the images or the time do not suffice.
    """
    n_images, budget = len(finalists.labels), finalists.scorer.budget
    if any(subset.pairing.dataset.target_kind != "single_label" for subset in finalists.scored_images.values()):
        raise InputError("expected accuracies are known for datasets with one class per image only")
    if n_images < _MIN_CLASS_SIZE * finalists.n_classes:
        raise InputError(f"{n_images} images of {finalists.n_classes} classes are too few for a linear classifier")
    subsets = [subset.scoring_set for subset in finalists.scored_images.values()]

    def require_time(n_left: int, seconds_per_model: float) -> None:
        seconds = n_left * seconds_per_model / finalists.jobs
        if budget.seconds is not None and n_left and seconds > budget.left(_CLASSIFIER_SHARE):
            raise InputError("the time budget is too short for a linear classifier")

    def fit(samples: FeatureSet, track: Track) -> tuple[Bool[np.ndarray, " samples"], float]:
        start = time.perf_counter()
        return held_out_hits(samples.features, samples.labels), time.perf_counter() - start

    size, is_affordable = _FIRST_FIT, budget.seconds is None
    while size < n_images and not is_affordable:
        _, seconds = fit(subsets[0].subset(np.arange(size)), silent)
        # Time grows at most with the square of the number of images, because more classes may appear too.
        needed = len(subsets) * seconds * (n_images / size) ** 2 / finalists.jobs
        is_affordable = needed <= budget.left(_CLASSIFIER_SHARE)
        size *= 4  # so the next trial takes up to 16 times as long
        require_time(1, 0.0 if is_affordable else 16 * seconds)
    hits = list[np.ndarray]()
    for hit, seconds in map_models(fit, subsets, finalists.jobs, silent, SERIAL_SECONDS):
        hits.append(hit)
        require_time(len(subsets) - len(hits), seconds)
    return np.stack(hits)


def _add_expected_accuracies(result: Uncertainty, calibration: Calibration, pool: ScoredPool) -> None:
    """Add the expected accuracies of the finalists, and order them by these."""
    # In angles (arcsines of square roots of accuracies), models with accuracies near 1 still differ.
    result.values, result.ordered_by = merge_ties(predicted_angles(calibration, pool)), "expected accuracy"
    expected = predict_accuracies(calibration, pool, ACCURACY_LEVEL)
    result.columns["expected_accuracy"] = expected.accuracies.tolist()
    result.columns["expected_accuracy_low_80"] = expected.low.tolist()
    result.columns["expected_accuracy_high_80"] = expected.high.tolist()
    # The regret of choosing the first one.
    result.expected_regret = float(predict_regrets(calibration, pool, rank_by=result.values)[0])


def _add_intervals(
    result: Uncertainty,
    finalists: Finalists,
    calibration: Calibration | None,
    hits: Bool[np.ndarray, "models samples"] | None,
) -> None:
    """Add the intervals of scores and ranks; InputError if the images or the time do not suffice."""
    scores, labels = np.array(list(finalists.scores.values())), finalists.labels
    if np.unique(labels, return_counts=True)[1].min() < _MIN_CLASS_SIZE:
        raise InputError(f"some class has fewer than {_MIN_CLASS_SIZE} images among those scored")
    halves = half_samples(labels, finalists.n_half_samples, finalists.scorer.subsets.seed)
    half_scores = _score_halves(finalists, halves)
    bounds = score_intervals(scores, half_scores, SCORE_LEVEL)
    half_values = half_scores
    if result.ordered_by != "score":
        assert calibration is not None
        assert hits is not None
        # The share of hits within a half varies as the accuracy does, and needs no new classifier.
        pools = (
            ScoredPool(values, finalists.n_classes, hits[:, chosen].mean(axis=1))
            for values, chosen in zip(half_scores, halves, strict=False)  # fewer scores if the time ended
        )
        half_values = np.stack([predicted_angles(calibration, pool) for pool in pools])
    ranks = rank_intervals(result.values, half_values, RANK_LEVEL)
    result.columns["score_low_95"], result.columns["score_high_95"] = bounds.T.tolist()
    result.columns["best_rank_95"], result.columns["worst_rank_95"] = ranks.T.tolist()


def _score_halves(finalists: Finalists, halves: Bool[np.ndarray, "draws samples"]) -> Float[np.ndarray, "done models"]:
    """Return the scores of the finalists on half-samples, on fewer of them where the time ends before.

    Raises:
        InputError: If the time does not suffice for `_MIN_DRAWS` half-samples.
    """
    rows, scorer = list[list[float]](), finalists.scorer
    least = min(_MIN_DRAWS, len(halves))
    seconds_of_all = sum(scorer.predict_scoring_seconds(name, len(finalists.labels)) for name in finalists.scores)
    if scorer.budget.left() < least * seconds_of_all / 2 / finalists.jobs:
        raise InputError(f"the time budget is too short for {least} half-samples")

    def score(chosen: Bool[np.ndarray, " samples"], track: Track) -> tuple[list[float], float]:
        start = time.perf_counter()
        subsets = [SampleSubset(s.pairing, s.scoring_set.subset(chosen)) for s in finalists.scored_images.values()]
        scores = scorer.score(subsets)
        return [scores.get(name, np.nan) for name in finalists.scores], time.perf_counter() - start

    for row, seconds in map_models(score, list(halves), finalists.jobs, silent, SERIAL_SECONDS):
        rows.append(row)
        n_missing = least - len(rows)
        if scorer.budget.left() < max(n_missing / finalists.jobs, 1) * seconds:
            break
    if len(rows) < least:
        raise InputError(f"the time budget is too short for {least} half-samples")
    return np.array(rows)
