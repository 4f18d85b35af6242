"""Samples sorted by class: the same statistics as from samples in any order, and nothing where nothing varies."""

import numpy as np
import pytest
from scipy.special import softmax

from transfer_exp.statistics.class_blocks import block_rows, class_blocks
from transfer_exp.statistics.class_statistics import class_statistics, statistics_and_deviations
from transfer_exp.statistics.discriminant import block_scores, centred_features, fitted_posterior, true_log_posterior
from transfer_exp.statistics.feature_set import encode_labels


@pytest.fixture
def labelled():
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat([5, 2, 9, 4], [11, 1, 7, 20]))
    return 3 + rng.standard_normal((39, 6)) + rng.standard_normal((10, 6))[labels], labels


def test_blocks_hold_the_class_statistics(labelled):
    features, labels = labelled
    codes, counts = encode_labels(labels)
    blocks = class_blocks(features, codes, 5, features.mean(axis=0))
    assert blocks.counts.tolist() == [*counts, 0]
    assert [set(labels[blocks.order[rows]]) for rows in block_rows(blocks.counts)] == [{2}, {4}, {5}, {9}, set()]
    np.testing.assert_array_equal(blocks.codes, codes[blocks.order])
    means, squares = blocks.moments()
    groups = [features[labels == c] for c in (2, 4, 5, 9)]
    np.testing.assert_allclose(means[:4] + blocks.centre, [g.mean(axis=0) for g in groups], rtol=1e-13)
    np.testing.assert_allclose(squares[:4], [len(g) * g.var(axis=0) for g in groups], rtol=1e-11, atol=1e-12)
    assert not means[4].any()
    apart = np.concatenate([g - g.mean(axis=0) for g in groups])
    np.testing.assert_allclose(np.sort(blocks.deviations(), axis=0), np.sort(apart, axis=0), atol=1e-13)
    np.testing.assert_array_equal(blocks.deviations(1, 3), blocks.deviations()[1:32])


@pytest.mark.parametrize("rows", [1, 8, 20, 4096])
def test_the_scatter_is_the_same_in_any_number_of_goes(labelled, rows, monkeypatch):
    features, labels = labelled
    monkeypatch.setattr("transfer_exp.statistics.class_blocks._ROWS", rows)
    blocks = class_blocks(features.astype(np.float32), encode_labels(labels)[0], 4, np.zeros(6))
    apart = blocks.deviations()
    np.testing.assert_allclose(blocks.within(), apart.T @ apart, rtol=1e-12)


def test_classes_that_do_not_vary_deviate_by_exactly_nothing():
    codes = np.array([0, 1, 1, 0, 1, 2])
    features = np.array([0.1, 1e8, 1 / 3])[codes][:, None] * np.array([1.0, -0.7, 1e-5])
    blocks = class_blocks(features, codes, 3, features.mean(axis=0))
    assert not blocks.deviations().any()
    assert not blocks.within().any()


def test_scores_of_blocks_give_the_posterior_of_the_samples(labelled):
    features, labels = labelled
    statistics, codes, apart = statistics_and_deviations(features, labels)
    ours = softmax(block_scores(apart, codes, statistics.offsets, statistics.within, 0.3), axis=1)
    centred = centred_features(features, labels)
    expected = fitted_posterior(centred, class_statistics(centred, labels), 0.3)
    np.testing.assert_allclose(ours, expected[np.argsort(labels, kind="stable")], rtol=1e-9)


def test_the_true_class_keeps_its_digits_where_the_posterior_is_one():
    scores = np.array([[50.0, 0.0, 1.0], [3.0, 3.0, 3.0]])
    codes = np.array([0, 2])
    expected = [-(np.exp(-50.0) + np.exp(-49.0)), -np.log(3)]
    np.testing.assert_allclose(true_log_posterior(scores, codes), expected, rtol=1e-12)
