"""What theory says of the wider set of metrics at their extremes, and what they refuse."""

import numpy as np
import pytest
from conftest import on_samples

from transfer_exp.errors import InputError
from transfer_exp.metric.cka import cka
from transfer_exp.metric.gbc import gbc
from transfer_exp.metric.h_score import h_score
from transfer_exp.metric.knn import knn
from transfer_exp.metric.lfc import lfc
from transfer_exp.metric.linear_classifier import linear_classifier
from transfer_exp.metric.nleep import nleep
from transfer_exp.metric.parc import parc
from transfer_exp.metric.regularised_h_score import regularised_h_score
from transfer_exp.metric.transrate import transrate

LABELS = np.repeat(np.arange(4), [30, 20, 10, 5])

cka, gbc, h_score, lfc = map(on_samples, (cka, gbc, h_score, lfc))
SHARES = np.array([30, 20, 10, 5]) / 65
CONSTANT = np.full((65, 6), 0.1)
COLLAPSED = np.eye(4)[LABELS]
ALL = [cka, gbc, knn, lfc, linear_classifier, nleep, parc, regularised_h_score, transrate]


def noise(dim=6, scale=1.0, seed=3):
    return scale * np.random.default_rng(seed).standard_normal((65, dim))


@pytest.mark.parametrize("metric", ALL)
def test_every_metric_rises_as_classes_part(metric):
    scores = [metric(gap * np.eye(4, 6)[LABELS] + noise(), LABELS) for gap in (0.0, 2.0, 8.0)]
    assert scores[0] < scores[1] < scores[2]


@pytest.mark.parametrize("metric", [knn, linear_classifier, lambda x, y: 1 + nleep(x, y, 1), cka])
def test_collapsed_classes_score_one(metric):
    assert metric(COLLAPSED, LABELS) == pytest.approx(1.0, abs=1e-9)


def test_constant_features_give_the_score_of_knowing_nothing():
    assert regularised_h_score(CONSTANT, LABELS) == 0.0
    assert gbc(CONSTANT, LABELS) == gbc(CONSTANT, LABELS, "diagonal") == -12.0
    assert transrate(CONSTANT, LABELS, "tllib") == 0.0
    assert nleep(CONSTANT, LABELS) == pytest.approx((SHARES * np.log(SHARES)).sum())
    assert nleep(CONSTANT, LABELS, convention="released") == pytest.approx((SHARES**2).sum())
    # The largest class wins every vote and every fold.
    assert knn(CONSTANT, LABELS) == linear_classifier(CONSTANT, LABELS) == pytest.approx(30 / 65)


@pytest.mark.parametrize("metric", ALL)
def test_neither_order_nor_names_decide_between_equal_samples_of_different_classes(metric):
    rng = np.random.default_rng(8)
    distinct = rng.standard_normal((6, 4))
    for _ in range(5):
        features, labels = distinct[rng.integers(0, 6, 40)], np.arange(40) % 3
        order = rng.permutation(40)
        again = metric(features[order], np.array([5, -2, 1])[labels[order]])
        assert again == pytest.approx(metric(features, labels), rel=1e-9)


@pytest.mark.parametrize("metric", [cka, lfc, transrate, parc])
def test_constant_features_are_refused_where_the_score_would_be_nought_by_nought(metric):
    with pytest.raises(InputError, match=r"constant|standardised") as caught:
        metric(CONSTANT, LABELS)
    assert metric.__name__ in str(caught.value)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
@pytest.mark.parametrize("metric", [cka, knn, lfc, linear_classifier, nleep, parc, regularised_h_score, transrate])
def test_scale_is_ignored_over_sixteen_decades(metric, scale):
    features = noise() + 0.5 * np.eye(4, 6)[LABELS] + 1
    assert metric(scale * features, LABELS) == pytest.approx(metric(features, LABELS), rel=1e-6)


def test_regularised_h_score_does_not_saturate_when_dimensions_outnumber_samples():
    weak, strong = (noise(300) + gap * np.eye(4, 300)[LABELS] for gap in (0.0, 10.0))
    assert h_score(weak, LABELS) == pytest.approx(h_score(strong, LABELS)) == pytest.approx(3)
    assert regularised_h_score(weak, LABELS) < 0.5 < 1.5 < regularised_h_score(strong, LABELS) < 3 * 65 / 64


def test_regularised_h_score_approaches_the_plain_one_with_many_samples():
    labels = np.repeat(np.arange(4), 2000)
    features = np.random.default_rng(0).standard_normal((8000, 3)) * [1, 2, 9] + np.eye(4, 3)[labels]
    assert regularised_h_score(features, labels) == pytest.approx(h_score(features, labels), rel=0.01)


def test_transrate_is_never_negative_as_published_but_is_with_classes_weighted_alike():
    labels = np.concatenate([np.zeros(1000, dtype=int), np.repeat([1, 2, 3], 20)])
    features = np.where(labels == 0, 1e-4, 0.3)[:, None] * np.random.default_rng(0).standard_normal((1060, 2))
    assert transrate(features, labels) > 0 > transrate(features, labels, "tllib")
    assert transrate(noise(), LABELS) >= 0


