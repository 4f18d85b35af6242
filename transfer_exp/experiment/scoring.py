"""Scoring: perturb the features of a model and apply the metric, one model at a time and then over the pool.

Each model gives *parts*: named numbers, which a metric over the pool combines into scores when all models are done. A
strength path applies a perturbation in several *steps* of rising strength; the score is the mean over the strengths by
the trapezoid rule.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
from jaxtyping import Float

from transfer_exp.errors import (
    InputError,
    ModelFailureError,
    NotApplicableError,
    SharedInputError,
    first_line,
    raising_frame,
    suggestion,
)
from transfer_exp.features.model_on_target import Pairing, SampleSubset
from transfer_exp.ground_truth.regime import KnowsOtherDatasets, Regime
from transfer_exp.metric.metric import NEEDS_TABLE, Metric, ModelFacts, ModelWeights, PoolMetric
from transfer_exp.perturbation.none import NoPerturbation
from transfer_exp.perturbation.perturbation import Perturbation, StatisticsPerturbation
from transfer_exp.perturbation.strength_path import StrengthPath
from transfer_exp.statistics.class_statistics import ClassStatistics, class_statistics
from transfer_exp.statistics.feature_set import FeatureSet, TargetKind
from transfer_exp.statistics.rounding import merge_ties

Parts: TypeAlias = Mapping[str, float]
"""Parts of one model's score by name; a metric that does not depend on the pool has a single part."""
View = TypeVar("View", bound=Pairing | SampleSubset)
_log = logging.getLogger(__name__)
_NO_STEP, _SCORE = "", "score"
"""Name of the step if the perturbation is not a path, and of the part if the metric has a single part."""
_ROUNDING = 1e-6
"""Largest rounding error of a score, relative to its bound."""
_KIND_PHRASES: Mapping[TargetKind, str] = {
    "multi_label": "images with several labels",
    "regression": "numbers as labels",
    "unlabelled": "images without labels",
}
_LABEL_INPUTS = {"labels", "class_statistics"}
"""Inputs of a metric that take one class per image."""
_LABEL_FREE_METRICS = "rankme, alpha_req, entropy, free_energy"
_TARGET_METRICS = "logme, cka, h_score, knn, ridge"
"""Metrics for every kind of dataset, named in messages."""


