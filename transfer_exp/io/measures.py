"""Facts about measures of accuracy by their names: the range of a measure, and whether larger values are better."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np

from transfer_exp.errors import InputError

Values = TypeVar("Values", float, np.ndarray)

SIGNED = ("r2", "spearman", "quadratic_weighted_kappa")
"""Measures that can be negative."""
ERRORS = ("rmse", "mae", "macro_mae")
"""Measures of which smaller values are better, 0 at best, without an upper limit. All other measures are at most 1."""
ORDINAL = ("quadratic_weighted_kappa", "macro_mae")
"""Measures of grades: whole numbers, or classes in order."""


INVARIANT = ("r2", "spearman")
"""Measures of numbers that do not change if the numbers and their predictions are shifted and scaled."""


def is_error(measure: str) -> bool:
    """Return whether smaller values of a measure are better."""
    return measure in ERRORS


def larger_is_better(values: Values, measure: str) -> Values:
    """Return the values of a measure, or minus the values of an error: a better model has a larger number.

    Only comparisons of models use these numbers. Tables, files and messages have the values themselves.
    """
    return -values if is_error(measure) else values


def measure_heading(measure: str) -> str:
    """Return what tables call the values of a measure: ``accuracy``, or the name of the error."""
    return measure if is_error(measure) else "accuracy"


def common_measure(measures: Iterable[str], what: str) -> str:
    """Return the measure of accuracies that are compared with each other; the first of several.

    Args:
        measures: Names of measures, one or more.
        what: What has these accuracies, for the message.

    Raises:
        InputError: If larger values of one measure are better, and smaller values of another.
    """
    names = list(dict.fromkeys(measures))
    for name in names:
        if is_error(name) != is_error(names[0]):
            raise InputError(
                f"{what} has accuracies by {names[0]} and by {name}, which cannot be compared: keep one measure"
            )
    return names[0]
