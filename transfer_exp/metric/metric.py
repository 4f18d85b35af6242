"""Interfaces of transferability metrics: declared facts, and one score per model (larger is better).

A metric scores one model at a time. A pool metric first computes "parts" (named numbers) of each model and then
combines the parts of all models of the pool into scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float


class Facts(Protocol):
    """A frozen dataclass with hyperparameters as fields and facts as class variables.

    A metric module starts with the formula as a free function; the fields of the class are the options of that
    function. Formulas raise `InputError` for input that `check_features` or `check_source_probabilities` rejects.

    Attributes:
        name: Identifier in tables and in ``conf/metric``.
        source: Authors, venue and year of the formula.
        lower, upper: Bounds of the score for every input; the formula's docstring may have tighter ones.
        inputs: Names of the call's arguments, in order: ``features`` (N, D) and ``labels`` (N,);
            ``source_probabilities`` (N, S); ``class_statistics``, which can be streamed; ``model``, its `ModelFacts`;
            ``accuracies_elsewhere``, the model's accuracies on other targets; ``dataset``, the name of the target.
        invariances: Maps of the input that leave the score unchanged. For features: ``"rotation"`` (any orthogonal
            map), ``"translation"``, ``"scaling"`` (one positive factor), ``"affine"`` (any invertible affine map). For
            source probabilities: ``"source_permutation"`` (any order of the source classes). Sample order and the names
            of the target classes never matter.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    lower: ClassVar[float]
    upper: ClassVar[float]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the call's arguments."""
        ...

    @property
    def invariances(self) -> tuple[str, ...]:
        """Maps of the input that leave the score unchanged."""
        ...


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
