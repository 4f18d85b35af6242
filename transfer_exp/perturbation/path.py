"""A path: one perturbation at rising strengths, over which a score is averaged instead of read at one of them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, cast

import numpy as np
from jaxtyping import Float

from transfer_exp.errors import InputError, suggestion
from transfer_exp.perturbation.attract import Attract
from transfer_exp.perturbation.perturbation import Perturbation

EXAMPLE = Attract()
"""What ``conf/perturbation/path.yaml`` shows."""


@dataclass(frozen=True)
class Path:
    """A perturbation with one of its fields at several strengths.

    A single strength is an arbitrary choice, and the best one is found only with the accuracies at hand. The score of a
    path is the area under the curve of score against strength, divided by its width: a mean over strengths, by the
    trapezoid rule, with nothing to choose but the ends.

    Attributes
    ----------
    perturbation
        What is varied.
    field
        The name of its field that says how strong it is.
    strengths
        Its values, at least two, increasing. Starting at the identity (0) weighs in the unperturbed score.

    Raises
    ------
    InputError
        When the perturbation has no such field, or the strengths do not increase.
    """

    name: ClassVar[str] = "path"
    source: ClassVar[str] = "this project"

    perturbation: Perturbation = EXAMPLE
    field: str = "alpha"
    strengths: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2, 0.4)

    def __post_init__(self) -> None:
        known = [f.name for f in fields(cast("Any", self.perturbation))]
        if self.field not in known:
            raise InputError(f"field={self.field} of path: {suggestion(self.field, known)}")
        if len(self.strengths) < 2 or not (np.diff(self.strengths) > 0).all():
            raise InputError(f"strengths={list(self.strengths)} of path must be two or more increasing numbers")

    def steps(self) -> dict[str, Perturbation]:
        """Return the perturbation at each strength, by what the strength is called, such as ``alpha=0.1``."""
        start = cast("Any", self.perturbation)
        return {f"{self.field}={value:g}": replace(start, **{self.field: value}) for value in self.strengths}

    def average(self, scores: Float[np.ndarray, "strengths models"]) -> Float[np.ndarray, " models"]:
        """Return the mean of every model's score along the path, (M,)."""
        widths = np.diff(self.strengths)[:, None]
        return np.asarray((widths * (scores[1:] + scores[:-1]) / 2).sum(axis=0) / widths.sum())
