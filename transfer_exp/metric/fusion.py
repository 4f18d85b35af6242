"""Fusion: mean of several metrics on a common scale over the pool."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from transfer_exp.errors import InputError
from transfer_exp.metric.lda import LDA
from transfer_exp.metric.logme import LogME
from transfer_exp.metric.metric import Metric
from transfer_exp.metric.pool_scaling import unit_ranks, z_scores
from transfer_exp.metric.regularised_h_score import RegularisedHScore

EXAMPLE: tuple[Metric, ...] = (LogME(), LDA(), RegularisedHScore())
"""Default of ``conf/metric/fusion.yaml``."""


@dataclass(frozen=True)
class Fusion:
    """The mean of several metrics' scores, standardised or ranked over the pool.

    Attributes
    ----------
    metrics
        Metrics that score one model at a time, at least one, stored as a tuple.
    rule
        ``"z_score"``: scores minus their mean, divided by their standard deviation, so a clear lead counts more.
        ``"rank"``: ranks in [0, 1], equal scores sharing theirs, so outliers count no more than other scores. A metric
        with equal scores counts as 0, or one half.

    Raises
    ------
    InputError
        If ``metrics`` is empty, has an unsuitable entry or two metrics of one name, or ``rule`` is unknown.
    """

    name: ClassVar[str] = "fusion"
    source: ClassVar[str] = "as its metrics"
    lower: ClassVar[float] = -np.inf
    upper: ClassVar[float] = np.inf

    metrics: Iterable[Metric] = EXAMPLE
    rule: str = "z_score"

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", checked_members(self.metrics, self.name))
        if self.rule not in ("z_score", "rank"):
            raise InputError(f"rule={self.rule} of fusion must be z_score or rank")

    @property
    def inputs(self) -> tuple[str, ...]:
        """Union of the inputs of its metrics."""
        return joint_inputs(self.metrics)

    @property
    def invariances(self) -> tuple[str, ...]:
        """Intersection of the invariances of its metrics."""
        return joint_invariances(self.metrics)

    def parts(self, *inputs: Any) -> dict[str, float]:
        """Return the score of each metric, by its name."""
        return member_scores(self.metrics, dict(zip(self.inputs, inputs, strict=True)))

    def combine(self, parts: Sequence[Mapping[str, float]]) -> Float[np.ndarray, " models"]:
        """Return the mean over metrics, (M,): z-scores have mean 0 over the pool, ranks lie in [0, 1]."""
        scale = z_scores if self.rule == "z_score" else unit_ranks
        return np.mean([scale(np.array([part[m.name] for part in parts])) for m in self.metrics], axis=0)


def checked_members(metrics: Iterable[Metric], owner: str) -> tuple[Metric, ...]:
    """Return metrics as a tuple, or raise the `InputError` of `Fusion` with the name of the ``owner``."""
    members = tuple(metrics) if isinstance(metrics, Iterable) else ()
    if not members or not all(isinstance(m, Metric) and hasattr(m, "inputs") for m in members):
        raise InputError(f"metrics of {owner} must be a list of metrics that score one model at a time, at least one")
    names = [m.name for m in members]
    if len(set(names)) < len(names):
        raise InputError(f"metrics of {owner} hold two of one name: {', '.join(sorted(names))}")
    return members


def joint_inputs(metrics: Iterable[Metric]) -> tuple[str, ...]:
    """Return the inputs of all metrics, each once, in order of appearance."""
    return tuple(dict.fromkeys(name for metric in metrics for name in metric.inputs))


def joint_invariances(metrics: Iterable[Metric]) -> tuple[str, ...]:
    """Return the invariances that all metrics share."""
    first, *rest = metrics
    return tuple(name for name in first.invariances if all(name in metric.invariances for metric in rest))


def member_scores(metrics: Iterable[Metric], inputs: Mapping[str, Any]) -> dict[str, float]:
    """Return the score of each metric, by its name, from all inputs by name."""
    return {metric.name: metric(*(inputs[name] for name in metric.inputs)) for metric in metrics}
