"""Fusion: several metrics heard as one, after each has been put on a common scale over the pool."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from transfer_exp.errors import InputError
from transfer_exp.metric.lda import LDA
from transfer_exp.metric.logme import LogME
from transfer_exp.metric.metric import Metric
from transfer_exp.metric.regularised_h_score import RegularisedHScore

EXAMPLE: tuple[Metric, ...] = (LogME(), LDA(), RegularisedHScore())
"""What ``conf/metric/fusion.yaml`` shows."""


@dataclass(frozen=True)
class Fusion:
    """The mean of several metrics' scores, standardised or ranked over the pool.

    Attributes
    ----------
    metrics
        At least one, each with a score of its own per model; kept as a tuple.
    rule
        ``"z_score"``: scores minus their mean, over their standard deviation, so that a clear lead counts for more.
        ``"rank"``: ranks in [0, 1], equal scores sharing theirs, so that no outlier outweighs the others. A metric
        whose scores are all equal counts as 0, or one half.

    Raises
    ------
    InputError
        When ``metrics`` is empty or holds anything else, or two of a name, or ``rule`` is unknown.
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
        """What its metrics take, each once."""
        return joint_inputs(self.metrics)

    @property
    def invariances(self) -> tuple[str, ...]:
        """What leaves all of its metrics unchanged."""
        return joint_invariances(self.metrics)

    def parts(self, *evidence: Any) -> dict[str, float]:
        """Return the score of each metric, by its name.

        Raises
        ------
        InputError, NotApplicableError
            As the metrics do.
        """
        return member_scores(self.metrics, dict(zip(self.inputs, evidence, strict=True)))

    def combine(self, parts: Sequence[Mapping[str, float]]) -> Float[np.ndarray, " models"]:
        """Return the mean over metrics, (M,): z-scores have mean 0 over the pool, ranks lie in [0, 1]."""
        scale = standardised if self.rule == "z_score" else ranked
        return np.mean([scale(np.array([part[m.name] for part in parts])) for m in self.metrics], axis=0)


def checked_members(metrics: Iterable[Metric], owner: str) -> tuple[Metric, ...]:
    """Return metrics as a tuple, or refuse what cannot be fused, naming ``owner``.

    Raises
    ------
    InputError
        As `Fusion`.
    """
    members = tuple(metrics) if isinstance(metrics, Iterable) else ()
    if not members or not all(isinstance(m, Metric) and hasattr(m, "inputs") for m in members):
        raise InputError(f"metrics of {owner} must be a list of metrics that score one model at a time, at least one")
    names = [m.name for m in members]
    if len(set(names)) < len(names):
        raise InputError(f"metrics of {owner} hold two of one name: {', '.join(sorted(names))}")
    return members


def joint_inputs(metrics: Iterable[Metric]) -> tuple[str, ...]:
    """Return the names of all inputs of some metrics, each once, in order of appearance."""
    return tuple(dict.fromkeys(name for metric in metrics for name in metric.inputs))


def joint_invariances(metrics: Iterable[Metric]) -> tuple[str, ...]:
    """Return the invariances that all of some metrics have."""
    first, *others = metrics
    return tuple(name for name in first.invariances if all(name in metric.invariances for metric in others))


def member_scores(metrics: Iterable[Metric], evidence: Mapping[str, Any]) -> dict[str, float]:
    """Return the score of each metric, by its name, from the inputs that it takes.

    Raises
    ------
    InputError, NotApplicableError
        As the metrics do.
    """
    return {metric.name: metric(*(evidence[name] for name in metric.inputs)) for metric in metrics}


def standardised(scores: Float[np.ndarray, " models"]) -> Float[np.ndarray, " models"]:
    """Return scores minus their mean, over their population standard deviation; zeros when all are equal, (M,)."""
    if (scores == scores[0]).all():
        return np.zeros(len(scores))
    # Divided first, so that scores of any magnitude neither overflow nor vanish when squared.
    scaled = scores / np.abs(scores).max()
    centred = scaled - scaled.mean()
    return np.asarray(centred / np.sqrt(np.mean(centred**2)))


def ranked(scores: Float[np.ndarray, " models"]) -> Float[np.ndarray, " models"]:
    """Return ranks from 0 for the least score to 1 for the largest; equal scores share theirs, (M,)."""
    return np.asarray((rankdata(scores) - 1) / (len(scores) - 1)) if len(scores) > 1 else np.full(1, 0.5)
