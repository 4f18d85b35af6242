"""Sub-pools and groups of models, against literal counts."""

from itertools import combinations

import numpy as np
import pytest

from studies.real_pool.comparisons import flip_rate
from transfer_exp.errors import InputError
from transfer_exp.evaluation.correlation import pool_taus, weighted_tau
from transfer_exp.evaluation.sub_pools import grouped_tau, leave_one_out, sub_pools, win_rates


@pytest.fixture
def rng():
    """Return a generator that is new for each test, so that a test does not depend on the tests before it."""
    return np.random.default_rng(2)


def tau_differences(first, second, accuracies, pools):
    """Return the weighted tau of one condition minus that of another for each pool, mean over datasets."""
    rows = zip(*(values.reshape(-1, values.shape[-1]) for values in (first, second, accuracies)), strict=True)
    return np.mean([pool_taus(a, y, pools) - pool_taus(b, y, pools) for a, b, y in rows], axis=0)


def flips(first, second, accuracies, pools):
    """Return the flip rate of the difference of two conditions."""
    full_pool = np.arange(first.shape[-1])[None]
    difference = tau_differences(first, second, accuracies, full_pool)[0]
    return flip_rate(difference, tau_differences(first, second, accuracies, pools))


@pytest.mark.parametrize(("models", "leave_out"), [(3, 1), (7, 2), (8, 5), (6, 4)])
def test_all_sub_pools_are_listed_once(models, leave_out):
    actual = sub_pools(models, leave_out)
    assert sorted(map(tuple, actual)) == list(combinations(range(models), models - leave_out))


def test_too_many_sub_pools_are_sampled_evenly_and_seeded():
    actual = sub_pools(12, 4, max_pools=400, seed=3)
    assert actual.shape == (400, 8)
    assert all(len(set(row)) == 8 for row in actual)
    members = np.bincount(actual.ravel(), minlength=12) / 400
    np.testing.assert_allclose(members, 8 / 12, atol=0.1)
    np.testing.assert_array_equal(actual, sub_pools(12, 4, max_pools=400, seed=3))
    assert (actual != sub_pools(12, 4, max_pools=400, seed=4)).any()


@pytest.mark.parametrize("wrong", [(5, 0, 9), (5, 4, 9), (5, 2, 0), (0, 1, 9)])
def test_impossible_sub_pools_are_refused(wrong):
    with pytest.raises(InputError, match="no sub-pools of"):
        sub_pools(*wrong)


def test_leaving_one_out_shows_the_model_that_determines_the_result(rng):
    scores, accuracies = rng.normal(size=(2, 6))
    literal = [weighted_tau(np.delete(scores, i), np.delete(accuracies, i)) for i in range(6)]
    np.testing.assert_allclose(leave_one_out(scores, accuracies), literal, atol=1e-12)
    accuracies, scores = np.arange(6.0), np.array([9.0, 1, 2, 3, 4, 5])
    assert leave_one_out(scores, accuracies)[0] == pytest.approx(1)
    assert (leave_one_out(scores, accuracies)[1:] < 0.6).all()
    with pytest.raises(InputError, match="no sub-pools of 2"):
        leave_one_out(scores[:2], accuracies[:2])


def test_the_flip_rate_equals_a_literal_count(rng):
    first, second, truth = rng.normal(size=(3, 3, 7))
    pools = sub_pools(7, 2)

    def sign(members):
        rows = zip(first[:, members], second[:, members], truth[:, members], strict=True)
        return np.sign(round(sum(weighted_tau(a, t) - weighted_tau(b, t) for a, b, t in rows), 9))

    literal = np.mean([sign(members) != sign(np.arange(7)) for members in pools])
    assert 0 < literal < 1
    assert flips(first, second, truth, pools) == pytest.approx(literal)
    assert flips(second, first, truth, pools) == pytest.approx(literal)


def test_a_clear_difference_never_flips_and_equality_counts_as_a_sign():
    truth = np.arange(6.0)
    pools = sub_pools(6)
    assert flips(truth, -truth, truth, pools) == 0
    assert flips(truth, truth * 2, truth, pools) == 0
    swapped = np.array([0.0, 1, 2, 3, 5, 4])  # worse only while both of the top two are there: in 6 of 15 sub-pools
    assert flips(truth, swapped, truth, pools) == pytest.approx(9 / 15)


