"""Learned fusion: weighted sum of metrics, with weights fitted to the accuracies on all other targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.optimize import nnls

from transfer_exp.errors import InputError
from transfer_exp.io.csv import MAX_BYTES, parse_numbers, parse_table
from transfer_exp.io.text import expand_user, read_text
from transfer_exp.metric.fusion import EXAMPLE, MetricList
from transfer_exp.metric.metric import Metric
from transfer_exp.metric.pool_scaling import z_scores

_RESULT = ["model_pool", "dataset", "perturbation", "ground_truth", "seed"]


@dataclass(frozen=True)
class LearnedFusion(MetricList):
    """A weighted sum of standardised scores, with weights fitted to the results on other targets.

    Each result in ``rows`` on another target counts: a pool, regime and seed. Its scores of each metric and its
    accuracies are standardised over the models that all metrics scored. The weights are the non-negative least-squares
    fit of accuracies to scores over all these results together, scaled to sum 1. A metric that does not help gets a
    weight of zero.

    Attributes:
        metrics: Metrics of the `MetricList`. Each must occur in ``rows`` under its name.
        rows: Path of a CSV of results; required. It is written by ``transfer-exp report SWEEP_DIR --rows FILE``.
        perturbation: Perturbation of the rows to learn from.
    """

    name = "learned_fusion"
    source = "as its metrics"

    metrics: Iterable[Metric] = EXAMPLE
    rows: str | None = None
    perturbation: str = "none"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Inputs of all metrics, and the name of the target."""
        return (*super().inputs, "dataset")

    def parts(self, *inputs: Any) -> dict[str, float]:
        """Return the score of each metric under its name, and its weight under ``weight of NAME``.

        Raises:
            InputError: If ``rows`` is not set or `learned_weights` cannot learn from it.
        """
        if self.rows is None:
            raise InputError("set metric.rows to a CSV that transfer-exp report SWEEP_DIR --rows FILE wrote")
        names, dataset = tuple(metric.name for metric in self.metrics), inputs[-1]
        weights = learned_weights(self.rows, self.perturbation, names, dataset)
        return super().parts(*inputs) | {f"weight of {n}": w for n, w in zip(names, weights, strict=True)}

    def combine(self, parts: Sequence[Mapping[str, float]]) -> Float[np.ndarray, " models"]:
        """Return the weighted sum of standardised scores, (M,), with mean 0 over the pool.

        The weights are read from the parts of the first model, because only `parts` is given the name of the target.
        """
        columns = [z_scores(np.array([part[m.name] for part in parts])) for m in self.metrics]
        weights = [parts[0][f"weight of {m.name}"] for m in self.metrics]
        return np.asarray(np.array(weights) @ np.array(columns))


def learned_weights(path: str, perturbation: str, metrics: tuple[str, ...], dataset: str) -> tuple[float, ...]:
    """Return the weight of each metric, fitted on all targets but ``dataset``: not negative, with sum 1.

    Raises:
        InputError: If the rows cannot be read, lack a metric or other targets, no two models that all metrics scored,
            or agreement of any metric with accuracy.
    """
    try:
        text = read_text(expand_user(path), MAX_BYTES)
    except InputError as error:
        raise InputError(f"metric.rows={path} is not a table of results: {error}") from error
    return _fit_weights(text, path, perturbation, metrics, dataset)


@lru_cache(maxsize=64)  # by the text, because a file may be edited while the process runs
def _fit_weights(text: str, path: str, perturbation: str, metrics: tuple[str, ...], dataset: str) -> tuple[float, ...]:
    """Return the weights of `learned_weights` from the text of the CSV."""
    rows = _parse_rows(text, path)
    rows = rows[(rows["perturbation"] == perturbation) & (rows["dataset"] != dataset)]
    missing = sorted(set(metrics) - set(rows["metric"]))
    if missing:
        raise InputError(
            f"{path} has no rows of {', '.join(missing)} with perturbation={perturbation} on another target"
        )
    results = [_standardise(result, metrics) for _, result in rows[rows["metric"].isin(metrics)].groupby(_RESULT)]
    blocks = [block for block in results if block is not None]
    if not blocks:
        raise InputError(f"{path} has no other target with two models that {', '.join(metrics)} scored: score more")
    table = np.concatenate(blocks)
    weights, _ = nnls(table[:, :-1], table[:, -1])
    if not weights.any():
        raise InputError(f"{path}: over the other targets, none of {', '.join(metrics)} agrees with accuracy")
    return tuple(float(weight) for weight in weights / weights.sum())


def _standardise(result: pd.DataFrame, metrics: tuple[str, ...]) -> Float[np.ndarray, "models columns"] | None:
    """Return z-scores of scores, then accuracies, of the models that all metrics scored; None for fewer than two."""
    scores = result.pivot_table(index="model", columns="metric", values="score")
    table = scores.join(result.groupby("model")["accuracy"].first()).reindex(columns=[*metrics, "accuracy"]).dropna()
    return None if len(table) < 2 else np.column_stack([z_scores(column) for column in table.to_numpy().T])


def _parse_rows(text: str, path: str) -> pd.DataFrame:
    """Return the columns of a CSV of results that the weights depend on."""
    columns, file = [*_RESULT, "metric", "model", "score", "accuracy"], Path(path)
    rows = parse_table(text, file)
    if missing := [name for name in columns if name not in rows]:
        raise InputError(
            f"metric.rows={path} lacks the column {', '.join(missing)}: "
            "write it with transfer-exp report SWEEP_DIR --rows FILE"
        )
    return rows[columns].assign(**{name: parse_numbers(rows[name], file) for name in ("score", "accuracy")})
