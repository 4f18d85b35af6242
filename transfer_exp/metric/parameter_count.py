"""Parameter count: size of the network, a baseline that ignores features and labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from transfer_exp.errors import NotApplicableError
from transfer_exp.metric.metric import ModelFacts


@dataclass(frozen=True)
class ParameterCount:
    """The number of parameters, source head included. Larger counts as better."""

    name: ClassVar[str] = "parameter_count"
    source: ClassVar[str] = "baseline"
    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = np.inf
    inputs: ClassVar[tuple[str, ...]] = ("model",)
    invariances: ClassVar[tuple[str, ...]] = ()

    def __call__(self, model: ModelFacts) -> float:
        """Return the number of parameters of a model.

        Raises:
            NotApplicableError: If the model has features but no network.
        """
        if model.parameters is None:
            raise NotApplicableError("the model has features but no network, so its parameters cannot be counted")
        return float(model.parameters)
