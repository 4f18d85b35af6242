"""Potential energy descent equals a literal loop, and its forces behave as described."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from transfer_exp.perturbation.ped import Ped, ped

oracle = settings(max_examples=40, deadline=None, derandomize=True)


@st.composite
def labelled(draw):
    """Draw features (N, D) of very unequal spreads and labels of C classes, some with one sample."""
    sizes = draw(st.lists(st.integers(1, 9), min_size=2, max_size=6))
    labels = np.repeat(np.arange(len(sizes)), sizes)
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    dim = draw(st.integers(1, 20))
    features = rng.standard_normal((len(labels), dim)) + rng.standard_normal((len(sizes), dim))[labels]
    return features * 10 ** rng.uniform(-4, 0.7, dim) + rng.uniform(-3, 3, dim), labels


def slow_ped(features, labels, sigma, time_step, exit_ratio, max_steps):
    """Standardise, move every sample and undo the standardisation in every step, as the released code does."""
    centre, spread = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-3)
    first = None
    for _ in range(max_steps):
        x = (features - centre) / spread
        means = [x[labels == c].mean(axis=0) for c in np.unique(labels)]
        radii = [np.sqrt(x[labels == c].var(axis=0).sum()) for c in np.unique(labels)]
        moves = np.zeros((len(means), x.shape[1]))
        for i in range(len(means)):
            for j in range(len(means)):
                if i != j:
                    distance = np.linalg.norm(means[i] - means[j])
                    force = max(sigma * (radii[i] + radii[j]) - distance, 0.0)
                    push = min(0.5 * time_step**2 * force, force)
                    moves[i] += push * (means[i] - means[j]) / distance
        change = np.abs(moves).sum()
        first = change if first is None else first
        if first == 0 or change / first <= exit_ratio:
            break
        features = (x + moves[labels]) * spread + centre
    return features


@oracle
@given(
    data=labelled(),
    sigma=st.floats(0.3, 3),
    time_step=st.sampled_from([0.0, 0.1, 0.7, 1.5]),
    exit_ratio=st.sampled_from([0.0, 0.5, 0.9]),
    max_steps=st.integers(2, 8),
)
def test_ped_equals_a_literal_loop(data, sigma, time_step, exit_ratio, max_steps):
    options = sigma, time_step, exit_ratio, max_steps
    np.testing.assert_allclose(ped(*data, *options), slow_ped(*data, *options), rtol=1e-8, atol=1e-8)


@oracle
@given(data=labelled(), time_step=st.sampled_from([0.1, 1.0]))
def test_two_overlapping_classes_separate_until_they_touch_and_preserve_their_shapes(data, time_step):
    features, labels = data[0], (data[1] > 0).astype(int)
    scale = np.maximum(features.std(axis=0), 1e-3)
    perturbed = ped(features, labels, sigma=2.0, time_step=time_step, exit_ratio=0.0, max_steps=50)

    def distance(x):
        return pdist([(x[labels == c] / scale).mean(axis=0) for c in (0, 1)])[0]

    reach = 2 * sum(np.sqrt((features[labels == c] / scale).var(axis=0).sum()) for c in (0, 1))
    gap, remaining = reach - distance(features), reach - distance(perturbed)
    if gap <= 1e-9:  # The classes did not overlap at the start.
        np.testing.assert_array_equal(perturbed, features)
    else:  # In every step, each class moves by min(t^2 / 2, 1) of the gap.
        assert remaining == pytest.approx(gap * max(1 - time_step**2, 0.0) ** 50, abs=1e-7)
    for c in (0, 1):
        shift = (perturbed - features)[labels == c]
        np.testing.assert_allclose(shift, shift[:1].repeat(len(shift), axis=0), atol=1e-9)


@pytest.mark.parametrize(("exit_ratio", "max_steps", "steps"), [(0.5, 6, 2), (0.3, 6, 3), (0.3, 1, 1), (0.0, 6, 6)])
def test_steps_end_before_a_step_below_the_exit_ratio_or_after_the_largest_number(exit_ratio, max_steps, steps):
    features, labels = np.array([[-2.0], [1.0], [-1.0], [2.0]]), np.array([0, 0, 1, 1])
    reach, gap = 2.0 * 2 * 1.5, 1.0  # Radii of 1.5 around -0.5 and 0.5.
    perturbed = ped(features, labels, 2.0, 0.6, exit_ratio, max_steps)
    distance = perturbed[2:].mean() - perturbed[:2].mean()
    # Every step closes t^2 = 0.36 of the remaining gap, so step lengths relative to the first are 1, .64, .41, .26.
    assert reach - distance == pytest.approx((reach - gap) * 0.64**steps)


def test_separated_classes_do_not_move():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 20)
    features = rng.standard_normal((60, 4)) + 50 * np.eye(3, 4)[labels]
    np.testing.assert_array_equal(Ped()(features, labels, rng), features)


def test_ped_commutes_with_a_positive_scale_and_a_shift_of_each_feature_above_the_floor():
    rng = np.random.default_rng(1)
    labels, scale, shift = np.repeat(np.arange(4), 15), rng.uniform(0.1, 9, 6), rng.uniform(-5, 5, 6)
    features = rng.standard_normal((60, 6))
    perturbed = Ped(sigma=2.0)(features, labels, rng)
    assert not np.allclose(perturbed, features)
    np.testing.assert_allclose(
        Ped(sigma=2.0)(scale * features + shift, labels, rng), scale * perturbed + shift, rtol=1e-9
    )


def test_classes_with_equal_means_do_not_move():
    offsets = np.array([[1.0, 0.3], [-1.0, -0.3], [0.1, 0.7], [-0.1, -0.7]])
    features, labels = np.concatenate([offsets, 2 * offsets]) + 1 / 3, np.repeat([0, 1], 4)
    np.testing.assert_allclose(ped(features, labels, 2.0, 1.0, 0.0, 6), features, atol=1e-9)
