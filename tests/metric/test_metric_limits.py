"""Scores at the extremes that theory predicts, and rejected input."""

from dataclasses import dataclass

import numpy as np
import pytest
from conftest import on_samples

from transfer_exp.errors import InputError
from transfer_exp.metric.cka import cka
from transfer_exp.metric.gbc import gbc
from transfer_exp.metric.h_score import h_score, regularised_h_score
from transfer_exp.metric.knn import KNN, knn
from transfer_exp.metric.lda import lda
from transfer_exp.metric.leep import leep
from transfer_exp.metric.lfc import lfc
from transfer_exp.metric.linear_classifier import linear_classifier
from transfer_exp.metric.logme import logme
from transfer_exp.metric.nce import nce
from transfer_exp.metric.ncm import ncm
from transfer_exp.metric.nleep import nleep
from transfer_exp.metric.parc import parc
from transfer_exp.metric.sfda import sfda, sfda_released
from transfer_exp.metric.transrate import transrate

pytestmark = pytest.mark.slow

LABELS = np.repeat(np.arange(4), [30, 20, 10, 5])
SHARES = np.array([30, 20, 10, 5]) / 65
ENTROPY = float(-(SHARES * np.log(SHARES)).sum())
CONSTANT = np.full((65, 6), 0.1)
COLLAPSED = np.eye(4)[LABELS]

cka, gbc, h_score, lfc, logme = map(on_samples, (cka, gbc, h_score, lfc, logme))
ALL = [cka, gbc, knn, lfc, linear_classifier, nleep, parc, regularised_h_score, transrate]


def noise(dim=6, scale=1.0):
    return scale * np.random.default_rng(3).standard_normal((65, dim))


def separated(gap):
    """Return features of four classes on the axes, at distance ``gap`` from the origin."""
    return gap * np.eye(4, 6)[LABELS] + noise(scale=0.1)


@pytest.mark.parametrize("metric", [leep, nce])
def test_perfect_source_scores_zero_even_with_unused_source_classes(metric):
    assert metric(np.eye(7)[LABELS + 2], LABELS) == 0.0


@pytest.mark.parametrize("metric", [leep, nce])
def test_uninformative_source_scores_minus_the_label_entropy(metric):
    assert metric(np.full((65, 5), 0.2), LABELS) == pytest.approx(-ENTROPY)
    assert metric(np.full((8, 5), 0.2), np.arange(8) % 4) == pytest.approx(np.log(1 / 4))


@pytest.mark.parametrize("metric", [leep, nce])
@pytest.mark.parametrize("values", [np.full((65, 5), 0.3), noise(), np.tile([1.5, -0.5], (65, 1))])
def test_values_that_are_not_probabilities_are_rejected(metric, values):
    with pytest.raises(InputError, match="softmax"):
        metric(values, LABELS)


def test_leep_grows_with_confidence_in_the_true_class():
    right = np.eye(4)[LABELS]
    scores = [leep(t * right + (1 - t) / 4, LABELS) for t in (0.0, 0.3, 0.6, 0.9, 1.0)]
    assert scores == sorted(scores)
    assert scores[0] < scores[1]


def test_h_score_is_between_zero_and_its_rank_bound():
    assert h_score(CONSTANT, LABELS) == 0.0
    assert 0 < h_score(noise(2), LABELS) < 2
    assert h_score(4.0 * np.eye(4)[LABELS] + 7, LABELS) == pytest.approx(3)
    assert h_score(noise(200), LABELS) == pytest.approx(3)


def test_h_score_ignores_repeated_and_constant_dimensions():
    features = noise() + np.eye(4, 6)[LABELS]
    padded = np.concatenate([features, features[:, :2], CONSTANT], axis=1)
    assert h_score(padded, LABELS) == pytest.approx(h_score(features, LABELS), rel=1e-9)


def test_logme_rejects_zero_features_and_accepts_constant_features():
    with pytest.raises(InputError, match="zero"):
        logme(np.zeros((65, 6)), LABELS)
    assert logme(CONSTANT, LABELS) < logme(separated(3), LABELS)


def test_logme_is_finite_if_the_features_fit_every_label_exactly():
    for scale in (1.0, 1e4, 1e8):
        assert np.isfinite(logme(scale * np.eye(65), LABELS))


