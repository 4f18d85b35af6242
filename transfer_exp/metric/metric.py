"""Interfaces of transferability metrics: declared facts, and one score per model (larger is better).

A metric scores one model at a time. A pool metric first computes "parts" (named numbers) of each model and then
combines the parts of all models of the pool into scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from scipy.special import softmax

from transfer_exp.errors import NotApplicableError
from transfer_exp.statistics.feature_set import TargetKind

NEEDS_TABLE = "needs accuracies on other targets: set ground_truth=table with a table that has them"
"""What is missing for a metric with the input ``accuracies_elsewhere``, after its name."""


class Facts(Protocol):
    """A frozen dataclass with hyperparameters as fields and facts as class variables; a subclass leaves out defaults.

    A metric module starts with the formula as a free function; the fields of the class are the options of that
    function. Formulas raise `InputError` for input that `check_features` or `check_source_probabilities` rejects.

    Attributes:
        name: Identifier in tables and in ``conf/metric``.
        source: Authors, venue and year of the formula.
        lower, upper: Bounds of the score for every input; the formula's docstring may have tighter ones.
        inputs: Names of the call's arguments, in order: ``features`` (N, D) and ``labels`` (N,);
            ``source_probabilities`` (N, S); ``class_statistics``, which can be streamed; ``model``, its `ModelFacts`;
            ``weights``, its `ModelWeights`; ``source_set``, a `FeatureSet` of images of the model's source dataset;
            ``accuracies_elsewhere``, the model's accuracies on other targets; ``dataset``, the name of the target.
        invariances: Maps of the input that leave the score unchanged. For features: ``"rotation"`` (any orthogonal
            map), ``"translation"``, ``"scaling"`` (one positive factor), ``"affine"`` (any invertible affine map). For
            source probabilities: ``"source_permutation"`` (any order of the source classes). Sample order and the names
            of the target classes never matter.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    lower: ClassVar[float] = -np.inf
    upper: ClassVar[float] = np.inf

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the call's arguments."""
        return ("features", "labels")

    @property
    def invariances(self) -> tuple[str, ...]:
        """Maps of the input that leave the score unchanged."""
        return ()


@runtime_checkable
class Metric(Facts, Protocol):
    """A metric whose score of a model does not depend on the rest of the pool."""

    def __call__(self, *inputs: Any) -> float:
        """Return the score of one model from the values that ``inputs`` names."""
        ...


@runtime_checkable
class PoolMetric(Facts, Protocol):
    """A metric whose score of a model depends on the rest of the pool."""

    def parts(self, *inputs: Any) -> Mapping[str, float]:
        """Return the finite parts of one model by name. The declared invariances hold for the parts."""
        ...

    def combine(self, parts: Sequence[Mapping[str, float]]) -> Float[np.ndarray, " models"]:
        """Return the score of every model, (M,), from the parts of all. A part with equal values counts as zero."""
        ...


@dataclass(frozen=True)
class FormulaMetric(Metric):
    """Base of a metric that is one free function, whose options are the fields of the class with their names.

    A subclass may have further fields.

    Attributes:
        formula: Function of the inputs in their order.
        multi_label_formula, regression_formula: Functions of features (N, D) and targets (N, T), zeros and ones or
            numbers, for datasets with several labels or numbers; None if the metric does not apply to them.
    """

    formula: ClassVar[Callable[..., float]]
    multi_label_formula: ClassVar[Callable[..., float] | None] = None
    regression_formula: ClassVar[Callable[..., float] | None] = None

    def __call__(self, *inputs: Any) -> float:
        """Return ``formula`` of the inputs."""
        return self.formula(*inputs, **self._options(self.formula))

    @property
    def target_kinds(self) -> tuple[TargetKind, ...]:
        """Kinds of dataset besides ``single_label`` that have a formula; `score_targets` scores them."""
        kinds: tuple[TargetKind, ...] = ("multi_label", "regression")
        return tuple(kind for kind in kinds if getattr(self, f"{kind}_formula"))

    def score_targets(self, features: np.ndarray, targets: np.ndarray, kind: TargetKind) -> float:
        """Return the formula of a kind of dataset."""
        formula = getattr(self, f"{kind}_formula")
        return formula(features, targets, **self._options(formula))

    def _options(self, formula: Callable[..., float]) -> dict[str, Any]:
        parameters = signature(formula).parameters
        return {name: value for name, value in vars(self).items() if name in parameters}


@dataclass(frozen=True)
class ModelFacts:
    """Facts about a model that baselines rank by.

    Attributes:
        name: Name of the model in its pool.
        parameters: Number of parameters, source head included. None for a model with features but no network.
        imagenet_accuracy: Published top-1 accuracy of these weights on ImageNet-1k, in [0, 1], or None.
    """

    name: str
    parameters: int | None = None
    imagenet_accuracy: float | None = None


@dataclass(frozen=True, eq=False)
class ModelWeights:
    """Weights of a network's convolutions and linear layers.

    Attributes:
        layers: One matrix (outputs, inputs times kernel size) per layer without the head, in the network's order.
        head: Weights (S, D) and bias (S,) of the linear head on the features; None without one.
    """

    layers: tuple[Float[np.ndarray, "_ _"], ...]
    head: tuple[Float[np.ndarray, "source_classes dim"], Float[np.ndarray, " source_classes"]] | None = None

    def logits(
        self,
        features: Float[np.ndarray, "samples dim"],
        source_probabilities: Float[np.ndarray, "samples source_classes"],
    ) -> Float[np.ndarray, "samples source_classes"]:
        """Return the logits of the head for features, in float64.

        Args:
            features: (N, D), not perturbed.
            source_probabilities: What the network itself gives for the same images, (N, S), to compare with.

        Raises:
            NotApplicableError: If the network has no linear head, or does something else between features and output.
        """
        if self.head is None:
            raise NotApplicableError("no logits: the model has no linear head")
        weights, bias = (array.astype(np.float64) for array in self.head)
        logits = features.astype(np.float64) @ weights.T + bias if features.shape[1] == weights.shape[1] else None
        # Some networks normalise or average between the features and their output. Mixed precision has two digits.
        if logits is None or not np.allclose(softmax(logits, axis=1), source_probabilities, atol=0.02):
            raise NotApplicableError("no logits: the output of the model is not a linear layer of its features")
        return logits
