"""Parameter count: size of the network, a baseline that ignores features and labels."""

from __future__ import annotations

from dataclasses import dataclass

from transfer_exp.errors import NotApplicableError
from transfer_exp.metric.metric import Metric, ModelFacts


@dataclass(frozen=True)
class ParameterCount(Metric):
    """The number of parameters, source head included. Larger counts as better."""

    name = "parameter_count"
    source = "baseline"
    lower = 0.0
    inputs = ("model",)

    def __call__(self, model: ModelFacts) -> float:
        """Return the number of parameters of a model.

        Raises:
            NotApplicableError: If the model has features but no network.
        """
        if model.parameters is None:
            raise NotApplicableError("the model has features but no network, so its parameters cannot be counted")
        return float(model.parameters)
