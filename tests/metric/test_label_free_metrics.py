"""Limits of metrics that use no labels, and of LiDAR, which they resemble."""

import numpy as np
import pytest
from conftest import on_samples

from transfer_exp.errors import InputError
from transfer_exp.metric.confidence import max_softmax, negative_entropy
from transfer_exp.metric.effective_rank import alpha_req, rankme, spectral_decay, stable_rank
from transfer_exp.metric.lidar import lidar

lidar = on_samples(lidar)


def with_spectrum(singular_values, samples=200, seed=0):
    """Return centred features with these singular values."""
    rng = np.random.default_rng(seed)
    centred = rng.standard_normal((samples, len(singular_values)))
    left = np.linalg.qr(centred - centred.mean(axis=0))[0]
    return left * singular_values @ np.linalg.qr(rng.standard_normal((len(singular_values),) * 2))[0]


@pytest.mark.parametrize("rank", [1, 3, 20])
def test_equal_singular_values_count_as_their_number(rank):
    features = with_spectrum(np.concatenate([np.ones(rank), np.zeros(20 - rank)]))
    assert rankme(features) == pytest.approx(rank, rel=1e-4)
    assert stable_rank(features, normalised=False) == pytest.approx(rank, rel=1e-9)
    assert stable_rank(features) == pytest.approx(rank / 20, rel=1e-9)


@pytest.mark.parametrize("metric", [rankme, stable_rank])
def test_zero_features_are_rejected_and_one_image_is_accepted(metric):
    with pytest.raises(InputError, match="every feature is zero"):
        metric(np.zeros((5, 3)))
    assert metric(np.ones((1, 3))) == pytest.approx(1.0, rel=1e-5)


def test_rankme_of_one_direction_is_one_up_to_the_addend():
    share = 1 + 1e-7
    assert rankme(np.ones((1, 3))) == pytest.approx(np.exp(-share * np.log(share)), rel=1e-12)
    assert rankme(np.ones((1, 3))) < 1


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_decay_of_a_power_law_is_its_exponent(exponent):
    features = with_spectrum(np.arange(1, 61) ** (-exponent / 2))
    assert spectral_decay(features) == pytest.approx(exponent, rel=1e-6)
    assert spectral_decay(features, 1, 20) == pytest.approx(exponent, rel=1e-6)
    assert alpha_req(features) == pytest.approx(-abs(exponent - 1), abs=1e-6)


def test_ranks_are_weighted_by_one_over_the_rank():
    spectrum = np.exp(-0.3 * np.arange(1, 31)) + 0.01  # Not a power law, so that the weights decide the slope.
    ranks, weights = np.arange(3, 21), 1 / np.arange(3, 21)
    x, y = np.log(ranks), np.log(spectrum[ranks - 1])
    x_mean, y_mean = np.average(x, weights=weights), np.average(y, weights=weights)
    slope = (weights * (x - x_mean) * (y - y_mean)).sum() / (weights * (x - x_mean) ** 2).sum()
    features = with_spectrum(np.sqrt(spectrum))
    assert spectral_decay(features, 3, 20) == pytest.approx(-slope, rel=1e-6)
    assert alpha_req(features, 3, 20) == pytest.approx(-abs(-slope - 1), rel=1e-6)


@pytest.mark.parametrize("ranks", [(2.5, 8), (2, 8.5), (float("nan"), 8), (0, 8), (5, 5)])
def test_ranks_that_are_not_whole_or_not_ascending_are_rejected(untyped, ranks):
    with pytest.raises(InputError, match=r"first=\S+, last=\S+ of alpha_req must be whole ranks in ascending order"):
        alpha_req(with_spectrum(np.ones(8)), *ranks)


def test_too_few_ranks_are_rejected():
    with pytest.raises(InputError, match="first=11, and the features have 8 with variance"):
        alpha_req(with_spectrum(np.ones(8)))
    with pytest.raises(InputError, match="first=5, last=5"):
        alpha_req(with_spectrum(np.ones(8)), 5, 5)


def test_lidar_counts_the_directions_of_the_objects():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(12), 10)
    objects = rng.standard_normal((12, 3)) @ np.eye(3, 8)
    scores = [lidar(gap * objects[labels] + 0.1 * rng.standard_normal((120, 8)), labels) for gap in (0.0, 10.0)]
    assert scores[0] > 5  # Noise has no preferred direction.
    assert 2 < scores[1] < 3.01


def literal_lidar(features, labels, delta):
    """Compute LiDAR from its published formula with full matrices; every object mean counts once."""
    features = features.astype(np.float64)
    objects = np.unique(labels)
    means = np.array([features[labels == c].mean(axis=0) for c in objects])
    between = (means - means.mean(axis=0)).T @ (means - means.mean(axis=0)) / (len(objects) - 1)
    deviations = features - means[np.searchsorted(objects, labels)]
    within = deviations.T @ deviations / (len(features) - len(objects))
    values, vectors = np.linalg.eigh(within + delta * np.eye(features.shape[1]))
    root = vectors / np.sqrt(values) @ vectors.T
    eigenvalues = np.linalg.eigvalsh(root @ between @ root).clip(0) + 1e-8
    shares = eigenvalues / eigenvalues.sum()
    return np.exp(-(shares * np.log(shares)).sum())


@pytest.mark.parametrize("delta", [1e-4, 1.0])
@pytest.mark.parametrize("sizes", [(90, 5, 5), (5, 90, 5), (2, 3, 60)])
def test_lidar_of_imbalanced_objects_weights_their_means_equally(sizes, delta):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), sizes)
    features = (rng.standard_normal((len(labels), 6)) + 2 * rng.standard_normal((3, 6))[labels]) * [1, 2, 1, 3, 1, 1]
    assert lidar(features, labels, delta) == pytest.approx(literal_lidar(features, labels, delta), rel=1e-6)


def test_lidar_needs_two_views_of_an_object_and_a_positive_delta():
    with pytest.raises(InputError, match="one sample"):
        lidar(np.eye(4), np.arange(4))
    with pytest.raises(InputError, match="delta=0"):
        lidar(np.eye(4), np.array([0, 0, 1, 1]), 0.0)


def test_lidar_is_the_same_with_a_matrix_of_samples_and_of_dimensions():
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    features = rng.standard_normal((30, 12)) + rng.standard_normal((3, 12))[labels]
    # Dimensions of zeros add eigenvalues of zero, whose addend of 1e-8 is all that they change.
    padded = np.concatenate([features, np.zeros((30, 40))], axis=1)
    assert lidar(padded, labels) == pytest.approx(lidar(features, labels), rel=1e-4)


def test_confidence_is_highest_for_a_certain_head_and_lowest_for_a_uniform_one():
    certain, uniform = np.eye(5)[[0, 1, 1]], np.full((3, 5), 0.2)
    assert negative_entropy(certain) == negative_entropy(certain, True) == 0.0
    assert negative_entropy(uniform) == pytest.approx(-np.log(5))
    assert negative_entropy(uniform, normalised=True) == pytest.approx(-1.0)
    assert negative_entropy(np.ones((3, 1)), normalised=True) == 0.0
    assert max_softmax(certain) == 1.0
    assert max_softmax(uniform) == pytest.approx(0.2)
    with pytest.raises(InputError, match="softmax"):
        max_softmax(np.ones((3, 5)))
