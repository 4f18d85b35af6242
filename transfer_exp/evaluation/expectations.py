"""Expected accuracies and regrets of a ranking, by the calibrations that ship with the package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from transfer_exp.errors import InputError, suggestion
from transfer_exp.evaluation.expected_accuracy import Calibration, Scored, expected_accuracies
from transfer_exp.evaluation.expected_regret import expected_regrets
from transfer_exp.io.text import read_json

SHIPPED = Path(__file__).with_name("calibrations.json")
"""Made by ``python -m studies.calibration docs/results/calibration.md``, which says what it is worth."""

NO_ANCHOR = "none"
"""Stands for the anchor of a calibration that has none."""

KEY = ("regime", "anchor", "perturbation", "metric")
"""What a calibration is of: the first columns of a row of the file."""
_NUMBERS = tuple(field.name for field in fields(Calibration))
_COUNTS = ("between_df", "within_df")
COLUMNS = (*KEY, *_NUMBERS)
"""Of the file's rows."""
Key: TypeAlias = tuple[str, str, str, str]


@dataclass(frozen=True, eq=False)
class Expectations:
    """What is expected of the models of a pool on a dataset.

    Attributes
    ----------
    accuracies, low, high
        (M,), as `Expected`; NaN for a model that lacks its score or anchor.
    regrets
        (K,), for the K models that lack neither: the expected cost of fine-tuning the k best scores alone, in accuracy,
        k = 1 to K.
    """

    accuracies: Float[np.ndarray, " models"]
    low: Float[np.ndarray, " models"]
    high: Float[np.ndarray, " models"]
    regrets: Float[np.ndarray, " known"]


def expectations(
    metric: str,
    scores: Float[np.ndarray, " models"],
    classes: int,
    anchors: Float[np.ndarray, " anchored"] | None = None,
    *,
    anchor: str = "linear_classifier",
    regime: str = "full",
    perturbation: str = "none",
    level: float = 0.8,
    path: Path = SHIPPED,
) -> Expectations:
    """Return what is expected of every model of a pool, and of choosing by these scores.

    Parameters
    ----------
    metric, perturbation, regime
        What scored, after what, and how the chosen model will be adapted: ``full``, ``last_block``, ``linear_probe``.
    scores
        (M,), of all training images of the dataset; NaN where the metric does not apply.
    classes
        C of the dataset.
    anchors
        (M,), scores of the metric ``anchor`` for the same models, without a perturbation; NaN where there is none. By
        default none, and the level of the accuracies is then little more than a guess.
    anchor
        ``linear_classifier`` or ``knn``; of no account without anchors.
    level
        Of the intervals, in (0, 1).
    path
        Of the calibrations.

    Raises
    ------
    InputError
        When the file has no such calibration or is none, a value is infinite, no model has all that is needed, or as
        `Scored` and `expected_accuracies`.
    """
    key = (regime, NO_ANCHOR if anchors is None else anchor, perturbation, metric)
    calibration = _chosen(read_calibrations(path), key, path)
    if anchors is not None and anchors.shape != scores.shape:
        raise InputError(f"{len(anchors)} anchors for {len(scores)} scores: give one of each model, NaN for none")
    known = ~np.isnan(scores) if anchors is None else ~(np.isnan(scores) | np.isnan(anchors))
    if not known.any():
        raise InputError(f"no model has a score of {metric}" + ("" if anchors is None else f" and one of {anchor}"))
    pool = Scored(scores[known], classes, None if anchors is None else anchors[known])
    found = expected_accuracies(calibration, pool, level)
    accuracies, low, high = (_among(known, values) for values in (found.accuracies, found.low, found.high))
    return Expectations(accuracies, low, high, expected_regrets(calibration, pool))


@lru_cache(maxsize=4)
def read_calibrations(path: Path) -> Mapping[Key, Calibration]:
    """Return the calibrations of a file by `KEY`.

    Raises
    ------
    InputError
        As `read_json`, and when it holds something else.
    """
    content = read_json(path)
    try:
        if content["columns"] != list(COLUMNS):
            raise ValueError("other columns")
        return dict(_read(row) for row in content["rows"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no file of calibrations ({error}): make it anew by its command") from error


def as_row(key: Key, calibration: Calibration) -> list[str | int | float | None]:
    """Return a calibration as a row of the file; numbers to five digits, far below what they are good to."""
    numbers = asdict(calibration)
    return [*key, *(v if v is None or isinstance(v, int) else float(f"{v:.5g}") for v in numbers.values())]


def _read(row: list[Any]) -> tuple[Key, Calibration]:
    """Return a row of the file as what it stands for."""
    names, numbers = row[: len(KEY)], dict(zip(_NUMBERS, row[len(KEY) :], strict=True))
    for name, value in numbers.items():
        if value is None and name == "anchor_slope":
            continue
        least = -np.pi if name == "shift" else 1 if name in _COUNTS else 0
        # True is an int to isinstance.
        if type(value) not in ((int,) if name in _COUNTS else (int, float)) or not least <= value < np.inf:
            raise ValueError(f"{name} {value}")
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"names {names}")
    regime, anchor, perturbation, metric = names
    return (regime, anchor, perturbation, metric), Calibration(**numbers)


def _chosen(known: Mapping[Key, Calibration], key: Key, path: Path) -> Calibration:
    """Return the calibration of a key, or say which part of the key there is none of."""
    left = list(known)
    for place, (what, wanted) in enumerate(zip(KEY, key, strict=True)):
        values = {other[place] for other in left}
        left = [other for other in left if other[place] == wanted]
        if not left:
            raise InputError(f"{path.name} has no calibration for {what} '{wanted}': {suggestion(wanted, values)}")
    return known[key]


def _among(known: np.ndarray, values: np.ndarray) -> Float[np.ndarray, " models"]:
    """Spread the values of the known models over all, NaN for the others."""
    found = np.full(len(known), np.nan)
    found[known] = values
    return found
