"""What every transferability metric is: a score for one model, larger is better, with its facts declared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float


class Facts(Protocol):
    """A frozen dataclass whose fields are its hyperparameters and whose class variables are its facts.

    Attributes
    ----------
    name
        As shown in tables and used in ``conf/metric``.
    source
        Authors, venue and year of the formula.
    lower, upper
        Bounds of the score that hold for every input; bounds that depend on N, D or C stand in the formula's docstring.
    inputs
        Names of what the call takes, in its order, and is handed, nothing else: ``features`` (N, D) and ``labels``
        (N,); ``source_probabilities`` (N, S); ``class_statistics``, all that many metrics need, which can be streamed;
        ``model``, its `ModelFacts`; ``accuracies_elsewhere``, of the model on other targets; ``dataset``, the target's
        name.
    invariances
        Maps of that input which leave the score unchanged. For features: ``"rotation"`` (any orthogonal map),
        ``"translation"``, ``"scaling"`` (one positive factor), ``"affine"`` (any invertible affine map). For
        source probabilities: ``"source_permutation"`` (renaming source classes). Sample order and the names
        of the target classes never matter.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    lower: ClassVar[float]
    upper: ClassVar[float]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what the call takes."""
        ...

    @property
    def invariances(self) -> tuple[str, ...]:
        """Maps of the input that leave the score unchanged."""
        ...


@runtime_checkable
class Metric(Facts, Protocol):
    """A score that one model has by itself."""

    def __call__(self, *evidence: Any) -> float:
        """Return the score of one model from what ``inputs`` names."""
        ...


@runtime_checkable
class PoolMetric(Facts, Protocol):
    """A score that a model has among others: parts of each, then a combination over the pool."""

    def parts(self, *evidence: Any) -> Mapping[str, float]:
        """Return the parts of one model by name, finite, from what ``inputs`` names; ``invariances`` hold for these."""
        ...

    def combine(self, parts: Sequence[Mapping[str, float]]) -> Float[np.ndarray, " models"]:
        """Return the score of every model, (M,), from the parts of all.

        A part that all models share says nothing about their order and counts as zero.
        """
        ...