@dataclass(eq=False)
class MetricInputs:
    """Inputs of a metric for one model; each is computed on first use.

    Attributes:
        pairing: The model on the target dataset.
        perturbation: Applied to the features, and to statistics computed from them.
        seed: Seed of the perturbation, the same for every model.
        ground_truth: Source of accuracies on other datasets.
        subset: Samples to score instead of the whole scoring set.
    """

    pairing: Pairing
    perturbation: Perturbation
    seed: int
    ground_truth: Regime
    subset: FeatureSet | None = None

    def select(self, names: Sequence[str]) -> list[Any]:
        """Return the inputs with these names.

        Raises:
            SharedInputError: If the name is unknown, accuracies on other datasets are missing, or perturbed features
                would be related to what is not perturbed.
            InputError: If the perturbation refuses the features.
            NotApplicableError: If the model lacks the input.
        """
        properties = [name for name, value in vars(MetricInputs).items() if isinstance(value, cached_property)]
        available = [name for name in properties if not name.startswith("_")]
        for name in names:
            if name not in available:
                raise SharedInputError(f"no input '{name}': {suggestion(name, available)}")
        reads_network = "features" in names and bool({"weights", "source_set"} & set(names))
        if reads_network and not isinstance(self.perturbation, NoPerturbation):
            raise SharedInputError(
                "relates features to the head or to source images, which are not perturbed: set perturbation=none"
            )
        return [getattr(self, name) for name in names]

    @property
    def target_kind(self) -> TargetKind:
        """What the dataset asks a model to predict."""
        return self.pairing.dataset.target_kind

    @cached_property
    def _scoring_set(self) -> FeatureSet:
        scoring_set = self.subset or self.pairing.features("scoring_set")
        assert scoring_set is not None, "every dataset has a scoring set"
        return scoring_set

    @cached_property
    def features(self) -> np.ndarray:
        """Perturbed features, (N, D')."""
        rng, labels = np.random.default_rng(self.seed), self._scoring_set.labels
        if self.target_kind == "unlabelled":  # the perturbation ignores the labels, but checks that there are two
            labels = np.arange(len(labels))
        return self.perturbation(self._scoring_set.features, labels, rng)

    @cached_property
    def targets(self) -> np.ndarray:
        """Several labels of each image, or numbers, (N, T)."""
        assert self._scoring_set.targets is not None, "only a dataset with one class per image has no targets"
        return self._scoring_set.targets

    @cached_property
    def labels(self) -> np.ndarray:
        """Target classes, (N,)."""
        return self._scoring_set.labels

    @cached_property
    def class_statistics(self) -> ClassStatistics:
        """Class statistics of the perturbed features; samples are not loaded if the perturbation allows it."""
        if not isinstance(self.perturbation, StatisticsPerturbation):
            return class_statistics(self.features, self.labels)
        if self.subset is not None:
            return self.perturbation.on_statistics(class_statistics(self.subset.features, self.labels))
        statistics = self.pairing.class_statistics("scoring_set")
        assert statistics is not None, "every dataset has a scoring set"
        return self.perturbation.on_statistics(statistics)

    @cached_property
    def source_probabilities(self) -> np.ndarray:
        """Softmax over source classes, (N, S); perturbations do not change it."""
        if self._scoring_set.source_probabilities is None:
            is_network = self.pairing.model is not None
            cause = "the model has no head, or features.layer is inside it" if is_network else "its file has none"
            raise NotApplicableError(f"no source probabilities: {cause}")
        return self._scoring_set.source_probabilities

    @cached_property
    def model(self) -> ModelFacts:
        """Facts about the model that do not depend on the dataset."""
        return self.pairing.facts()

    @cached_property
    def weights(self) -> ModelWeights:
        """Weights of the network, which no perturbation changes."""
        return self.pairing.weights()

    @cached_property
    def source_set(self) -> FeatureSet:
        """Features, labels and source probabilities of images of the model's source dataset; never perturbed."""
        source_set = self.pairing.source_set()
        if source_set is None:
            raise NotApplicableError("no images of the dataset that the model was pretrained on")
        return source_set

    @cached_property
    def dataset(self) -> str:
        """Name of the target dataset."""
        return str(self.pairing.dataset.name)

    @cached_property
    def accuracies_elsewhere(self) -> Mapping[str, float]:
        """Accuracy of the model on other datasets, by their names."""
        if not isinstance(self.ground_truth, KnowsOtherDatasets):
            raise SharedInputError(NEEDS_TABLE)
        return self.ground_truth.other_accuracies(self.pairing.name, self.dataset)


