"""Samples sorted by class: the same statistics as from samples in any order, and nothing where nothing varies."""

import numpy as np
import pytest

from transfer_exp.types import class_statistics, encode_labels
from transfer_exp.types.class_blocks import block_rows, block_statistics, class_blocks
from transfer_exp.types.discriminant import block_posterior, centred_features, fitted_posterior


@pytest.fixture
def labelled():
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat([5, 2, 9, 4], [11, 1, 7, 20]))
    return 3 + rng.standard_normal((39, 6)) + rng.standard_normal((10, 6))[labels], labels


def test_blocks_hold_the_class_statistics(labelled):
    features, labels = labelled
    codes, counts = encode_labels(labels)
    order, offsets, deviations = class_blocks(features, codes, counts)
    blocks, statistics = block_statistics(counts, offsets, deviations), class_statistics(features, labels)
    np.testing.assert_allclose(blocks.means + features.mean(axis=0), statistics.means, rtol=1e-13)
    np.testing.assert_allclose(blocks.within, statistics.within, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(blocks.squares, statistics.squares, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(deviations + offsets[codes[order]] + features.mean(axis=0), features[order])
    assert [set(labels[order[rows]]) for rows in block_rows(counts)] == [{2}, {4}, {5}, {9}]


def test_classes_that_do_not_vary_deviate_by_exactly_nothing():
    codes = np.array([0, 1, 1, 0, 1, 2])
    features = np.array([0.1, 1e8, 1 / 3])[codes][:, None] * np.array([1.0, -0.7, 1e-5])
    _, _, deviations = class_blocks(features, codes, np.bincount(codes))
    assert not deviations.any()


def test_the_posterior_of_blocks_is_that_of_the_samples(labelled):
    features, labels = labelled
    codes, counts = encode_labels(labels)
    order, _, deviations = class_blocks(features, codes, counts)
    centred = centred_features(features, labels)
    statistics = class_statistics(centred, labels)
    expected = fitted_posterior(centred, statistics, 0.3)[order]
    np.testing.assert_allclose(block_posterior(deviations, codes[order], statistics, 0.3), expected, rtol=1e-9)
