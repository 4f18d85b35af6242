"""Half-samples: sizes of the draws, widths of the intervals, and the rate of false claims."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer_exp.errors import InputError
from transfer_exp.evaluation.half_samples import half_samples, rank_intervals, score_intervals, significantly_better

RNG = np.random.default_rng(0)


def means_of(values, draws, seed=0):
    """Return the mean of values (N, M) over all images and over half-samples of one class."""
    chosen = half_samples(np.zeros(len(values), dtype=int), draws, seed)
    return values.mean(axis=0), chosen @ values / chosen.sum(axis=1, keepdims=True)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(2, 30), st.integers(0, 9))
def test_a_half_holds_half_of_every_class(labels, draws, seed):
    labels = np.array(labels)
    chosen = half_samples(labels, draws, seed)
    assert chosen.shape == (draws, len(labels))
    for value in np.unique(labels):
        size = (labels == value).sum()
        held = chosen[:, labels == value].sum(axis=1)
        assert set(held) <= {max(size // 2, 1), max((size + 1) // 2, 1)}
    assert (chosen == half_samples(labels, draws, seed)).all()


def test_images_are_drawn_equally_often_and_odd_classes_round_both_ways():
    labels = np.repeat([3, 1], [7, 6])
    chosen = half_samples(labels, 4000, seed=1)
    np.testing.assert_allclose(chosen.mean(axis=0), 0.5, atol=0.04)
    assert set(chosen[:, :7].sum(axis=1)) == {3, 4}
    together = chosen[:, 0] & chosen[:, 1]
    assert together.mean() == pytest.approx(np.mean([3 * 2, 4 * 3]) / 42, abs=0.03)


def test_the_spread_of_a_mean_matches_theory():
    values = RNG.normal(size=(400, 3)) * [1, 5, 0.1]
    scores, halves = means_of(values, 4000)
    np.testing.assert_allclose(halves.std(axis=0), values.std(axis=0, ddof=1) / 20, rtol=0.06)
    low, high = score_intervals(scores, halves).T
    np.testing.assert_allclose(high - low, 2 * 1.96 * values.std(axis=0, ddof=1) / 20, rtol=0.08)
    wide = score_intervals(scores, halves, level=0.99)
    assert ((wide[:, 0] < low) & (low < scores) & (scores < high) & (high < wide[:, 1])).all()


def test_intervals_correct_for_skew_and_ignore_the_level_of_halves():
    scores, halves = np.array([1.0]), np.array([[5.0], [5.0], [5.0], [9.0]])  # deviations -1, -1, -1, 3
    assert score_intervals(scores, halves, level=0.999999)[0] == pytest.approx([-2.0, 2.0], abs=1e-4)


def test_false_claims_are_as_rare_as_the_level_says():
    rng = np.random.default_rng(1)
    trials, n_false, n_missed, covered = 60, 0, 0, []
    for trial in range(trials):
        images = rng.normal(size=(120, 1)) + rng.normal(size=(120, 6)) * [0.3, 0.3, 0.3, 1, 1, 2]
        scores, halves = means_of(images, 250, seed=trial)
        n_false += significantly_better(scores, halves).any()
        low, high = score_intervals(scores, halves).T
        covered.append((low <= 0) & (high >= 0))
        scores, halves = means_of(images + 0.5 * (np.arange(6) == 2), 250, seed=trial)
        n_missed += not significantly_better(scores, halves)[2, :2].all()
    assert n_false <= 10  # 3 to 4 expected
    assert n_missed < 3  # 0.5 is thirteen standard errors of that pair, whose images are shared
    assert 0.9 < np.mean(covered) < 0.985


def test_rank_intervals_follow_from_significant_differences():
    values = RNG.normal(size=(200, 5)) * 0.1 + [0, 3, 3, 9, 1]
    scores, halves = means_of(values, 200)
    ranks = rank_intervals(scores, halves)
    assert ranks.tolist() == [[5, 5], [2, 3], [2, 3], [1, 1], [4, 4]]
    better = significantly_better(scores, halves)
    assert not (better & better.T).any()
    assert not better[1, 2]
    assert not better[2, 1]


def test_the_threshold_is_a_quantile_of_the_largest_pair():
    halves = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1]])
    deviations = halves - halves.mean(axis=0)
    pairs = [(0, 1), (0, 2), (1, 2)]
    errors = {p: (deviations[:, p[0]] - deviations[:, p[1]]).std(ddof=1) for p in pairs}
    largest = [max(abs(d[i] - d[j]) / errors[i, j] for i, j in pairs) for d in deviations]
    threshold = sorted(largest)[4]  # the lowest value that 80 % of six draws do not pass
    for factor, expected in ((0.99, False), (1.01, True)):
        scores = np.array([factor * threshold * errors[0, 1], 0.0, 0.0])
        assert significantly_better(scores, halves, level=0.8)[0, 1] == expected


def test_a_constant_difference_is_significant_unless_it_is_zero():
    halves = np.tile([0.5, 0.5, 0.7], (9, 1))
    better = significantly_better(np.array([1.0, 1.0, 0.9]), halves)
    assert better.tolist() == [[False, False, True], [False, False, True], [False, False, False]]
    assert rank_intervals(np.array([1.0, 1.0, 0.9]), halves).tolist() == [[1, 2], [1, 2], [3, 3]]
    # A shift common to two models moves both and their difference not at all.
    shared = halves + RNG.normal(size=(9, 1)) * [1, 1, 0]
    assert significantly_better(np.array([1.0, 0.99, 0.9]), shared)[0, 1]


def test_one_model_has_the_first_rank():
    assert rank_intervals(np.array([2.0]), RNG.normal(size=(5, 1))).tolist() == [[1, 1]]


def test_bad_input_is_refused(untyped):
    scores, halves = np.zeros(3), RNG.normal(size=(4, 3))
    for wrong in (halves[:, :2], halves[:1], halves[:0]):
        with pytest.raises(InputError, match="two or more draws"):
            score_intervals(scores, wrong)
    for level in (0.0, 1.0, 95.0):
        with pytest.raises(InputError, match="is not a confidence level"):
            significantly_better(scores, halves, level)
    with pytest.raises(InputError, match="model 1 has a score that is not finite"):
        rank_intervals(np.array([0, np.nan, 0]), halves)
    with pytest.raises(InputError, match="model 2 has a score that is not finite"):
        rank_intervals(scores, np.where(np.arange(3) == 2, np.inf, halves))
    with pytest.raises(InputError, match="show no spread"):
        half_samples(np.zeros(4, dtype=int), 1)
    with pytest.raises(InputError, match="of 0 images"):
        half_samples(np.zeros(0, dtype=int), 10)