@dataclass(frozen=True)
class Scoring:
    """A metric applied after a perturbation, or after each step of a strength path.

    Attributes:
        metric, perturbation: Objects of the config groups.
        seed: Seed of the perturbation.
    """

    metric: Metric | PoolMetric
    perturbation: Perturbation | StrengthPath
    seed: int

    @property
    def _steps(self) -> Mapping[str, Perturbation]:
        path = self.perturbation
        return path.steps() if isinstance(path, StrengthPath) else {_NO_STEP: path}

    def compute_parts(
        self, pairing: Pairing, ground_truth: Regime, subset: FeatureSet | None = None
    ) -> dict[str, Parts]:
        """Return the parts of one model's score by step, on a subset of the scoring set if one is given.

        Errors are those of `metric_parts`.
        """
        name = self.metric.name
        return {
            step: metric_parts(name, self.metric, MetricInputs(pairing, perturbation, self.seed, ground_truth, subset))
            for step, perturbation in self._steps.items()
        }

    def best_layer(
        self, layers: Sequence[View], parts_of: Callable[[View], Mapping[str, Parts]]
    ) -> tuple[View, Mapping[str, Parts], dict[str, float]]:
        """Return the layer of a model with the highest score, the last one of equal ones.

        A metric over a pool compares the layers with each other. Layers that the metric does not apply to are left out.

        Args:
            layers: The model with the features of one layer each, in the order of the forward pass.
            parts_of: Function that returns the parts of a score by step, such as `compute_parts`.

        Returns:
            The model with the features of this layer, the parts of its score by step, and the score of each layer by
            its name; the latter is empty if there is only one.

        Raises:
            NotApplicableError: As `compute_parts`, if the metric applies to none of the layers.
        """
        if len(layers) == 1:
            return layers[0], parts_of(layers[0]), {}
        parts, reasons = dict[int, Mapping[str, Parts]](), list[NotApplicableError]()
        for position, view in enumerate(layers):
            try:
                parts[position] = parts_of(view)
            except NotApplicableError as reason:
                reasons.append(reason)
        if not parts:
            raise reasons[-1]
        scores = dict(zip(parts, self.combine(list(parts.values())), strict=True))
        best = max(scores, key=lambda position: (scores[position], position))
        return layers[best], parts[best], {layers[i].layer: score for i, score in scores.items()}

    def perturb(self, scoring_set: FeatureSet) -> Float[np.ndarray, "samples new_dim"] | None:
        """Return the features that the metric scores, at the last step of a path; None without a perturbation."""
        perturbation = list(self._steps.values())[-1]
        if isinstance(perturbation, NoPerturbation):
            return None
        return perturbation(scoring_set.features, scoring_set.labels, np.random.default_rng(self.seed))

    def combine(self, parts_of_models: Sequence[Mapping[str, Parts]]) -> list[float]:
        """Return the scores of all models from their parts by step, as means along a path; tied scores are made equal.

        Raises:
            InputError: If the metric cannot combine the parts; the message names the metric.
        """
        if not parts_of_models:
            return []
        try:
            steps = parts_of_models[0]
            by_step = np.array([metric_scores(self.metric, [parts[s] for parts in parts_of_models]) for s in steps])
        except InputError as error:
            raise InputError(f"{self.metric.name}: {error}") from error
        scores = self.perturbation.average(by_step) if isinstance(self.perturbation, StrengthPath) else by_step[0]
        return merge_ties(scores).tolist()


def metric_parts(metric_name: str, metric: Metric | PoolMetric, inputs: MetricInputs) -> Parts:
    """Return the parts of one model's score; messages use the name of the metric.

    Raises:
        SharedInputError: If an input is invalid that all models share.
        NotApplicableError: If the metric does not apply to this model. Of the kind ModelFailureError if the model
            cannot be used, or metric or perturbation refuse its features; the message names the metric and the model.
    """
    label = f"{metric_name} on model {inputs.pairing.name}"
    try:
        parts = _compute_parts(metric, inputs)
    except SharedInputError as error:
        raise SharedInputError(f"{label}: {error}") from error
    except InputError as error:
        raise ModelFailureError(f"{label}: {error}") from error
    except MemoryError as error:
        message = f"{label}: memory ran out ({first_line(error)}): score fewer images or classes, or use another metric"
        raise ModelFailureError(message) from error
    except (NotApplicableError, OSError):
        raise
    except (Exception, SystemExit) as error:  # of a library, or a mistake in a metric of the user
        raise ModelFailureError(f"{label}: {_describe(error)}") from error
    for name, value in parts.items():
        if _to_float(value) is None:
            raise ModelFailureError(f"{label}: the {name} is {value!r}, which is not a number: return a float")
    parts = {name: float(value) for name, value in parts.items()}
    # Every score must be finite. The bounds of a metric are those for classes: the R2 of numbers can be negative.
    is_checked = inputs.target_kind == "single_label" or not np.isfinite(parts.get(_SCORE, 0.0))
    if not isinstance(metric, PoolMetric) and is_checked and (problem := _find_problem(metric, parts[_SCORE])):
        raise ModelFailureError(f"{label}: {problem}")
    return parts