def test_logme_ignores_zero_dimensions_while_there_are_more_samples_than_dimensions():
    features = noise(10) + np.eye(4, 10)[LABELS]
    padded = np.concatenate([features, np.zeros((65, 40))], axis=1)
    assert logme(padded, LABELS) == pytest.approx(logme(features, LABELS), rel=1e-9)


@pytest.mark.parametrize("metric", [lda, ncm, sfda_released])
def test_posterior_is_one_for_separated_classes_and_chance_without_signal(metric):
    assert metric(separated(30), LABELS) == pytest.approx(1.0, abs=1e-6)
    assert metric(noise(1, 0.01) if metric is ncm else noise(1), LABELS) == pytest.approx((SHARES**2).sum(), abs=0.05)


def test_ncm_of_constant_features_is_the_prior():
    assert ncm(CONSTANT, LABELS) == pytest.approx((SHARES**2).sum())


@pytest.mark.parametrize("metric", [lda, sfda_released])
@pytest.mark.parametrize("features", [CONSTANT, np.eye(4)[LABELS] / 3 + 0.1], ids=["constant", "collapsed"])
def test_classes_without_variance_are_rejected(metric, features):
    with pytest.raises(InputError, match="class mean"):
        metric(features, LABELS)


def test_lda_rejects_shrinkage_that_is_out_of_range_or_too_small():
    with pytest.raises(InputError, match="shrinkage"):
        lda(noise(), LABELS, shrinkage=1.5)
    with pytest.raises(InputError, match="shrinkage 0"):
        lda(np.concatenate([noise(), np.zeros((65, 1))], axis=1), LABELS, shrinkage=0.0)


def test_lda_is_invariant_to_affine_maps_without_shrinkage_only():
    features = noise() + np.eye(4, 6)[LABELS]
    skewed = features @ np.triu(np.ones((6, 6))) + 5
    assert lda(skewed, LABELS, shrinkage=0.0) == pytest.approx(lda(features, LABELS, shrinkage=0.0), rel=1e-9)
    assert lda(skewed, LABELS, shrinkage=1.0) != pytest.approx(lda(features, LABELS, shrinkage=1.0), rel=1e-3)


def test_sfda_accepts_scatter_with_rows_that_sum_to_zero():
    features = np.outer(noise(1)[:, 0], [1.0, -1.0]) + np.eye(4, 2)[LABELS]
    centred = features - np.stack([features[c == LABELS].mean(axis=0) for c in range(4)])[LABELS]
    assert np.allclose(centred.sum(axis=1), 0)
    assert 0 < sfda_released(features, LABELS) <= 1


def test_sfda_distinguishes_models_for_which_its_release_saturates():
    features = [separated(gap) for gap in (2.5, 3)]
    assert sfda_released(features[0], LABELS) == sfda_released(features[1], LABELS) == 1.0
    assert sfda(features[0], LABELS) < sfda(features[1], LABELS) < 0


@pytest.mark.parametrize("metric", ALL)
def test_score_rises_as_classes_separate(metric):
    scores = [metric(gap * np.eye(4, 6)[LABELS] + noise(), LABELS) for gap in (0.0, 2.0, 8.0)]
    assert scores[0] < scores[1] < scores[2]


@pytest.mark.parametrize("metric", [knn, linear_classifier, lambda x, y: 1 + nleep(x, y, 1), cka])
def test_collapsed_classes_score_one(metric):
    assert metric(COLLAPSED, LABELS) == pytest.approx(1.0, abs=1e-9)


def test_constant_features_give_the_uninformed_score():
    assert regularised_h_score(CONSTANT, LABELS) == 0.0
    assert gbc(CONSTANT, LABELS) == gbc(CONSTANT, LABELS, "diagonal") == -12.0
    assert transrate(CONSTANT, LABELS, "tllib") == 0.0
    assert nleep(CONSTANT, LABELS) == pytest.approx((SHARES * np.log(SHARES)).sum())
    assert nleep(CONSTANT, LABELS, convention="released") == pytest.approx((SHARES**2).sum())
    # The largest class wins every vote and every fold.
    assert knn(CONSTANT, LABELS) == linear_classifier(CONSTANT, LABELS) == pytest.approx(30 / 65)


