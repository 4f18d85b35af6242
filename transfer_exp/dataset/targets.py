"""Targets other than one class per image: several labels, or a number.

Both kinds also get a group for each image, which takes the place of its class wherever samples are drawn or counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from transfer_exp.errors import InputError
from transfer_exp.statistics.feature_set import Labels

_MOST_GROUPS, _GROUP_SIZE = 10, 10
"""Most groups of numbers, and the training images that each should have."""


def check_multi_label(targets: np.ndarray, what: str, label_names: Sequence[str]) -> Int[np.ndarray, "samples labels"]:
    """Return several labels per sample as zeros and ones.

    Args:
        targets: (N, C).
        what: Name of the targets in messages.
        label_names: C names of the columns.

    Raises:
        InputError: If a value is neither 0 nor 1, a sample has no label, or no sample has one of the labels.
    """
    for row, column in np.argwhere(~np.isin(targets, (0, 1)))[:1]:
        raise InputError(
            f"{what} hold {targets[row, column]} at sample {row}, label '{label_names[column]}': use 0 and 1"
        )
    for row in np.flatnonzero(~targets.any(axis=1))[:1]:
        raise InputError(f"{what} give sample {row} no label: leave it out, or add a label such as 'none'")
    for column in np.flatnonzero(~targets.any(axis=0))[:1]:
        raise InputError(f"{what} give no sample the label '{label_names[column]}': leave the label out")
    return targets.astype(np.int64)


def rarest_labels(
    targets: Int[np.ndarray, "samples labels"], training_targets: Int[np.ndarray, "training_samples labels"]
) -> Labels:
    """Return the label of each sample that the fewest training samples have, (N,); the first of equally rare ones."""
    counts = training_targets.sum(axis=0)
    return np.where(targets > 0, counts, counts.max(initial=0) + 1).argmin(axis=1)


def number_groups(training_numbers: Float[np.ndarray, " training_samples"]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Divide numbers into up to ten groups of about equal size.

    Returns:
        The ascending bounds between G groups, (G - 1,), and the names of the groups. A number that equals a bound
        belongs to the lower group (`group_numbers`).

    Raises:
        InputError: If all numbers are equal, or one is not finite.
    """
    if not np.isfinite(training_numbers).all():
        raise InputError("a number of the training images is missing or infinite: leave its image out")
    n_groups = int(np.clip(len(training_numbers) // _GROUP_SIZE, 2, _MOST_GROUPS))
    quantiles = np.quantile(training_numbers, np.arange(1, n_groups) / n_groups, method="lower")
    bounds = np.unique(quantiles[quantiles < training_numbers.max()])
    if len(bounds) == 0:
        lower = training_numbers[training_numbers < training_numbers.max()]
        if len(lower) == 0:
            raise InputError(f"the number of every training image is {training_numbers[0]:g}: a ranking needs two")
        bounds = lower.max()[None]
    texts = [f"{bound:g}" for bound in bounds]
    between = [f"{low} to {high}" for low, high in pairwise(texts)]
    return bounds, (f"up to {texts[0]}", *between, f"over {texts[-1]}")


def group_numbers(numbers: Float[np.ndarray, " samples"], bounds: Float[np.ndarray, " bounds"]) -> Labels:
    """Return the group of each number, (N,), given the bounds of `number_groups`."""
    return np.searchsorted(bounds, numbers, side="left")
