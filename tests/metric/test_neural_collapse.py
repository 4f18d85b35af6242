"""Limits of the metrics of neural collapse and of the de-biased metrics."""

import numpy as np
import pytest
from conftest import on_samples

from transfer_exp.errors import InputError
from transfer_exp.metric.disco import disco
from transfer_exp.metric.h_score import debiased_h_score
from transfer_exp.metric.logme import debiased_logme, logme
from transfer_exp.metric.neural_collapse import cdnv, nc1, trace_ratio
from transfer_exp.metric.sfda import debiased_sfda, sfda_released

LABELS = np.repeat(np.arange(4), [30, 20, 10, 5])
CONSTANT = np.full((65, 6), 0.1)
COLLAPSED = np.eye(4)[LABELS]

nc1, trace_ratio, cdnv, logme, debiased_logme = map(on_samples, (nc1, trace_ratio, cdnv, logme, debiased_logme))
COLLAPSE = [nc1, trace_ratio, cdnv]


def noise(dim=6, scale=1.0, seed=3):
    return scale * np.random.default_rng(seed).standard_normal((65, dim))


@pytest.mark.parametrize("metric", COLLAPSE)
def test_collapsed_classes_score_zero_and_spread_lowers_the_score_with_its_square(metric):
    assert metric(COLLAPSED, LABELS) == 0.0
    centred = noise(4) - np.stack([noise(4)[c == LABELS].mean(axis=0) for c in range(4)])[LABELS]
    narrow, wide = (metric(COLLAPSED + width * centred, LABELS) for width in (0.1, 0.2))
    assert wide == pytest.approx(4 * narrow, rel=1e-9)
    assert narrow < 0


@pytest.mark.parametrize("metric", COLLAPSE)
def test_equal_class_means_are_rejected(metric):
    with pytest.raises(InputError, match="equal"):
        metric(CONSTANT, LABELS)
    with pytest.raises(InputError, match="equal"):
        metric(np.tile([[1.0], [-1.0]], (40, 1)), np.repeat(np.arange(4), 20))


def test_two_classes_at_one_mean_are_infinite_for_pairs_only():
    features = np.concatenate([noise(3)[:20], noise(3)[:20] + 0.0, noise(3)[:20] + 5])
    labels = np.repeat(np.arange(3), 20)
    assert np.isfinite(nc1(features, labels))
    with pytest.raises(InputError, match="classes 0 and 1 have equal means"):
        cdnv(features, labels)


def test_weighting_does_not_matter_for_classes_of_equal_size():
    labels = np.arange(60) % 3
    features = noise()[:60] + np.eye(3, 6)[labels]
    assert trace_ratio(features, labels, True) == pytest.approx(trace_ratio(features, labels), rel=1e-9)


def test_nc1_is_the_same_from_samples_and_from_the_scatter():
    features = noise(40) + 5 * np.eye(4, 40)[LABELS]
    # Zero dimensions change nothing but let N <= D.
    padded = np.concatenate([features, np.zeros((65, 60))], axis=1)
    assert nc1(padded, LABELS) == pytest.approx(nc1(features, LABELS), rel=1e-9)


def test_debiased_h_score_of_noise_is_about_zero_where_the_h_score_is_not():
    labels = np.arange(400) % 20
    rng = np.random.default_rng(0)
    scores = [debiased_h_score(rng.standard_normal((400, 30)), labels) for _ in range(20)]
    assert abs(np.mean(scores)) < 0.1  # The H-score is about 30 * 19 / 400 = 1.4.


def test_debiased_h_score_ranks_nothing_with_more_dimensions_than_samples():
    weak, strong = (noise(300) + gap * np.eye(4, 300)[LABELS] for gap in (0.0, 10.0))
    assert debiased_h_score(weak, LABELS) == debiased_h_score(strong, LABELS) == pytest.approx(0.0, abs=1e-12)
    assert debiased_h_score(CONSTANT, LABELS) == 0.0


def test_unused_dimensions_lower_the_debiased_logme_only():
    features = noise(4) + np.eye(4)[LABELS]
    scores = [
        (logme(x, LABELS), debiased_logme(x, LABELS))
        for x in (features, *(np.concatenate([features, np.zeros((65, n))], axis=1) for n in (10, 20)))
    ]
    assert scores[0][0] == pytest.approx(scores[1][0], rel=1e-9)
    assert scores[1][0] == pytest.approx(scores[2][0], rel=1e-9)
    assert scores[0][1] - scores[1][1] == pytest.approx(scores[1][1] - scores[2][1], rel=1e-9)
    assert scores[0][1] > scores[1][1]


def test_debiased_sfda_is_below_the_released_score_and_leaves_out_what_only_the_sample_supports():
    features = noise(20)
    assert debiased_sfda(features, LABELS) < sfda_released(features, LABELS)
    with pytest.raises(InputError, match="shrinkage=none of debiased_sfda"):
        debiased_sfda(features, LABELS, "none")


def test_disco_counts_only_the_leading_components():
    signal = np.concatenate([COLLAPSED[:, :1] + noise(1, 0.1), noise(1, 9)], axis=1)
    assert disco(signal, LABELS, 1) < disco(signal, LABELS, 2)
    assert disco(CONSTANT, LABELS) == 0.0
    with pytest.raises(InputError, match="components=0 of disco"):
        disco(signal, LABELS, 0)