@pytest.mark.parametrize("metric", ALL)
def test_order_and_class_names_do_not_matter_for_equal_samples_of_different_classes(metric):
    rng = np.random.default_rng(8)
    distinct = rng.standard_normal((6, 4))
    for _ in range(5):
        features, labels = distinct[rng.integers(0, 6, 40)], np.arange(40) % 3
        order = rng.permutation(40)
        reordered = metric(features[order], np.array([5, -2, 1])[labels[order]])
        assert reordered == pytest.approx(metric(features, labels), rel=1e-9)


@pytest.mark.parametrize("metric", [cka, lfc, transrate, parc])
def test_constant_features_are_rejected_if_the_score_is_undefined(metric):
    with pytest.raises(InputError, match=r"constant|standardised") as caught:
        metric(CONSTANT, LABELS)
    assert metric.__name__ in str(caught.value)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
@pytest.mark.parametrize("metric", [cka, knn, lfc, linear_classifier, nleep, parc, regularised_h_score, transrate])
def test_score_is_invariant_to_scale_over_sixteen_decades(metric, scale):
    features = noise() + 0.5 * np.eye(4, 6)[LABELS] + 1
    assert metric(scale * features, LABELS) == pytest.approx(metric(features, LABELS), rel=1e-6)


def test_regularised_h_score_does_not_saturate_with_more_dimensions_than_samples():
    weak, strong = (noise(300) + gap * np.eye(4, 300)[LABELS] for gap in (0.0, 10.0))
    assert h_score(weak, LABELS) == pytest.approx(h_score(strong, LABELS)) == pytest.approx(3)
    assert regularised_h_score(weak, LABELS) < 0.5 < 1.5 < regularised_h_score(strong, LABELS) < 3 * 65 / 64


def test_regularised_h_score_approaches_the_h_score_with_many_samples():
    labels = np.repeat(np.arange(4), 2000)
    features = np.random.default_rng(0).standard_normal((8000, 3)) * [1, 2, 9] + np.eye(4, 3)[labels]
    assert regularised_h_score(features, labels) == pytest.approx(h_score(features, labels), rel=0.01)


def test_transrate_is_negative_only_with_equal_class_weights():
    labels = np.concatenate([np.zeros(1000, dtype=int), np.repeat([1, 2, 3], 20)])
    features = np.where(labels == 0, 1e-4, 0.3)[:, None] * np.random.default_rng(0).standard_normal((1060, 2))
    assert transrate(features, labels) > 0 > transrate(features, labels, "tllib")
    assert transrate(noise(), LABELS) >= 0


def test_transrate_depends_on_scale_only_in_the_tllib_convention():
    assert transrate(9 * noise(), LABELS, "tllib") != pytest.approx(transrate(noise(), LABELS, "tllib"), rel=0.01)
    assert transrate(9 * noise(), LABELS) == pytest.approx(transrate(noise(), LABELS), rel=1e-9)


def test_transrate_does_not_change_when_samples_are_repeated():
    features = noise() + np.eye(4, 6)[LABELS]
    copies = np.concatenate([features] * 3), np.concatenate([LABELS] * 3)
    assert transrate(*copies) == pytest.approx(transrate(features, LABELS), rel=1e-9)


def test_gbc_is_between_minus_the_number_of_ordered_pairs_and_zero():
    assert gbc(1e6 * COLLAPSED, LABELS) == 0.0
    for covariance in ("spherical", "diagonal"):
        assert -12 <= gbc(noise(), LABELS, covariance) < -1


def test_gbc_is_finite_in_thousands_of_dimensions():
    labels = np.arange(40) % 2
    features = 1e-3 * np.random.default_rng(0).standard_normal((40, 3000))
    assert -2 <= gbc(1e-3 * features, labels, "diagonal") < -1.99
    assert -2 <= gbc(1e5 * features, labels, "diagonal") <= 0


def test_knn_counts_the_only_sample_of_a_class_as_wrong():
    features = np.array([[0.0], [0.1], [5.0], [5.1], [99.0]])
    assert knn(features, np.array([0, 0, 1, 1, 2])) == 0.8


