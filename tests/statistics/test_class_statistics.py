"""Class statistics against the loops they replace, and the checks that come before them."""

import numpy as np
import pytest

from transfer_exp.errors import InputError
from transfer_exp.statistics.class_statistics import Accumulator, class_statistics
from transfer_exp.statistics.feature_set import check_features, check_source_probabilities
from transfer_exp.statistics.rounding import deviations

RNG = np.random.default_rng(0)
LABELS = np.array([5, 5, 5, -1, -1, 9])
FEATURES = RNG.standard_normal((6, 3)) + 4
CODES, COUNTS = np.array([1, 1, 1, 0, 0, 2]), np.array([2, 3, 1])


def test_statistics_equal_loops_over_classes():
    statistics = class_statistics(FEATURES, LABELS)
    groups = [FEATURES[c == LABELS] for c in (-1, 5, 9)]
    np.testing.assert_array_equal(statistics.counts, COUNTS)
    np.testing.assert_allclose(statistics.means, [g.mean(axis=0) for g in groups])
    within = sum((g - g.mean(axis=0)).T @ (g - g.mean(axis=0)) for g in groups)
    np.testing.assert_allclose(statistics.within, within, atol=1e-12)
    np.testing.assert_allclose(statistics.mean, FEATURES.mean(axis=0))
    total = (FEATURES - FEATURES.mean(axis=0)).T @ (FEATURES - FEATURES.mean(axis=0))
    np.testing.assert_allclose(statistics.within + statistics.between, total, atol=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1e8])
@pytest.mark.parametrize("batch", [1, 7, 60])
def test_batches_gather_to_the_statistics_of_the_whole(batch, offset):
    features = RNG.standard_normal((60, 4)) + 3 * RNG.standard_normal((5, 4))[np.sort(np.arange(60) % 5)] + offset
    codes = np.sort(np.arange(60) % 5)  # a class at a time, so that most batches lack most classes
    gathered = Accumulator(5)
    for start in range(0, 60, batch):
        gathered.add(features[start : start + batch], codes[start : start + batch])
    ours, whole = gathered.statistics(), class_statistics(features, codes)
    for name in ("counts", "mean", "offsets", "squares", "within", "between", "radii"):
        np.testing.assert_allclose(getattr(ours, name), getattr(whole, name), rtol=1e-9, atol=1e-7 if offset else 1e-9)


def test_few_samples_stand_for_their_scatter():
    wide = RNG.standard_normal((6, 9))
    few, many = class_statistics(wide, LABELS), Accumulator(3)
    many.add(wide, CODES)
    assert few.few is not None
    assert many.statistics().few is None
    for name in ("mean", "offsets", "squares", "within", "between"):
        np.testing.assert_allclose(getattr(few, name), getattr(many.statistics(), name), atol=1e-12)
    for centred in (True, False):
        rows = (wide - wide.mean(axis=0) if centred else wide)[np.argsort(CODES, kind="stable")]
        np.testing.assert_allclose(few.smaller_gram(centred), rows @ rows.T, atol=1e-12)
        np.testing.assert_allclose(many.statistics().smaller_gram(centred), rows.T @ rows, atol=1e-12)


def test_radii_are_population_standard_deviations_summed_in_square():
    expected = [np.sqrt(FEATURES[c == LABELS].var(axis=0).sum()) for c in (-1, 5, 9)]
    np.testing.assert_allclose(class_statistics(FEATURES, LABELS).radii, expected)


def test_equal_samples_have_no_scatter_at_all():
    features = np.full((3000, 2), 0.1) * [1, 1e8]
    np.testing.assert_array_equal(class_statistics(features, np.arange(3000) % 2).radii, 0.0)
    np.testing.assert_array_equal(deviations(features, features.mean(axis=0)), 0.0)


def test_real_scatter_on_a_large_offset_survives():
    features = FEATURES + 1e8
    far, near = class_statistics(features, LABELS), class_statistics(FEATURES, LABELS)
    np.testing.assert_allclose(far.radii, near.radii, atol=1e-6)
    np.testing.assert_allclose(far.offsets, near.offsets, atol=1e-6)


@pytest.mark.parametrize(
    ("features", "labels", "words"),
    [
        (FEATURES[0], LABELS, "need features"),
        (FEATURES, LABELS[:4], "need features"),
        (FEATURES, LABELS.astype(float), "integers"),
        (FEATURES.astype(complex), LABELS, "real numbers"),
        (np.where(FEATURES[2, 1] == FEATURES, np.nan, FEATURES), LABELS, "row 2"),
        (FEATURES, np.zeros(6, dtype=int), "one class"),
        (FEATURES * 1e60, LABELS, "magnitude"),
        (FEATURES * 1e-60, LABELS, "magnitude"),
    ],
)
def test_what_no_metric_can_score_is_named(features, labels, words):
    with pytest.raises(InputError, match=words):
        check_features(features, labels)


def test_any_real_type_becomes_float64_and_zeros_pass():
    for dtype in (np.float16, np.float32, np.int32, np.uint8):
        assert check_features(np.ones((6, 3), dtype=dtype), LABELS).dtype == np.float64
    assert not check_features(np.zeros((6, 3)), LABELS).any()


def test_probabilities_are_made_to_sum_to_one_and_logits_refused():
    rough = RNG.dirichlet(np.ones(40), 6).astype(np.float16)
    np.testing.assert_allclose(check_source_probabilities(rough, LABELS).sum(axis=1), 1.0, rtol=1e-14)
    for bad in (
        RNG.standard_normal((6, 4)),
        np.full((6, 4), np.nan),
        np.ones((6, 1)) * 2,
        np.ones((6, 1), dtype=int),
    ):
        with pytest.raises(InputError, match="source probabilities"):
            check_source_probabilities(bad, LABELS)
