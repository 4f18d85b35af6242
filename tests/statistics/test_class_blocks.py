"""Samples sorted by class give the statistics of the same samples in any order."""

import numpy as np
import pytest
from scipy.special import softmax

from transfer_exp.statistics.class_statistics import (
    block_rows,
    class_statistics,
    sort_by_class,
    statistics_and_deviations,
)
from transfer_exp.statistics.discriminant import (
    centred_features,
    discriminant_scores,
    fitted_posterior,
    true_log_posterior,
)
from transfer_exp.statistics.feature_set import encode_labels


@pytest.fixture
def labelled_features():
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat([5, 2, 9, 4], [11, 1, 7, 20]))
    return 3 + rng.standard_normal((39, 6)) + rng.standard_normal((10, 6))[labels], labels


def test_blocks_give_the_means_and_squares_of_every_class(labelled_features):
    features, labels = labelled_features
    codes, counts = encode_labels(labels)
    blocks = sort_by_class(features, codes, 5, features.mean(axis=0))
    assert blocks.counts.tolist() == [*counts, 0]
    assert [set(labels[blocks.order[rows]]) for rows in block_rows(blocks.counts)] == [{2}, {4}, {5}, {9}, set()]
    np.testing.assert_array_equal(blocks.codes, codes[blocks.order])
    means, squares = blocks.moments()
    members = [features[labels == c] for c in (2, 4, 5, 9)]
    np.testing.assert_allclose(means[:4] + blocks.centre, [g.mean(axis=0) for g in members], rtol=1e-13)
    np.testing.assert_allclose(squares[:4], [len(g) * g.var(axis=0) for g in members], rtol=1e-11, atol=1e-12)
    assert not means[4].any()
    expected = np.concatenate([g - g.mean(axis=0) for g in members])
    np.testing.assert_allclose(np.sort(blocks.deviations(), axis=0), np.sort(expected, axis=0), atol=1e-13)
    np.testing.assert_array_equal(blocks.deviations(1, 3), blocks.deviations()[1:32])


@pytest.mark.parametrize("batch", [1, 8, 20, 4096])
def test_the_scatter_does_not_depend_on_the_batch_size(labelled_features, batch, monkeypatch):
    features, labels = labelled_features
    monkeypatch.setattr("transfer_exp.statistics.class_statistics._BATCH", batch)
    blocks = sort_by_class(features.astype(np.float32), encode_labels(labels)[0], 4, np.zeros(6))
    deviations = blocks.deviations()
    np.testing.assert_allclose(blocks.scatter(), deviations.T @ deviations, rtol=1e-12)


def test_constant_classes_have_deviations_of_exactly_zero():
    codes = np.array([0, 1, 1, 0, 1, 2])
    features = np.array([0.1, 1e8, 1 / 3])[codes][:, None] * np.array([1.0, -0.7, 1e-5])
    blocks = sort_by_class(features, codes, 3, features.mean(axis=0))
    assert not blocks.deviations().any()
    assert not blocks.scatter().any()


def test_discriminant_scores_give_the_fitted_posterior(labelled_features):
    features, labels = labelled_features
    statistics, codes, deviations = statistics_and_deviations(features, labels)
    probabilities = softmax(discriminant_scores(deviations, codes, statistics.offsets, statistics.within, 0.3), axis=1)
    centred = centred_features(features, labels)
    expected = fitted_posterior(centred, class_statistics(centred, labels), 0.3)
    np.testing.assert_allclose(probabilities, expected[np.argsort(labels, kind="stable")], rtol=1e-9)


def test_the_log_posterior_is_precise_where_the_posterior_rounds_to_one():
    scores = np.array([[50.0, 0.0, 1.0], [3.0, 3.0, 3.0]])
    codes = np.array([0, 2])
    expected = [-(np.exp(-50.0) + np.exp(-49.0)), -np.log(3)]
    np.testing.assert_allclose(true_log_posterior(scores, codes), expected, rtol=1e-12)
