"""Parameter count: how large the network is, a baseline that looks at neither features nor labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from transfer_exp.errors import NotApplicableError
from transfer_exp.metric.model_facts import ModelFacts


@dataclass(frozen=True)
class ParameterCount:
    """The number of parameters, source head included; larger counts as better."""

    name: ClassVar[str] = "parameter_count"
    source: ClassVar[str] = "baseline"
    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = np.inf
    inputs: ClassVar[tuple[str, ...]] = ("model",)
    invariances: ClassVar[tuple[str, ...]] = ()

    def __call__(self, model: ModelFacts) -> float:
        """Return the parameters of a model.

        Raises
        ------
        NotApplicableError
            When there is no network, only features.
        """
        if model.parameters is None:
            raise NotApplicableError("no network to count the parameters of: only features of it are at hand")
        return float(model.parameters)