def _describe(error: BaseException) -> str:
    """Return the type of an unexpected error, the line that raised it and the first line of its message."""
    _log.debug("unexpected error of a metric", exc_info=error)
    frame = raising_frame(error)
    return f"{type(error).__name__} in {Path(frame.filename).name} line {frame.lineno} ({first_line(error)})"


def _to_float(value: Any) -> float | None:
    """Return a number as a float; None for anything else, and for an int beyond the range of floats."""
    with suppress(OverflowError):
        return float(value) if isinstance(value, int | float | np.integer | np.floating) else None
    return None


def _find_problem(metric: Metric | PoolMetric, score: float) -> str:
    """Return what is wrong with a score, empty if it is finite and within the bounds of its metric up to rounding."""
    if not np.isfinite(score):
        return f"the score is {score}: look at the features of the model"
    lower, upper = (
        bound + sign * _ROUNDING * max(1.0, abs(bound)) for bound, sign in ((metric.lower, -1), (metric.upper, 1))
    )
    if lower <= score <= upper:
        return ""
    bounds = f"{metric.lower:g} to {metric.upper:g}"
    return f"the score {score:.6g} is outside the bounds of the metric, {bounds}: correct the metric or its bounds"


def _compute_parts(metric: Metric | PoolMetric, inputs: MetricInputs) -> Mapping[str, Any]:
    """Return the parts of one model's score, by the method of the metric for this kind of dataset."""
    kind, names = inputs.target_kind, set(metric.inputs)
    if kind != "single_label":
        if names & {"features", *_LABEL_INPUTS}:
            _check_label_free(inputs.perturbation, kind)
        if names & _LABEL_INPUTS:
            if kind not in getattr(metric, "target_kinds", ()):
                metrics = _LABEL_FREE_METRICS if kind == "unlabelled" else _TARGET_METRICS
                raise SharedInputError(f"not applicable to {_KIND_PHRASES[kind]}: use a metric such as {metrics}")
            scorer: Any = metric
            if isinstance(metric, PoolMetric):
                return cast("Mapping[str, Any]", scorer.target_parts(inputs.features, inputs.targets, kind))
            return {_SCORE: scorer.score_targets(inputs.features, inputs.targets, kind)}
    values = inputs.select(metric.inputs)
    return metric.parts(*values) if isinstance(metric, PoolMetric) else {_SCORE: metric(*values)}


def _check_label_free(perturbation: Perturbation, kind: TargetKind) -> None:
    """Raise SharedInputError if a perturbation reads classes, which the dataset does not have."""
    if not getattr(perturbation, "ignores_labels", False):
        raise SharedInputError(
            f"perturbation {perturbation.name} moves classes, and is not applicable to {_KIND_PHRASES[kind]}: set "
            "perturbation=none or pca"
        )


def metric_scores(metric: Metric | PoolMetric, parts: Sequence[Parts]) -> Float[np.ndarray, " models"]:
    """Return the scores of all models from the parts of each."""
    if isinstance(metric, PoolMetric):
        try:
            scores = np.asarray(metric.combine(parts))
        except InputError:
            raise
        except (Exception, SystemExit) as error:
            raise InputError(_describe(error)) from error
        if scores.shape != (len(parts),) or scores.dtype.kind not in "fiu":
            raise InputError(f"{scores} is not one number for each of {len(parts)} models: correct the metric")
        if problem := next(filter(None, (_find_problem(metric, score) for score in scores)), ""):
            raise InputError(problem)
        return scores
    return np.array([part[_SCORE] for part in parts])


def flatten_parts(parts: Mapping[str, Parts]) -> dict[str, float]:
    """Return all parts by one name each, such as ``alpha=0.1 norm``; empty if the score itself is the only part."""
    flat = {(step, part): value for step, by_name in parts.items() for part, value in by_name.items()}
    if list(flat) == [(_NO_STEP, _SCORE)]:
        return {}
    return {" ".join(name for name in names if name not in (_NO_STEP, _SCORE)): flat[names] for names in flat}
