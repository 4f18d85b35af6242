"""Spread, Attract and the gate equal literal loops and the worked figures of the method."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA

from transfer_exp.perturbation.attract import attract, class_displacements
from transfer_exp.perturbation.pca import pca
from transfer_exp.perturbation.released import THRESHOLD, Released, gate_opens
from transfer_exp.perturbation.spread import spread
from transfer_exp.perturbation.spread_attract import SpreadAttract

oracle = settings(max_examples=30, deadline=None, derandomize=True)


@st.composite
def labelled(draw):
    """Draw features (N, D) and labels of C classes, some with a single sample."""
    sizes = draw(st.lists(st.integers(1, 9), min_size=2, max_size=6))
    labels = np.repeat(np.arange(len(sizes)), sizes)
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    dim = draw(st.integers(1, 20))
    return 3 * (rng.standard_normal((len(labels), dim)) + rng.standard_normal((len(sizes), dim))[labels]), labels


def means_of(features, labels):
    return np.array([features[labels == c].mean(axis=0) for c in np.unique(labels)])


def radii_of(features, labels):
    return np.array([np.sqrt(features[labels == c].var(axis=0).sum()) for c in np.unique(labels)])


@oracle
@given(data=labelled(), force=st.floats(0, 5), scale=st.sampled_from(["absolute", "radius"]))
def test_spread_equals_a_literal_loop(data, force, scale):
    features, labels = data
    expected = features.copy()
    for i, c in enumerate(labels):
        offset = features[i] - means_of(features, labels)[c]
        if np.sum(labels == c) > 1:
            unit = radii_of(features, labels)[c] if scale == "radius" else 1.0
            expected[i] += force * unit * offset / np.linalg.norm(offset)
    np.testing.assert_allclose(spread(features, labels, force, scale), expected, rtol=1e-9, atol=1e-9)


@oracle
@given(data=labelled())
def test_spread_raises_every_radius_and_does_not_move_the_only_sample_of_a_class(data):
    features, labels = data
    perturbed = spread(features, labels, 0.5)
    has_many = np.bincount(labels) > 1
    # The class mean may shift, but always by less than the class widens around the old mean.
    assert (radii_of(perturbed, labels)[has_many] > radii_of(features, labels)[has_many]).all()
    np.testing.assert_array_equal(perturbed[~has_many[labels]], features[~has_many[labels]])


@oracle
@given(data=labelled())
def test_radius_force_commutes_with_scaling_and_absolute_force_does_not(data):
    features, labels = data
    np.testing.assert_allclose(
        spread(1e3 * features, labels, 0.2, "radius"),
        1e3 * spread(features, labels, 0.2, "radius"),
        rtol=1e-9,
    )
    if (np.bincount(labels) > 1).any():
        assert not np.allclose(spread(1e3 * features, labels, 0.2), 1e3 * spread(features, labels, 0.2))


@oracle
@given(
    data=labelled(),
    alpha=st.floats(0, 1),
    sigma=st.floats(0, 2),
    options=st.sampled_from(list(product(["together", "released"], [False, True], [False, True]))),
)
def test_attract_equals_a_literal_loop(data, alpha, sigma, options):
    features, labels = data
    sign, clamp, normalise = options
    means, radii = means_of(features, labels), radii_of(features, labels)
    moves = np.zeros_like(means)
    for i, j in product(range(len(means)), repeat=2):
        if i != j:
            distance = np.linalg.norm(means[i] - means[j])
            gap = distance - sigma * (radii[i] + radii[j])
            gap = max(gap, 0.0) if clamp else gap
            gap /= len(means) - 1 if normalise else 1
            moves[i] += (1 if sign == "together" else -1) * alpha * gap * (means[j] - means[i]) / distance
    perturbed = attract(features, labels, alpha, sigma, sign, clamp, normalise)
    np.testing.assert_allclose(perturbed, features + moves[labels], rtol=1e-9, atol=1e-9)


@oracle
@given(data=labelled(), alpha=st.floats(0, 1), sigma=st.floats(0, 2))
def test_attract_never_spreads_the_class_means_and_preserves_class_shapes_by_default(data, alpha, sigma):
    features, labels = data
    perturbed = attract(features, labels, alpha, sigma)
    before, after = pdist(means_of(features, labels)), pdist(means_of(perturbed, labels))
    assert (after**2).sum() <= (before**2).sum() * (1 + 1e-9)
    np.testing.assert_allclose(radii_of(perturbed, labels), radii_of(features, labels), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("radius", "distance"), [(1, 11.76), (8, 10.08), (20, 7.20)])
def test_released_sign_repels_separated_classes_and_attracts_overlapping_classes(radius, distance):
    means, radii = np.array([[0.0, 0.0], [10.0, 0.0]]), np.full(2, float(radius))
    perturbed = means + class_displacements(means, radii, 0.1, 0.6, "released", clamp=False, normalise=False)
    assert np.linalg.norm(perturbed[1] - perturbed[0]) == pytest.approx(distance)


def test_unnormalised_classes_collapse_at_alpha_one_over_c_and_swap_sides_above():
    means, radii = np.random.default_rng(0).standard_normal((7, 3)), np.zeros(7)
    centre = means.mean(axis=0)
    collapsed = means + class_displacements(means, radii, 1 / 7, 0.0, "together", clamp=True, normalise=False)
    np.testing.assert_allclose(collapsed - centre, 0.0, atol=1e-12)
    reflected = means + class_displacements(means, radii, 2 / 7, 0.0, "together", clamp=True, normalise=False)
    np.testing.assert_allclose(reflected - centre, centre - means, atol=1e-12)


def test_classes_with_equal_means_do_not_act_on_each_other():
    means = np.array([[1.0, 2.0], [1.0, 2.0], [5.0, 2.0]])
    displacements = class_displacements(means, np.ones(3), 0.1, 0.0, "together", clamp=False, normalise=False)
    np.testing.assert_allclose(displacements, [[0.4, 0.0], [0.4, 0.0], [-0.8, 0.0]])


@pytest.mark.parametrize("reduce", [np.copy, pca], ids=["raw", "pca"])
def test_rounding_does_not_spread_samples_that_equal_their_class_mean(reduce):
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 3, 500)
    features = reduce(np.array([rng.standard_normal(30), np.zeros(30), np.full(30, 0.1)])[labels])
    np.testing.assert_allclose(spread(features, labels, 1.0), features, atol=1e-9)


def test_spread_attract_applies_pca_then_spread_then_attract_and_moves_classes_together():
    rng = np.random.default_rng(2)
    labels = np.repeat(np.arange(5), 20)
    features = rng.standard_normal((100, 70)) + 3 * rng.standard_normal((5, 70))[labels]
    spread_features = spread(pca(features, 64), labels, 1.0)
    perturbed = SpreadAttract()(features, labels, rng)
    np.testing.assert_array_equal(perturbed, attract(spread_features, labels))
    assert (pdist(means_of(perturbed, labels)) < pdist(means_of(spread_features, labels))).all()
    assert (radii_of(perturbed, labels) > radii_of(pca(features, 64), labels)).all()
    assert SpreadAttract(dim=None)(features, labels, rng).shape == features.shape


@pytest.mark.parametrize(("shape", "dim"), [((90, 10), 10), ((30, 200), 30), ((100, 80), 64)])
def test_pca_returns_at_most_64_and_at_most_n_and_d_directions(shape, dim):
    features = np.random.default_rng(0).standard_normal(shape) * np.linspace(5, 0.1, shape[1]) + 3
    reduced = pca(features)
    assert reduced.shape == (shape[0], dim)
    np.testing.assert_allclose(reduced.mean(axis=0), 0.0, atol=1e-9)
    exact = PCA(2, svd_solver="full").fit(features).explained_variance_
    np.testing.assert_allclose(reduced[:, :2].var(axis=0, ddof=1), exact, rtol=0.02)


@pytest.mark.parametrize("shape", [(60, 1), (60, 8), (20, 50)])
def test_gate_opens_if_the_mean_of_the_two_largest_variances_exceeds_the_threshold(shape):
    features = np.random.default_rng(0).standard_normal(shape)
    features -= features.mean(axis=0)
    largest = np.linalg.svd(features, compute_uv=False)[:2] ** 2 / shape[0]
    edge = np.sqrt(THRESHOLD / largest.mean())
    assert pytest.approx(4.1447, abs=1e-4) == THRESHOLD
    assert gate_opens(1.001 * edge * features)
    assert not gate_opens(0.999 * edge * features)
    labels = np.arange(shape[0]) % 3
    np.testing.assert_array_equal(
        Released()(0.999 * edge * features, labels, np.random.default_rng()), 0.999 * edge * features
    )