def test_rounding_errors_do_not_flip(rng):
    scores, truth = rng.normal(size=(3, 8)), np.tile(rng.normal(size=8), (3, 1))
    again = np.roll(scores, 1, axis=0)  # the same scores on other rows of the same dataset: equal but for rounding
    pools = sub_pools(8)
    differences = tau_differences(scores, again, truth, pools)
    assert 0 < np.abs(differences).max() < 1e-14
    assert flips(scores, again, truth, pools) == 0


def test_win_rates_equal_a_literal_count_and_ties_share(rng):
    scores, truth = rng.normal(size=(3, 2, 6)), rng.normal(size=(2, 6))
    scores = np.concatenate([scores, 2 * scores[:1]])  # the first metric again
    pools = sub_pools(6)
    literal = np.zeros((4, 2))
    for dataset in range(2):
        for members in pools:
            taus = [round(weighted_tau(metric[dataset][members], truth[dataset][members]), 9) for metric in scores]
            winners = np.flatnonzero(np.array(taus) == max(taus))
            literal[winners, dataset] += 1 / len(winners) / len(pools)
    actual = win_rates(scores, truth, pools)
    assert 0 < actual[0, 0] < 1
    np.testing.assert_allclose(actual, literal, atol=1e-12)
    np.testing.assert_allclose(actual.sum(axis=0), 1)
    np.testing.assert_array_equal(actual[0], actual[3])
    assert win_rates(np.stack([truth, -truth]), truth, pools).tolist() == [[1, 1], [0, 0]]


def test_empty_pools_and_metrics_are_refused():
    truth, nothing = np.ones((1, 4)), np.zeros((0, 3), dtype=int)
    with pytest.raises(InputError, match="no sub-pool to count"):
        win_rates(truth[None], truth, nothing)
    with pytest.raises(InputError, match="at least one metric"):
        win_rates(np.ones((0, 1, 4)), truth, sub_pools(4))


@pytest.mark.parametrize("shape", [(1, 2, 5), (1, 1, 4), (1, 4), (2, 4), (4,)])
def test_win_rates_refuse_scores_of_another_shape(untyped, shape):
    with pytest.raises(InputError, match=r"at least one metric with \(2, 4\) as in the accuracies: got"):
        win_rates(np.ones(shape), np.tile(np.arange(4.0), (2, 1)), sub_pools(4))


@pytest.mark.parametrize(("gap", "rates"), [(1e-13, [0.5, 0.5]), (1e-11, [1, 0]), (-1e-11, [0, 1])])
def test_taus_that_differ_by_rounding_share_the_win(monkeypatch, gap, rates):
    taus = iter([np.array([0.3 + gap]), np.array([0.3])])
    monkeypatch.setattr("transfer_exp.evaluation.sub_pools.pool_taus", lambda *args: next(taus))
    assert win_rates(np.ones((2, 1, 4)), np.arange(4.0)[None], np.arange(4)[None]).ravel().tolist() == rates


def test_differences_that_are_zero_to_rounding_have_the_sign_zero():
    differences = np.array([0.2, 1e-17, -1e-17, -0.1])
    assert flip_rate(0.3, differences) == 0.75
    assert flip_rate(1e-17, differences) == 0.5


def test_grouped_tau_weighs_groups_by_pairs():
    scores, accuracies = np.random.default_rng(1).normal(size=(2, 8))
    groups = ["resnet", "vit", "resnet", "vit", "resnet", "alexnet", "vit", "vit"]
    resnets, vits = [0, 2, 4], [1, 3, 6, 7]
    taus = [weighted_tau(scores[group], accuracies[group]) for group in (resnets, vits)]
    assert grouped_tau(scores, accuracies, groups) == pytest.approx((3 * taus[0] + 6 * taus[1]) / 9)
    assert grouped_tau(scores, accuracies, ["one"] * 8) == pytest.approx(weighted_tau(scores, accuracies))


def test_grouped_tau_ignores_the_order_of_groups():
    accuracies = np.array([0.1, 0.2, 0.8, 0.9])
    groups = ["small", "small", "large", "large"]
    upside_down = np.array([2.0, 1.0, 4.0, 3.0])  # right between groups, wrong within
    assert weighted_tau(upside_down, accuracies) > 0
    assert grouped_tau(upside_down, accuracies, groups) == pytest.approx(-1)
    assert grouped_tau(np.array([1.0, 2.0, 7.0, 7.0]), accuracies, groups) == pytest.approx(0.5)


def test_grouped_tau_needs_groups():
    rising = np.arange(3.0)
    with pytest.raises(InputError, match="a group for each of 3"):
        grouped_tau(rising, rising, ["a", "b"])
    with pytest.raises(InputError, match="no group has two models"):
        grouped_tau(rising, rising, ["a", "b", "c"])
