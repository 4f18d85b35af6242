"""What every transferability metric is: a score for one model, larger is better, with its facts declared."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Metric(Protocol):
    """A frozen dataclass whose fields are its hyperparameters and whose class variables are its facts.

    Attributes
    ----------
    name
        As shown in tables and used in ``conf/metric``.
    source
        Authors, venue and year of the formula.
    lower, upper
        Bounds that hold for every input; bounds that depend on N, D or C stand in the formula's docstring.
    inputs
        What the call takes before the labels: ``("features",)`` or ``("source_probabilities",)``.
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
    inputs: ClassVar[tuple[str, ...]]
    invariances: ClassVar[tuple[str, ...]]

    def __call__(self, evidence: np.ndarray, labels: np.ndarray, /) -> float:
        """Return the score of one model from the input it names, (N, D) or (N, S), and labels (N,)."""
        ...
