"""Fusion: mean of several metrics on a common scale over the pool."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from transfer_exp.errors import InputError, check_options, check_types, show_value
from transfer_exp.metric.h_score import RegularisedHScore
from transfer_exp.metric.lda import LDA
from transfer_exp.metric.logme import LogME
from transfer_exp.metric.metric import Metric, PoolMetric
from transfer_exp.metric.pool_scaling import unit_ranks, z_scores

EXAMPLE: tuple[Metric, ...] = (LogME(), LDA(), RegularisedHScore())
"""Default of ``conf/metric/fusion.yaml``."""


@dataclass(frozen=True)
class MetricList(PoolMetric):
    """Base of metrics that combine the scores of several metrics.

    Attributes:
        metrics: Metrics that score one model at a time, at least one, stored as a tuple.

    Raises:
        InputError: If ``metrics`` is empty, has an unsuitable entry or two metrics of one name.
    """

    metrics: Iterable[Metric] = EXAMPLE

    def __post_init__(self) -> None:
        check_types("metric", self)
        metrics = tuple(self.metrics) if isinstance(self.metrics, Iterable) else ()
        names = [getattr(metric, "name", metric) for metric in metrics]
        if not metrics or not all(isinstance(m, Metric) and hasattr(m, "inputs") for m in metrics):
            raise InputError(
                f"metric.metrics={show_value(names)}: need metrics that score one model at a time, at least one"
            )
        if len(set(names)) < len(names):
            raise InputError(f"metric.metrics={show_value(names)}: need metrics of different names")
        object.__setattr__(self, "metrics", metrics)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Inputs of all metrics, each once, in order of appearance."""
        return tuple(dict.fromkeys(name for metric in self.metrics for name in metric.inputs))

    @property
    def invariances(self) -> tuple[str, ...]:
        """Invariances that all metrics share."""
        first, *rest = self.metrics
        return tuple(name for name in first.invariances if all(name in metric.invariances for metric in rest))

    def parts(self, *inputs: Any) -> dict[str, float]:
        """Return the score of each metric, by its name."""
        values = dict(zip(self.inputs, inputs, strict=True))
        return {metric.name: metric(*(values[name] for name in metric.inputs)) for metric in self.metrics}


@dataclass(frozen=True)
class Fusion(MetricList):
    """The mean of several metrics' scores, standardised or ranked over the pool.

    Attributes:
        rule: ``"z_score"``: scores minus their mean, divided by their standard deviation, so a clear lead counts more.
            ``"rank"``: ranks in [0, 1], equal scores sharing theirs, so outliers count no more than other scores. A
            metric with equal scores counts as 0, or one half.

    Raises:
        InputError: If ``metrics`` is not a valid `MetricList`, or ``rule`` is unknown.
    """

    name = "fusion"
    source = "as its metrics"

    rule: str = "z_score"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_options("metric", self, {"rule": (self.rule in ("z_score", "rank"), "z_score or rank")})

    def combine(self, parts: Sequence[Mapping[str, float]]) -> Float[np.ndarray, " models"]:
        """Return the mean over metrics, (M,): z-scores have mean 0 over the pool, ranks lie in [0, 1]."""
        scale = z_scores if self.rule == "z_score" else unit_ranks
        return np.mean([scale(np.array([part[m.name] for part in parts])) for m in self.metrics], axis=0)
