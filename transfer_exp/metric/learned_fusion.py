"""Learned fusion: metrics weighted by how well they told accuracies on other targets, never on this one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.optimize import nnls

from transfer_exp.errors import InputError
from transfer_exp.io.csv import numbers, read_table
from transfer_exp.metric.fusion import (
    EXAMPLE,
    checked_members,
    joint_inputs,
    joint_invariances,
    member_scores,
    standardised,
)
from transfer_exp.metric.metric import Metric

_CELL = ["model_pool", "dataset", "perturbation", "ground_truth", "seed"]


@dataclass(frozen=True)
class LearnedFusion:
    """A weighted sum of standardised scores, the weights fitted on the results of other targets.

    For every other target in ``rows``, the scores of each metric and the accuracies are standardised over the models;
    the weights are the non-negative least squares fit of accuracies to scores over all of these. So the target at hand
    is left out, and a metric that does not help gets no weight rather than a negative one.

    Attributes
    ----------
    metrics
        As `Fusion`; each must occur in ``rows`` under its name.
    rows
        Path of a CSV of results, as ``python -m transfer_exp.report SWEEP_DIR --rows FILE`` writes it.
    perturbation
        The rows to learn from: those under this perturbation.

    Raises
    ------
    InputError
        When ``metrics`` is not as `Fusion` needs it.
    """

    name: ClassVar[str] = "learned_fusion"
    source: ClassVar[str] = "as its metrics"
    lower: ClassVar[float] = -np.inf
    upper: ClassVar[float] = np.inf

    metrics: Iterable[Metric] = EXAMPLE
    rows: str | None = None
    perturbation: str = "none"

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", checked_members(self.metrics, self.name))

    @property
    def inputs(self) -> tuple[str, ...]:
        """What its metrics take, each once, and the target's name."""
        return (*joint_inputs(self.metrics), "dataset")

    @property
    def invariances(self) -> tuple[str, ...]:
        """What leaves all of its metrics unchanged."""
        return joint_invariances(self.metrics)

    def parts(self, *evidence: Any) -> dict[str, float]:
        """Return the score of each metric, by its name, and its weight, by ``weight of`` its name.

        Raises
        ------
        InputError
            As the metrics do; when there are no rows, or none to learn from.
        NotApplicableError
            As the metrics do.
        """
        known = dict(zip(self.inputs, evidence, strict=True))
        names = tuple(metric.name for metric in self.metrics)
        if self.rows is None:
            raise InputError("set metric.rows to a CSV that python -m transfer_exp.report SWEEP_DIR --rows FILE wrote")
        weights = learned_weights(self.rows, self.perturbation, names, known["dataset"])
        return member_scores(self.metrics, known) | {f"weight of {n}": w for n, w in zip(names, weights, strict=True)}

    def combine(self, parts: Sequence[Mapping[str, float]]) -> Float[np.ndarray, " models"]:
        """Return the weighted sum of standardised scores, (M,), with mean 0 over the pool."""
        columns = [standardised(np.array([part[m.name] for part in parts])) for m in self.metrics]
        weights = [parts[0][f"weight of {m.name}"] for m in self.metrics]
        return np.asarray(np.array(weights) @ np.array(columns))


@lru_cache(maxsize=64)
def learned_weights(path: str, perturbation: str, metrics: tuple[str, ...], dataset: str) -> tuple[float, ...]:
    """Return the weight of each metric, not negative, summing to 1, fitted on all targets but ``dataset``.

    Raises
    ------
    InputError
        When the rows cannot be read, lack a metric, hold no other target, or no metric helps on any.
    """
    rows = _read(path)
    rows = rows[(rows["perturbation"] == perturbation) & (rows["dataset"] != dataset)]
    missing = sorted(set(metrics) - set(rows["metric"]))
    if missing:
        raise InputError(f"{path} has no rows of {', '.join(missing)} under {perturbation} on another target")
    cells = [_standard_cell(cell, metrics) for _, cell in rows[rows["metric"].isin(metrics)].groupby(_CELL)]
    table = np.concatenate([cell for cell in cells if cell is not None] or [np.zeros((1, len(metrics) + 1))])
    weights, _ = nnls(table[:, :-1], table[:, -1])
    if not weights.any():
        raise InputError(f"{path}: none of {', '.join(metrics)} goes along with accuracy on any other target")
    return tuple(float(weight) for weight in weights / weights.sum())


def _standard_cell(cell: pd.DataFrame, metrics: tuple[str, ...]) -> Float[np.ndarray, "models columns"] | None:
    """Return standardised scores, then accuracies, of the models that all metrics scored; None for fewer than two."""
    scores = cell.pivot_table(index="model", columns="metric", values="score")
    both = scores.join(cell.groupby("model")["accuracy"].first()).reindex(columns=[*metrics, "accuracy"]).dropna()
    return None if len(both) < 2 else np.column_stack([standardised(column) for column in both.to_numpy().T])


def _read(path: str) -> pd.DataFrame:
    """Read the columns of a CSV of results that weights are learned from."""
    wanted, place = [*_CELL, "metric", "model", "score", "accuracy"], Path(path).expanduser()
    try:
        rows = read_table(place, usecols=wanted, dtype=str, keep_default_na=False)
        return rows.assign(**{name: numbers(rows[name], place) for name in ("score", "accuracy")})
    except (OSError, ValueError) as error:
        raise InputError(f"metric.rows={path} is no table of results ({error}): see metric.rows in the docs") from error
