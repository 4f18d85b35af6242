"""Euclidean distances between all samples, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from transfer_exp.statistics.rounding import RESOLUTION

BLOCK = 1024
"""Rows held at once: memory grows with N, not with N^2."""


def distance_blocks(
    rows: Float[np.ndarray, "samples dim"],
) -> Iterator[tuple[slice, Float[np.ndarray, "block samples"]]]:
    """Yield slices of at most 1024 samples and their distances to all samples, from products rather than differences.

    A square below `RESOLUTION` of the squared norms it is the difference of is rounding, and becomes zero: so does the
    distance of a sample to itself and to its duplicates. Centre the rows first, lest that hide what differs.
    """
    squares = np.einsum("nd,nd->n", rows, rows)
    for start in range(0, len(rows), BLOCK):
        block = slice(start, min(start + BLOCK, len(rows)))
        sums = squares[block, None] + squares
        distances = sums - 2 * rows[block] @ rows.T
        distances[distances <= RESOLUTION * sums] = 0.0
        yield block, np.sqrt(distances)