def test_knn_splits_the_credit_of_a_tied_vote():
    features, labels = np.array([[-1.0], [0.0], [1.0]]), np.array([0, 0, 1])
    # The middle sample is equally near to both outer samples, whose nearest neighbour it is.
    assert knn(features, labels) == pytest.approx((1 + 1 / 2 + 0) / 3)


def test_lfc_depends_on_the_origin_and_is_exact_far_from_it():
    features = noise() + 2 * np.eye(4, 6)[LABELS]
    assert lfc(features + 5, LABELS) != pytest.approx(lfc(features, LABELS), rel=0.1)
    # Multiples of 2^-16 are exact at both offsets.
    features = np.round(features * 2**16) / 2**16
    assert lfc(features + 2.0**27, LABELS) == pytest.approx(lfc(features + 2.0**22, LABELS), rel=1e-4)


def test_lfc_does_not_depend_on_the_rounding_of_the_mean_of_distant_features():
    far, labels = np.random.default_rng(0).standard_normal((65, 3)) + 1e8, np.arange(65) % 4
    orders = [np.random.default_rng(seed).permutation(65) for seed in range(20)]
    scores = [lfc(far[order], labels[order]) for order in orders]
    assert np.ptp(scores) < 1e-12


def test_parc_is_one_where_features_and_labels_part_the_samples_alike():
    features = np.array([[1.0, 0], [2, 1], [3, 2], [0, 1], [1, 2], [2, 3]])  # of two features, r is 1 or -1
    assert parc(features, np.array([0, 0, 0, 1, 1, 1])) == 1.0


def test_parc_ignores_constant_dimensions_and_the_scale_of_each_dimension():
    features = noise() + np.eye(4, 6)[LABELS]
    scaled = np.concatenate([features * [1, 10, 100, 1e3, 1e-3, 7], CONSTANT], axis=1)
    assert np.isfinite(parc(scaled, LABELS))
    assert parc(features * [1, 10, 100, 1e3, 1e-3, 7], LABELS) == pytest.approx(parc(features, LABELS), rel=1e-9)


@pytest.mark.parametrize("metric", [nleep, linear_classifier])
def test_random_metrics_are_repeatable_and_depend_on_the_seed(metric):
    features = noise() + np.eye(4, 6)[LABELS]
    assert metric(features, LABELS, seed=1) == metric(features, LABELS, seed=1)
    assert len({metric(features, LABELS, seed=s) for s in range(6)}) > 1


def test_linear_classifier_accepts_a_fold_with_one_class_to_fit():
    assert linear_classifier(noise()[:11], np.array([0] * 10 + [1])) == 10 / 11


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gbc(noise(), LABELS, "full"), "covariance=full of gbc"),
        (lambda: gbc(noise()[:61], LABELS[:61]), r"class 3 \(counted from 0\) has one sample"),
        (lambda: transrate(noise(), LABELS, "unknown"), "convention=unknown of transrate"),
        (lambda: transrate(noise(), LABELS, epsilon=0.0), "epsilon=0.0 of transrate"),
        (lambda: nleep(noise(), LABELS, convention="unknown"), "convention=unknown of nleep"),
        (lambda: nleep(noise(), LABELS, 17), "components_per_class=17 of nleep"),
        (lambda: nleep(noise(), LABELS, 0), "components_per_class=0 of nleep"),
        (lambda: knn(noise(), LABELS, 0), "k=0 of knn"),
        (lambda: knn(noise(), LABELS, 65), "k=65 of knn"),
        (lambda: linear_classifier(noise(), LABELS, 1), "folds=1 of linear_classifier"),
        (lambda: linear_classifier(noise(), LABELS, 66), "folds=66 of linear_classifier"),
        (lambda: linear_classifier(noise(), LABELS, penalty=0.0), "penalty=0.0 of linear_classifier"),
        (lambda: parc(noise(1), LABELS), "of sample 0 are equal, so parc cannot correlate it: it needs two or more"),
        (lambda: parc(noise(), np.arange(65)), "no two samples share a class"),
    ],
)
def test_invalid_options_and_undefined_scores_are_rejected(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_a_subclass_of_a_metric_may_have_further_fields():
    @dataclass(frozen=True)
    class Noted(KNN):
        note: str = "mine"

    assert Noted(k=3)(COLLAPSED, LABELS) == KNN(k=3)(COLLAPSED, LABELS) == 1
