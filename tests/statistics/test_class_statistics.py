"""Class statistics equal loops over classes, and input that no metric can score is refused."""

import numpy as np
import pytest

from transfer_exp.errors import InputError
from transfer_exp.statistics.class_statistics import class_statistics, streamed_statistics
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
def test_batches_give_the_statistics_of_all_samples(batch, offset):
    features = RNG.standard_normal((60, 4)) + 3 * RNG.standard_normal((5, 4))[np.sort(np.arange(60) % 5)] + offset
    codes = np.sort(np.arange(60) % 5)  # sorted, so that most batches lack most classes
    streamed = streamed_statistics((features[start : start + batch] for start in range(0, 60, batch)), codes)
    expected = class_statistics(features, codes)
    tolerance = 1e-7 if offset else 1e-9
    for name in ("counts", "mean", "offsets", "squares", "within", "between", "radii"):
        np.testing.assert_allclose(getattr(streamed, name), getattr(expected, name), rtol=1e-9, atol=tolerance)


def test_few_samples_replace_their_scatter():
    features = RNG.standard_normal((6, 9))
    in_memory, streamed = class_statistics(features, LABELS), streamed_statistics([features], LABELS)
    assert in_memory.few_samples is not None
    assert streamed.few_samples is None
    for name in ("mean", "offsets", "squares", "within", "between"):
        np.testing.assert_allclose(getattr(in_memory, name), getattr(streamed, name), atol=1e-12)
    for centred in (True, False):
        rows = (features - features.mean(axis=0) if centred else features)[np.argsort(CODES, kind="stable")]
        np.testing.assert_allclose(in_memory.smaller_gram(centred), rows @ rows.T, atol=1e-12)
        np.testing.assert_allclose(streamed.smaller_gram(centred), rows.T @ rows, atol=1e-12)


def test_radii_are_roots_of_summed_population_variances():
    expected = [np.sqrt(FEATURES[c == LABELS].var(axis=0).sum()) for c in (-1, 5, 9)]
    np.testing.assert_allclose(class_statistics(FEATURES, LABELS).radii, expected)


def test_equal_samples_have_a_scatter_of_exactly_zero():
    features = np.full((3000, 2), 0.1) * [1, 1e8]
    np.testing.assert_array_equal(class_statistics(features, np.arange(3000) % 2).radii, 0.0)
    np.testing.assert_array_equal(deviations(features, features.mean(axis=0)), 0.0)


def test_scatter_is_precise_far_from_zero():
    features = FEATURES + 1e8
    far, near = class_statistics(features, LABELS), class_statistics(FEATURES, LABELS)
    np.testing.assert_allclose(far.radii, near.radii, atol=1e-6)
    np.testing.assert_allclose(far.offsets, near.offsets, atol=1e-6)


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (FEATURES[0], LABELS, r"features have shape \(\d,\), need one row per image: pool or flatten them to \(6, D\)"),
        (FEATURES[:, :, None], LABELS, r"features have shape \(6, \d, 1\), need one row per image"),
        (FEATURES, LABELS[:4], "need features"),
        (FEATURES, LABELS.astype(float), "integers"),
        (FEATURES.astype(complex), LABELS, "real numbers"),
        (np.where(FEATURES[2, 1] == FEATURES, np.nan, FEATURES), LABELS, "row 2"),
        (FEATURES, np.zeros(6, dtype=int), "one class"),
        (FEATURES * 1e60, LABELS, "magnitude"),
        (FEATURES * 1e-60, LABELS, "magnitude"),
    ],
)
def test_input_that_no_metric_can_score_is_refused(features, labels, message):
    with pytest.raises(InputError, match=message):
        check_features(features, labels)


def test_any_real_type_is_converted_to_float64_and_zeros_are_accepted():
    for dtype in (np.float16, np.float32, np.int32, np.uint8):
        assert check_features(np.ones((6, 3), dtype=dtype), LABELS).dtype == np.float64
    assert not check_features(np.zeros((6, 3)), LABELS).any()


def test_probabilities_are_normalised_and_logits_refused():
    rounded = RNG.dirichlet(np.ones(40), 6).astype(np.float16)
    np.testing.assert_allclose(check_source_probabilities(rounded, LABELS).sum(axis=1), 1.0, rtol=1e-14)
    for invalid in (
        RNG.standard_normal((6, 4)),
        np.full((6, 4), np.nan),
        np.ones((6, 1)) * 2,
        np.ones((6, 1), dtype=int),
    ):
        with pytest.raises(InputError, match="source probabilities"):
            check_source_probabilities(invalid, LABELS)
