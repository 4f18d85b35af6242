"""Order of rows, which decides random draws."""

import numpy as np
import pytest

from transfer_exp.statistics.feature_set import sorted_rows


@pytest.mark.parametrize(
    ("samples", "dim", "values"), [(60, 40, 2), (50, 3, 2), (80, 20, 1000), (30, 33, 1), (1, 1, 1)]
)
def test_rows_are_sorted_by_all_their_dimensions_and_equal_rows_keep_their_order(samples, dim, values):
    features = np.random.default_rng(0).integers(0, values, (samples, dim)).astype(float)
    features[samples // 2 :, : dim // 2] = 0.0
    features[-samples // 4 :] = features[: len(features[-samples // 4 :])]
    order, position = sorted_rows(features)
    assert order.tolist() == np.lexsort(features.T[::-1]).tolist()
    distinct = sorted(set(map(tuple, features.tolist())))
    assert position.tolist() == [distinct.index(tuple(row)) for row in features[order].tolist()]
