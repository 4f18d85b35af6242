"""Expected accuracies and regrets of a scored pool, from the calibrations that ship with the package.

A calibration holds the fitted parameters that turn scores of one metric into accuracies, see `expected_accuracy`. It is
chosen by regime (how the chosen model will be adapted), anchor (the second metric that sets the level), perturbation
and metric.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from transfer_exp.errors import InputError, suggestion
from transfer_exp.evaluation.correlation import PerModel
from transfer_exp.evaluation.expected_accuracy import (
    Calibration,
    ExpectedAccuracies,
    ScoredPool,
    expected_accuracies,
    expected_regrets,
)
from transfer_exp.io.text import read_json
from transfer_exp.metric.recommended import Recommended

SHIPPED = Path(__file__).with_name("calibrations.json")
"""Written by ``python -m studies.calibration docs/results/calibration.md``; that page reports the errors."""

NO_ANCHOR = "none"
"""Value of the column ``anchor`` for a calibration without anchors."""

KEY = ("regime", "anchor", "perturbation", "metric")
"""First columns of a row of the file; together they identify a calibration."""
_PARAMETERS = tuple(field.name for field in fields(Calibration))
_COUNTS = ("between_df", "within_df")
COLUMNS = (*KEY, *_PARAMETERS)
Key: TypeAlias = tuple[str, str, str, str]


@dataclass(frozen=True, eq=False)
class Expectations(ExpectedAccuracies):
    """Expected accuracies, NaN for a model without a score or anchor, and regrets of a pool on a dataset.

    Attributes:
        regrets: (K,), over the K models with both: the expected regret of fine-tuning only the k models with the best
            scores, in accuracy, for k = 1 to K.
    """

    regrets: Float[np.ndarray, " complete"]


def expectations(
    metric: str,
    scores: PerModel,
    classes: int,
    anchors: Float[np.ndarray, " anchored"] | None = None,
    *,
    anchor: str = "linear_classifier",
    regime: str = "full",
    perturbation: str = "none",
    level: float = 0.8,
    path: Path = SHIPPED,
) -> Expectations:
    """Compute the expected accuracy of every model, and the expected regret of choosing models by these scores.

    Args:
        metric: Name of the metric that computed the scores.
        scores: (M,), scores on all training images of the dataset; NaN where the metric does not apply.
        classes: Number of classes of the dataset, C.
        anchors: (M,), scores of the metric ``anchor`` for the same models without a perturbation; NaN where missing.
            Without anchors the level of the expected accuracies is little more than a guess.
        anchor: Metric of the anchors, ``linear_classifier`` or ``knn``; ignored without anchors.
        regime: Adaptation of the chosen model: ``full``, ``last_block`` or ``linear_probe``.
        perturbation: Perturbation of the features before scoring.
        level: Coverage of the intervals, in (0, 1).
        path: File of calibrations.

    Raises:
        InputError: When the file is invalid or has no such calibration, no model has all values, or `ScoredPool` or
            `expected_accuracies` refuses a value.
    """
    key = (regime, NO_ANCHOR if anchors is None else anchor, perturbation, metric)
    calibration = find_calibration(key, path)
    if anchors is not None and anchors.shape != scores.shape:
        raise InputError(f"{len(anchors)} anchors for {len(scores)} scores: give one of each model, NaN for none")
    is_complete = ~np.isnan(scores) if anchors is None else ~(np.isnan(scores) | np.isnan(anchors))
    if not is_complete.any():
        raise InputError(f"no model has a score of {metric}" + ("" if anchors is None else f" and one of {anchor}"))
    pool = ScoredPool(scores[is_complete], classes, None if anchors is None else anchors[is_complete])
    expected = expected_accuracies(calibration, pool, level)
    accuracies, low, high = np.full((3, len(scores)), np.nan)
    accuracies[is_complete], low[is_complete], high[is_complete] = expected.accuracies, expected.low, expected.high
    return Expectations(accuracies, low, high, expected_regrets(calibration, pool))


@lru_cache(maxsize=4)
def read_calibrations(path: Path) -> Mapping[Key, Calibration]:
    """Read a file of calibrations, by `KEY`. Raises `InputError` when it is not a table of calibrations."""
    content = read_json(path)
    try:
        if content["columns"] != list(COLUMNS):
            raise ValueError("other columns")
        return dict(_parse(row) for row in content["rows"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is not a file of calibrations ({error}): write it again with python -m studies.calibration"
        ) from error


def _parse(row: list[Any]) -> tuple[Key, Calibration]:
    """Return the key and calibration of a row of the file."""
    names, numbers = row[: len(KEY)], dict(zip(_PARAMETERS, row[len(KEY) :], strict=True))
    for name, value in numbers.items():
        if value is None and name == "anchor_slope":
            continue
        minimum = -np.pi if name == "shift" else 1 if name in _COUNTS else 0
        # type() instead of isinstance(), which takes True for an int.
        if type(value) not in ((int,) if name in _COUNTS else (int, float)) or not minimum <= value < np.inf:
            raise ValueError(f"{name} {value}")
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"names {names}")
    regime, anchor, perturbation, metric = names
    return (regime, anchor, perturbation, metric), Calibration(**numbers)


def find_calibration(key: Key, path: Path = SHIPPED) -> Calibration:
    """Return the calibration of a `KEY` in a file; ``recommended`` has that of the metric behind this name.

    Raises:
        InputError: When the file is invalid or has no such calibration; the message names the first part of the key
            that does not match.
    """
    calibrations = read_calibrations(path)
    keys = list(calibrations)
    if key[-1] == Recommended.name:
        key = (*key[:-1], Recommended.chosen)
    for position, (name, value) in enumerate(zip(KEY, key, strict=True)):
        available = {key_[position] for key_ in keys}
        keys = [key_ for key_ in keys if key_[position] == value]
        if not keys:
            raise InputError(f"{path.name} has no calibration for {name} '{value}': {suggestion(value, available)}")
    return calibrations[key]
