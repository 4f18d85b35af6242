"""Statistics of the random perturbations: Gaussian noise and dropout."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer_exp.errors import InputError
from transfer_exp.perturbation.dropout import Dropout, dropout
from transfer_exp.perturbation.gaussian_noise import GaussianNoise, gaussian_noise

oracle = settings(max_examples=30, deadline=None, derandomize=True)
LABELS = np.arange(400) % 5


def uneven_features():
    """Return features whose dimensions differ in spread and lie far from zero."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((400, 50)) * np.linspace(0.1, 3, 50) + np.linspace(-20, 20, 50)


@oracle
@given(seed=st.integers(0, 10**6), strength=st.floats(0, 3), scale=st.sampled_from(["absolute", "relative"]))
def test_gaussian_noise_equals_a_literal_loop(seed, strength, scale):
    features = np.random.default_rng(seed + 1).standard_normal((7, 4)) * 3 + 5
    unit = 1.0 if scale == "absolute" else np.sqrt(np.trace(np.cov(features.T, bias=True)) / 4)
    draws, expected = np.random.default_rng(seed), features.copy()
    for i in range(7):
        for k in range(4):
            expected[i, k] += strength * unit * draws.normal()
    perturbed = gaussian_noise(features, np.random.default_rng(seed), strength, scale)
    np.testing.assert_allclose(perturbed, expected, rtol=1e-12)


@pytest.mark.parametrize("scale", ["absolute", "relative"])
def test_noise_has_zero_mean_and_equal_deviation_in_every_dimension(scale):
    features = uneven_features()
    noise = GaussianNoise(0.5, scale)(features, LABELS, np.random.default_rng(1)) - features
    unit = 1.0 if scale == "absolute" else np.sqrt(features.var(axis=0).mean())
    # Six standard errors of 20,000 draws (400 per dimension).
    assert abs(noise.mean()) < 6 * 0.5 * unit / np.sqrt(noise.size)
    np.testing.assert_allclose(noise.std(), 0.5 * unit, rtol=0.03)
    np.testing.assert_allclose(noise.std(axis=0), 0.5 * unit, rtol=0.22)


def test_only_relative_noise_scales_with_the_features_and_ignores_a_shift():
    features = uneven_features()

    def noise(x, scale):
        return gaussian_noise(x, np.random.default_rng(1), 0.3, scale) - x

    relative = noise(features, "relative")
    np.testing.assert_allclose(noise(100 * features, "relative"), 100 * relative, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(noise(features + np.arange(50), "relative"), relative, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(noise(100 * features, "absolute"), noise(features, "absolute"), rtol=1e-7, atol=1e-9)


@oracle
@given(seed=st.integers(0, 10**6), rate=st.floats(0, 0.99))
def test_dropout_equals_a_literal_loop(seed, rate):
    features = np.random.default_rng(seed + 1).standard_normal((7, 4)) * 3 + 5
    draws, expected = np.random.default_rng(seed), features.copy()
    for i in range(7):
        for k in range(4):
            expected[i, k] = 0.0 if draws.random() < rate else features[i, k] / (1 - rate)
    np.testing.assert_allclose(dropout(features, np.random.default_rng(seed), rate), expected, rtol=1e-12)


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
def test_dropout_zeroes_a_share_of_every_dimension_and_preserves_the_expectation(rate):
    features = np.full((400, 50), 7.0)
    perturbed = Dropout(rate)(features, LABELS, np.random.default_rng(1))
    error = np.sqrt(rate * (1 - rate) / perturbed.size)
    assert abs((perturbed == 0).mean() - rate) < 6 * error
    assert abs(perturbed.mean() / 7 - 1) < 6 * error / (1 - rate)
    assert np.abs((perturbed == 0).mean(axis=0) - rate).max() < 6 * error * np.sqrt(50)
    np.testing.assert_allclose(np.unique(perturbed), [0.0, 7.0 / (1 - rate)])


@pytest.mark.parametrize("perturbation", [GaussianNoise(), Dropout()], ids=lambda p: p.name)
def test_different_seeds_give_different_output(perturbation):
    features = uneven_features()
    first, second = (perturbation(features, LABELS, np.random.default_rng(seed)) for seed in (0, 1))
    assert not np.allclose(first, second)


def test_a_dropout_rate_of_one_is_rejected():
    with pytest.raises(InputError, match=r"perturbation\.rate=1\.0: need at least 0 and below 1"):
        Dropout(1.0)(uneven_features(), LABELS, np.random.default_rng(0))
