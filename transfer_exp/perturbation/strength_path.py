"""A path of strengths: a score averaged over rising strengths of one perturbation."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, ClassVar, cast

import numpy as np
from jaxtyping import Float

from transfer_exp.errors import InputError, check_types, show_value, suggestion
from transfer_exp.perturbation.attract import Attract
from transfer_exp.perturbation.perturbation import Perturbation

EXAMPLE = Attract()
"""Default of ``conf/perturbation/path.yaml``."""


@dataclass(frozen=True)
class StrengthPath:
    """A perturbation with several values of one of its fields.

    A single strength is an arbitrary choice, and choosing the best one needs ground-truth accuracies. The score of a
    path is a mean over strengths by the trapezoid rule, so only the ends of the path have to be chosen.

    Attributes:
        perturbation: The perturbation to vary.
        field: Name of its field that sets the strength.
        strengths: At least two increasing values of the field; 0 usually stands for no perturbation.

    Raises:
        InputError: If the perturbation has no such field, or refuses a strength, or the strengths do not increase.
    """

    name: ClassVar[str] = "path"
    source: ClassVar[str] = "this project"

    perturbation: Perturbation = EXAMPLE
    field: str = "alpha"
    strengths: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2, 0.4)

    def __post_init__(self) -> None:
        if not is_dataclass(self.perturbation):
            text = show_value(self.perturbation)
            raise InputError(f"perturbation.perturbation={text}: need one with an option to vary")
        check_types("perturbation", self)
        field_names = [f.name for f in fields(cast("Any", self.perturbation))]
        if self.field not in field_names:
            raise InputError(f"perturbation.field={self.field} is not an option: {suggestion(self.field, field_names)}")
        strengths = f"perturbation.strengths={show_value(self.strengths)}"
        if len(self.strengths) < 2 or not (np.diff(self.strengths) > 0).all():
            raise InputError(f"{strengths}: need two or more increasing numbers")
        try:
            self.steps()
        except InputError as error:
            raise InputError(f"{strengths}: {str(error).removeprefix('perturbation.')}") from error

    def steps(self) -> dict[str, Perturbation]:
        """Return the perturbation at each strength, by a label such as ``alpha=0.1``."""
        perturbation = cast("Any", self.perturbation)
        return {f"{self.field}={value:g}": replace(perturbation, **{self.field: value}) for value in self.strengths}

    def average(self, scores: Float[np.ndarray, "strengths models"]) -> Float[np.ndarray, " models"]:
        """Return the mean score of every model along the path, (M,)."""
        widths = np.diff(self.strengths)[:, None]
        return np.asarray((widths * (scores[1:] + scores[:-1]) / 2).sum(axis=0) / widths.sum())
