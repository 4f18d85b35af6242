"""Many moves of whole classes scored at once: as each is by itself, for every metric that offers it."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_metric_contract import METRICS

from transfer_exp.errors import InputError
from transfer_exp.metric.gbc import GBC
from transfer_exp.metric.h_score import HScore
from transfer_exp.metric.lda import LDA
from transfer_exp.metric.logme import LogME
from transfer_exp.metric.logme_over_moves import logme_over_moves
from transfer_exp.metric.metric import MetricOverMoves
from transfer_exp.metric.sfda import SFDA
from transfer_exp.metric.sfda_released import SFDAReleased
from transfer_exp.perturbation.attract import Attract
from transfer_exp.perturbation.perturbation import ClassMixing
from transfer_exp.statistics.class_statistics import class_statistics
from transfer_exp.statistics.moving_classes import MovingClasses, moving_classes

OVER_MOVES = [p.values[0] for p in METRICS if isinstance(p.values[0], MetricOverMoves)] + [
    GBC("diagonal"),
    LDA(0.05),
]
GRID = [
    Attract(0.0),
    Attract(0.1, 0.6),
    Attract(0.7, 0.0),
    Attract(0.3, 1.5, clamp=False),
    Attract(0.2, 0.6, sign="released", clamp=False),
    Attract(0.05, 0.3, normalise=False),
]
RNG = np.random.default_rng(0)
oracle = settings(max_examples=25, deadline=None, derandomize=True)


def after_moves(metric, features, labels, grid=GRID):
    """Return the scores over the grid at once, then one by one from the moved features."""
    classes = moving_classes(features, labels)
    if metric.inputs == ("class_statistics",):
        classes = MovingClasses(class_statistics(features, labels))
    mixings = np.array([cell.mixing(classes.coordinates, classes.statistics.radii) for cell in grid])
    moved = [cell(features, labels, RNG) for cell in grid]
    if metric.inputs == ("class_statistics",):
        one_by_one = [metric(class_statistics(values, labels)) for values in moved]
    else:
        one_by_one = [metric(values, labels) for values in moved]
    return metric.over_moves(classes, mixings), np.array(one_by_one)


def made(samples, dim, classes, gap=0.7, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(samples) % classes)
    return rng.standard_normal((samples, dim)) + gap * rng.standard_normal((classes, dim))[labels], labels


def test_the_metrics_that_only_class_moves_need_offer_them():
    assert {m.name for m in OVER_MOVES} >= {"logme", "sfda", "lda", "gbc", "h_score"}


@st.composite
def labelled(draw):
    """Draw features (N, D) of C uneven classes of at least 2, N above or below D, some dimensions dead or copied."""
    classes = draw(st.integers(2, 6))
    sizes = draw(st.lists(st.integers(2, 25), min_size=classes, max_size=classes))
    labels = np.repeat(np.arange(classes), sizes) * 3 - 4
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    labels, dim = rng.permutation(labels), draw(st.integers(1, 30))
    features = rng.standard_normal((len(labels), dim)) + 0.7 * rng.standard_normal((classes, dim))[(labels + 4) // 3]
    shape = draw(st.sampled_from(["full", "dead", "copied", "rectified"]))
    if shape == "dead":
        features[:, : dim // 2] = 0.3
    if shape == "copied":
        features = np.hstack([features, features[:, : dim // 2]])
    if shape == "rectified":
        features = np.maximum(features, 0.0)
    features[0] += 0.01  # so that not all are zero
    return features * draw(st.sampled_from([0.1, 1.0, 30.0])), labels


@pytest.mark.parametrize("metric", OVER_MOVES, ids=repr)
@oracle
@given(data=labelled())
def test_many_moves_at_once_score_as_one_by_one(metric, data):
    at_once, one_by_one = after_moves(metric, *data)
    np.testing.assert_allclose(at_once, one_by_one, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("metric", OVER_MOVES, ids=repr)
@pytest.mark.parametrize("shape", [(200, 12, 5), (60, 59, 4), (60, 60, 4), (40, 90, 3)], ids=str)
def test_without_strength_a_move_scores_as_no_move_and_others_do_not(metric, shape):
    features, labels = made(*shape)
    at_once, _ = after_moves(metric, features, labels)
    value = class_statistics(features, labels)
    unmoved = metric(value) if metric.inputs == ("class_statistics",) else metric(features, labels)
    assert at_once[0] == pytest.approx(unmoved, rel=1e-9)
    if shape[0] > 3 * shape[1]:  # else most scores are at their bound whatever the move
        assert abs(np.diff(at_once[:3])).min() > 1e-4 * abs(unmoved)


@pytest.mark.parametrize("metric", [LogME(), SFDA(), SFDAReleased(), LDA(), HScore()], ids=lambda m: m.name)
@pytest.mark.parametrize("dim", [5, 40])
def test_a_class_of_one_sample_moves_like_any_other(metric, dim):
    features, labels = made(30, dim, 3)
    labels[4] = 9
    at_once, one_by_one = after_moves(metric, features, labels)
    np.testing.assert_allclose(at_once, one_by_one, rtol=1e-8)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("shift", [0.0, 30.0])
def test_logme_holds_on_low_rank_and_rectified_features_of_any_scale(scale, shift):
    rng = np.random.default_rng(3)
    labels = np.arange(400) % 9
    latent = rng.standard_normal((400, 6)) + rng.standard_normal((9, 6))[labels]
    low_rank = latent @ rng.standard_normal((6, 48)) + 0.01 * rng.standard_normal((400, 48))
    rectified = np.maximum(low_rank - 3, 0) * (np.arange(48) > 7)
    for features in (low_rank, rectified.astype(np.float32)):
        at_once, one_by_one = after_moves(LogME(), scale * (features + shift), labels)
        np.testing.assert_allclose(at_once, one_by_one, rtol=1e-8)


def test_logme_scores_by_itself_what_would_drown_in_rounding():
    rng = np.random.default_rng(1)
    labels = np.arange(60) % 6  # more classes than dimensions, and far apart
    features = 1e6 * rng.standard_normal((6, 2))[labels] + rng.standard_normal((60, 2))
    classes = moving_classes(features, labels)
    mixings = np.array([cell.mixing(classes.coordinates, classes.statistics.radii) for cell in GRID])
    assert np.isnan(logme_over_moves(classes, mixings)).all()
    at_once, one_by_one = after_moves(LogME(), features, labels)
    np.testing.assert_allclose(at_once, one_by_one, rtol=1e-8)


def test_sfda_subtracts_only_what_unsure_samples_fall_short_of():
    for gap, scale in ((0.2, 1.0), (1.0, 1.0), (6.0, 1.0), (0.5, 0.1)):
        features, labels = made(150, 10, 4, gap)
        at_once, one_by_one = after_moves(SFDA(), scale * features, labels)
        np.testing.assert_allclose(at_once, one_by_one, rtol=1e-10)


def test_h_score_scores_by_itself_what_has_no_scatter_along_the_class_means():
    features, labels = made(80, 6, 4)
    apart = np.eye(4)[labels] * 3.0  # classes differ here, and nothing else does
    at_once, one_by_one = after_moves(HScore(), np.hstack([features, apart]), labels)
    np.testing.assert_allclose(at_once, one_by_one, rtol=1e-9)
    np.testing.assert_allclose(at_once[0], 3.0, rtol=1e-9)


@pytest.mark.parametrize(
    ("metric", "features", "words"),
    [
        (LDA(), np.eye(3)[np.arange(12) % 3], "every sample equals its class mean"),
        (SFDA(), np.eye(3)[np.arange(12) % 3], "every sample equals its class mean"),
        (LogME(), np.zeros((12, 3)), "every feature is zero"),
        (LDA(2.0), np.random.default_rng(0).standard_normal((12, 3)), "shrinkage=2.0"),
    ],
)
def test_what_one_move_refuses_many_refuse_too(metric, features, words):
    classes = moving_classes(features, np.arange(12) % 3)
    with pytest.raises(InputError, match=words):
        metric.over_moves(classes, np.eye(3)[None])


def test_gbc_refuses_a_class_of_one_sample_over_moves_too():
    features, labels = made(12, 3, 3)
    labels[0] = 7
    with pytest.raises(InputError, match="class 3 has one sample"):
        GBC().over_moves(moving_classes(features, labels), np.eye(4)[None])


@oracle
@given(data=labelled(), cell=st.sampled_from(GRID))
def test_a_mixing_gives_the_moved_means_from_any_origin_in_any_basis(data, cell):
    assert isinstance(cell, ClassMixing)
    features, labels = data
    classes, moved = moving_classes(features, labels), class_statistics(cell(features, labels, RNG), labels)
    statistics, largest = classes.statistics, np.abs(classes.statistics.offsets).max()
    for means in (statistics.means, statistics.offsets, classes.coordinates):
        mixing = cell.mixing(means, statistics.radii)
        np.testing.assert_allclose(mixing.sum(axis=1), 1.0, rtol=1e-9)
        np.testing.assert_allclose(mixing @ statistics.means, moved.means, rtol=1e-7, atol=1e-7 * largest)
        centred = classes.centred(mixing) @ statistics.offsets
        np.testing.assert_allclose(centred, moved.offsets, rtol=1e-7, atol=1e-7 * largest)
        followed = classes.moved(mixing)
        np.testing.assert_allclose(followed.offsets, moved.offsets, rtol=1e-7, atol=1e-7 * largest)
        assert followed.squares is statistics.squares


def test_samples_are_kept_class_by_class():
    features, labels = made(50, 4, 3)
    classes = moving_classes(features, labels)
    assert classes.codes.tolist() == sorted(labels.tolist())
    for c, (start, end) in enumerate(pairwise([0, *np.cumsum(classes.statistics.counts)])):
        own = features[labels == c]
        np.testing.assert_allclose(classes.deviations[start:end], own - own.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(classes.deviations.T @ classes.deviations, classes.statistics.within)
