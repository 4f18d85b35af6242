"""Facts about measures of accuracy by their names: the range of a measure, and whether larger values are better."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeVar, get_args

import numpy as np

from transfer_exp.errors import InputError, suggestion

Values = TypeVar("Values", float, np.ndarray)

OrdinalMeasure = Literal["quadratic_weighted_kappa", "macro_mae"]
SingleLabelMeasure = Literal["accuracy", "mean_per_class_accuracy", "macro_f1", "macro_auroc"]
MultiLabelMeasure = Literal[
    "mean_average_precision", "map_11point", "label_ranking_average_precision", "micro_f1", "macro_f1", "macro_auroc"
]
RegressionMeasure = Literal["r2", "spearman", "rmse", "mae"]
NAMES = tuple(
    dict.fromkeys(
        name
        for measures in (SingleLabelMeasure, MultiLabelMeasure, RegressionMeasure, OrdinalMeasure)
        for name in get_args(measures)
    )
)
"""Names of all measures."""
_ABBREVIATIONS = {"lrap": "label_ranking_average_precision"}
SIGNED = ("r2", "spearman", "quadratic_weighted_kappa")
"""Measures that can be negative."""
ERRORS = ("rmse", "mae", "macro_mae")
"""Measures whose smaller values are better, 0 at best. All other measures are at most 1."""
ORDINAL = ("quadratic_weighted_kappa", "macro_mae")
"""Measures of grades: whole numbers, or classes in order."""
INVARIANT = ("r2", "spearman")
"""Measures of numbers that stay the same if targets and predictions are shifted and scaled alike."""


def measure_name(name: str, place: str) -> str:
    """Return the name in `NAMES` of a measure that is written in any case, or as the abbreviation ``lrap``.

    Args:
        name: The name as it was read.
        place: Where it was read, for the message.

    Raises:
        InputError: If there is no such measure, because it is then unknown whether smaller values are better.
    """
    folded = _ABBREVIATIONS.get(name.casefold(), name.casefold())
    if folded not in NAMES:
        raise InputError(f"{place}: there is no measure '{name}': {suggestion(folded, NAMES)}")
    return folded


def is_error(measure: str) -> bool:
    """Return whether smaller values of a measure are better."""
    return measure in ERRORS


def is_possible(value: float, measure: str) -> bool:
    """Return whether a measure can have a value: finite, and within its limits up to 1e-9."""
    low = {"r2": -np.inf}.get(measure, -1.0 if measure in SIGNED else 0.0)
    high = np.inf if is_error(measure) else 1.0
    return bool(np.isfinite(value) and low - 1e-9 <= value <= high + 1e-9)


def larger_is_better(values: Values, measure: str) -> Values:
    """Return the values of a measure, or minus the values of an error: a better model has a larger number.

    Comparisons of models use these numbers, and metrics that learn from accuracies. Tables, files and messages have
    the values themselves.
    """
    return -values if is_error(measure) else values


def measure_heading(measure: str) -> str:
    """Return what tables call the values of a measure: ``accuracy``, or the name of the error."""
    return measure if is_error(measure) else "accuracy"


def common_measure(measures: Iterable[str], what: str) -> str:
    """Return the measure of accuracies that are compared with each other.

    Args:
        measures: Names of measures, one or more.
        what: What has these accuracies, for the message.

    Raises:
        InputError: If there are two different measures.
    """
    names = list(dict.fromkeys(measures))
    if len(names) > 1:
        raise InputError(
            f"{what} has accuracies by {names[0]} and by {names[1]}, which cannot be compared: keep one measure"
        )
    return names[0]
