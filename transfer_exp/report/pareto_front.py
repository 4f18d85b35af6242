"""Front of accuracy against cost: the pairs of model and regime that no other pair beats at no higher cost."""

from __future__ import annotations

import numpy as np
import pandas as pd

from transfer_exp.io.measures import common_measure, larger_is_better
from transfer_exp.results.search import pareto_front

COSTS = ("trainable_parameters", "training_seconds")
"""Columns with the costs of a pair."""


def mark_fronts(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return pairs with the columns ``least_parameters`` and ``least_seconds``: whether they are on the front.

    A pair is compared with those on the same ``dataset``. It needs an ``accuracy`` and the cost.
    """
    for name, cost in zip(("least_parameters", "least_seconds"), COSTS, strict=True):
        groups = [group for _, group in pairs.dropna(subset=[cost, "accuracy"]).groupby("dataset")]
        points = [zip(group[cost], quality(group), group.index, strict=True) for group in groups]
        on_front = [index for of_dataset in points for index in pareto_front(of_dataset)]
        pairs = pairs.assign(**{name: pairs.index.isin(on_front)})
    return pairs


def quality(pairs: pd.DataFrame) -> pd.Series:
    """Return the accuracies of one dataset, or minus its errors, so that larger is better."""
    measures = pairs.get("measure", pd.Series("accuracy", pairs.index))
    measure = common_measure(measures, "a dataset of the sweep") if len(pairs) else "accuracy"
    return pd.Series(larger_is_better(pairs["accuracy"].to_numpy(dtype=np.float64), measure), pairs.index)
