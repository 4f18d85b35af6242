"""Scaling of values over a pool handles ties, units and extreme values."""

import numpy as np
import pytest

from transfer_exp.errors import InputError
from transfer_exp.metric.pool_scaling import min_max_scaled, unit_ranks, z_scores


def test_z_scores_and_ranks_ignore_units_and_handle_ties():
    scores = np.array([1.0, 4.0, 2.0, 2.0])
    np.testing.assert_allclose(z_scores(scores), (scores - 2.25) / scores.std())
    np.testing.assert_allclose(unit_ranks(scores), [0.0, 1.0, 0.5, 0.5])
    for scale in (z_scores, unit_ranks):
        np.testing.assert_allclose(scale(1e300 * scores), scale(scores))
        np.testing.assert_allclose(scale(1e-300 * scores), scale(scores))


def test_equal_scores_have_z_score_zero_and_rank_one_half():
    np.testing.assert_array_equal(z_scores(np.full(3, 0.1)), 0.0)
    np.testing.assert_array_equal(unit_ranks(np.full(3, 0.1)), 0.5)
    assert z_scores(np.ones(1)) == 0.0
    assert unit_ranks(np.ones(1)) == 0.5


@pytest.mark.parametrize("value", [0.0, 1.0 / 3, -1e300])
def test_a_part_that_is_equal_up_to_rounding_is_scaled_to_zero(value):
    np.testing.assert_array_equal(min_max_scaled([{"a": value}, {"a": value * (1 + 1e-15)}], "a"), [0.0, 0.0])


def test_huge_parts_do_not_overflow():
    np.testing.assert_allclose(min_max_scaled([{"a": -1.7e308}, {"a": 0.0}, {"a": 1.7e308}], "a"), [0, 0.5, 1])


@pytest.mark.parametrize(("parts", "model"), [([{"a": 1.0}, {"b": 2.0}], 1), ([{"a": np.inf}], 0)])
def test_a_missing_or_infinite_part_is_rejected_with_the_index_of_the_model(parts, model):
    with pytest.raises(InputError, match=f"model {model} of the pool has no finite a"):
        min_max_scaled(parts, "a")
