"""Mixup with class means equals its literal formula, and SFDA fits on its output."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

# Tests may import both layers: SFDA, the source of this perturbation, must agree with it.
from transfer_exp.metric.sfda import sfda_released
from transfer_exp.perturbation.mixup_means import MixupMeans, mixup_means
from transfer_exp.statistics.class_statistics import class_statistics
from transfer_exp.statistics.discriminant import adaptive_shrinkage, fitted_posterior

oracle = settings(max_examples=30, deadline=None, derandomize=True)


@st.composite
def labelled(draw):
    """Draw features (N, D) and labels of C classes with 1 to 12 samples, at least 2 in the first."""
    sizes = [draw(st.integers(2, 12)), *draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))]
    labels = np.repeat(np.arange(len(sizes)), sizes)
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    dim = draw(st.integers(1, 30))
    features = rng.standard_normal((len(labels), dim)) + rng.standard_normal((len(sizes), dim))[labels]
    return draw(st.sampled_from([0.3, 1.0])) * features + 2, labels


def slow_mixup(features, labels, strength):
    classes, (samples, dim) = np.unique(labels), features.shape
    means = [features[labels == c].mean(axis=0) for c in classes]
    priors = [np.mean(labels == c) for c in classes]
    within = np.zeros((dim, dim))
    for x, c in zip(features, labels, strict=True):
        within += np.outer(x - means[c], x - means[c]) / samples
    right = within.sum(axis=1)
    for _ in range(3):
        left = within @ right / np.linalg.norm(within @ right)
        right = within @ left / np.linalg.norm(within @ left)
    shrinkage = max(math.exp(-5 * right @ within @ left), 1e-10)
    inverse = np.linalg.inv((1 - shrinkage) * within + shrinkage * np.trace(within) / dim * np.eye(dim))
    perturbed = np.empty_like(features)
    for i, (x, c) in enumerate(zip(features, labels, strict=True)):
        logs = [math.log(p) - (x - m) @ inverse @ (x - m) / 2 for p, m in zip(priors, means, strict=True)]
        odds = np.exp(np.array(logs) - max(logs))
        soft = np.exp(odds / odds.sum())
        confidence = soft[c] / soft.sum()
        other_means = np.mean([m for k, m in enumerate(means) if k != c], axis=0)
        perturbed[i] = (1 - strength) * x + strength * (confidence * x + (1 - confidence) * other_means)
    return perturbed


@oracle
@given(data=labelled(), strength=st.floats(0, 2))
def test_mixup_equals_its_literal_formula(data, strength):
    np.testing.assert_allclose(mixup_means(*data, strength), slow_mixup(*data, strength), rtol=1e-6, atol=1e-7)


@oracle
@given(data=labelled())
def test_sfda_equals_a_discriminant_fitted_on_the_mixup(data):
    features, labels = data
    shrinkage = adaptive_shrinkage(class_statistics(features, labels))
    perturbed = mixup_means(features, labels)
    posterior = fitted_posterior(perturbed, class_statistics(perturbed, labels), shrinkage)
    assert sfda_released(features, labels) == pytest.approx(posterior[np.arange(len(labels)), labels].mean(), rel=1e-6)


@pytest.mark.parametrize("classes", [2, 5, 40])
def test_a_sample_of_certain_class_mixes_e_parts_of_itself_with_one_part_of_every_other_class(classes):
    rng = np.random.default_rng(0)
    labels, centres = np.repeat(np.arange(classes), 8), 100 * np.eye(classes)
    features = centres[labels] + rng.standard_normal((len(labels), classes))
    share = math.e / (math.e + classes - 1)
    means = np.array([features[labels == c].mean(axis=0) for c in range(classes)])
    other_means = (means.sum(axis=0) - means) / (classes - 1)
    perturbed = MixupMeans()(features, labels, rng)
    np.testing.assert_allclose(perturbed, share * features + (1 - share) * other_means[labels], rtol=1e-9, atol=1e-9)


def test_a_sample_of_uncertain_class_moves_further_than_one_of_certain_class():
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.normal(-3, 1, (50, 2)), rng.normal(3, 1, (50, 2)), [[2.5, 2.5]]])
    labels = np.array([0] * 50 + [1] * 50 + [0])  # The last sample lies within the other class.
    other_mean = features[labels == 1].mean(axis=0)
    perturbed = mixup_means(features, labels)
    travelled = np.linalg.norm(perturbed - features, axis=1) / np.linalg.norm(other_mean - features, axis=1)
    assert travelled[-1] == pytest.approx(math.e / (1 + math.e), rel=1e-3)
    np.testing.assert_allclose(travelled[:50], 1 / (1 + math.e), rtol=1e-3)