def test_transrate_sees_the_scale_of_features_in_the_convention_of_tllib_only():
    assert transrate(9 * noise(), LABELS, "tllib") != pytest.approx(transrate(noise(), LABELS, "tllib"), rel=0.01)
    assert transrate(9 * noise(), LABELS) == pytest.approx(transrate(noise(), LABELS), rel=1e-9)


def test_transrate_of_many_copies_is_that_of_one():
    features = noise() + np.eye(4, 6)[LABELS]
    copies = np.concatenate([features] * 3), np.concatenate([LABELS] * 3)
    assert transrate(*copies) == pytest.approx(transrate(features, LABELS), rel=1e-9)


def test_gbc_lies_between_minus_all_pairs_and_zero():
    assert gbc(1e6 * COLLAPSED, LABELS) == 0.0
    for covariance in ("spherical", "diagonal"):
        assert -12 <= gbc(noise(), LABELS, covariance) < -1


def test_gbc_holds_hundreds_of_dimensions_whose_determinants_would_not():
    labels = np.arange(40) % 2
    features = 1e-3 * np.random.default_rng(0).standard_normal((40, 3000))
    assert -2 <= gbc(1e-3 * features, labels, "diagonal") < -1.99
    assert -2 <= gbc(1e5 * features, labels, "diagonal") <= 0


def test_knn_counts_the_sample_of_a_class_of_one_as_wrong():
    features = np.array([[0.0], [0.1], [5.0], [5.1], [99.0]])
    assert knn(features, np.array([0, 0, 1, 1, 2])) == 0.8


def test_knn_splits_the_credit_of_a_tied_vote():
    features, labels = np.array([[-1.0], [0.0], [1.0]]), np.array([0, 0, 1])
    # The middle one is as near to both; the outer ones have the middle one.
    assert knn(features, labels) == pytest.approx((1 + 1 / 2 + 0) / 3)


def test_lfc_sees_the_origin_and_stays_exact_far_from_it():
    features = noise() + 2 * np.eye(4, 6)[LABELS]
    assert lfc(features + 5, LABELS) != pytest.approx(lfc(features, LABELS), rel=0.1)
    # Multiples of 2^-16 are exact at either offset, and so is their shift.
    features = np.round(features * 2**16) / 2**16
    assert lfc(features + 2.0**27, LABELS) == pytest.approx(lfc(features + 2.0**22, LABELS), rel=1e-4)


def test_lfc_does_not_hang_on_how_the_mean_of_far_features_is_rounded():
    far, labels = np.random.default_rng(0).standard_normal((65, 3)) + 1e8, np.arange(65) % 4
    orders = [np.random.default_rng(seed).permutation(65) for seed in range(20)]
    scores = [lfc(far[order], labels[order]) for order in orders]
    assert np.ptp(scores) < 1e-12


def test_parc_is_blind_to_dead_dimensions_and_to_the_scale_of_each():
    features = noise() + np.eye(4, 6)[LABELS]
    scaled = np.concatenate([features * [1, 10, 100, 1e3, 1e-3, 7], CONSTANT], axis=1)
    assert np.isfinite(parc(scaled, LABELS))
    assert parc(features * [1, 10, 100, 1e3, 1e-3, 7], LABELS) == pytest.approx(parc(features, LABELS), rel=1e-9)


@pytest.mark.parametrize("metric", [nleep, linear_classifier])
def test_what_draws_at_random_is_repeatable_and_hangs_on_its_seed(metric):
    features = noise() + np.eye(4, 6)[LABELS]
    assert metric(features, LABELS, seed=1) == metric(features, LABELS, seed=1)
    assert len({metric(features, LABELS, seed=s) for s in range(6)}) > 1


def test_linear_classifier_takes_a_fold_that_leaves_one_class_to_learn_from():
    assert linear_classifier(noise()[:11], np.array([0] * 10 + [1])) == 10 / 11


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: gbc(noise(), LABELS, "full"), "covariance=full of gbc"),
        (lambda: gbc(noise()[:61], LABELS[:61]), "class 3 has one sample"),
        (lambda: transrate(noise(), LABELS, "mine"), "convention=mine of transrate"),
        (lambda: transrate(noise(), LABELS, epsilon=0.0), "epsilon=0.0 of transrate"),
        (lambda: nleep(noise(), LABELS, convention="mine"), "convention=mine of nleep"),
        (lambda: nleep(noise(), LABELS, 17), "components_per_class=17 of nleep"),
        (lambda: nleep(noise(), LABELS, 0), "components_per_class=0 of nleep"),
        (lambda: knn(noise(), LABELS, 0), "k=0 of knn"),
        (lambda: knn(noise(), LABELS, 65), "k=65 of knn"),
        (lambda: linear_classifier(noise(), LABELS, 1), "folds=1 of linear_classifier"),
        (lambda: linear_classifier(noise(), LABELS, 66), "folds=66 of linear_classifier"),
        (lambda: linear_classifier(noise(), LABELS, penalty=0.0), "penalty=0.0 of linear_classifier"),
        (lambda: parc(noise(1), LABELS), "sample 0 has equal standardised"),
        (lambda: parc(noise(), np.arange(65)), "no two samples share a class"),
    ],
)
def test_what_has_no_score_is_named(call, words):
    with pytest.raises(InputError, match=words):
        call()
