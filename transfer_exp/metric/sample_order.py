"""An order of samples and of classes that features decide: metrics that draw at random then ignore the given one."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def sample_order(features: Float[np.ndarray, "samples dim"]) -> Int[np.ndarray, " samples"]:
    """Return the indices that sort the rows of ``features`` by first dimension, then second and so on, (N,).

    Any permutation of the rows is sorted to the same array. A shift or a positive scale leaves the order alone.
    """
    return np.lexsort(features.T[::-1])


def labelled_order(
    features: Float[np.ndarray, "samples dim"], codes: Int[np.ndarray, " samples"]
) -> tuple[Int[np.ndarray, " samples"], Int[np.ndarray, " samples"]]:
    """Sort samples as `sample_order` does, and number classes so that neither order nor names of the input matter.

    Returns
    -------
    order
        Indices that sort the rows; equal rows follow the numbers of their classes, (N,).
    classes
        The class of each sorted row, (N,), in [0, C). Classes are numbered by the places that their rows take.
    """
    order = sample_order(features)
    rows = features[order]
    place = np.concatenate([[0], np.any(rows[1:] != rows[:-1], axis=1).cumsum()])
    grouped = np.split(place[np.argsort(codes[order], kind="stable")], np.bincount(codes).cumsum()[:-1])
    number = np.empty(len(grouped), dtype=np.int64)
    number[sorted(range(len(grouped)), key=lambda c: tuple(grouped[c]))] = np.arange(len(grouped))
    classes = number[codes[order]]
    among_equals = np.lexsort((classes, place))
    return order[among_equals], classes[among_equals]
