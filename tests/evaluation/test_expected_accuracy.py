"""Expected accuracy: the angle and its inverse, a fit that finds what it was made from, and what must hold of any."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from transfer_exp.errors import InputError
from transfer_exp.evaluation.expected_accuracy import (
    Calibration,
    ScoredPool,
    accuracy_at,
    angle,
    expected_accuracies,
    fit_calibration,
    predicted_angles,
)

ANCHORED = Calibration(0.05, 0.8, 0.1, 0.06, 4, 0.08, 90)
ALONE = Calibration(0.9, None, 0.1, 0.2, 4, 0.08, 90)

sizes = st.integers(1, 8)
classes = st.integers(2, 400)
shares = st.floats(0, 1)
scores = st.floats(-1e300, 1e300)
slopes = st.floats(0, 2)
BOTH = st.booleans()


@st.composite
def pools(draw, anchored=BOTH):
    size = draw(sizes)
    anchors = draw(arrays(np.float64, size, elements=shares)) if draw(anchored) else None
    return ScoredPool(draw(arrays(np.float64, size, elements=scores)), draw(classes), anchors)


@st.composite
def calibrations(draw, anchored):
    return Calibration(
        shift=draw(st.floats(-2, 2)),
        anchor_slope=draw(slopes) if anchored else None,
        score_slope=draw(slopes),
        between=draw(slopes),
        between_df=draw(st.integers(1, 30)),
        within=draw(slopes),
        within_df=draw(st.integers(1, 300)),
    )


def drawn(rng, datasets=400, models=30, calibration=ANCHORED):
    """Return pools and accuracies that follow a calibration: far from 0 and 1, so that nothing is cut off."""
    found, truth = [], []
    for _ in range(datasets):
        level = rng.uniform(0.5, 0.9)
        anchors = None if calibration.anchor_slope is None else accuracy_at(rng.normal(level, 0.05, models), 10)
        pool = ScoredPool(rng.standard_normal(models), 10, anchors)
        noise = rng.normal(0, calibration.between) + rng.normal(0, calibration.within, models)
        found.append(pool)
        truth.append(accuracy_at(predicted_angles(calibration, pool) + noise, 10))
    return found, truth


@given(shares, classes)
def test_an_angle_goes_back_to_its_accuracy_or_to_chance(share, count):
    back = accuracy_at(angle(np.array([share]), count), count)
    assert back[0] == pytest.approx(max(share, 1 / count), abs=1e-12)


def test_angles_worked_by_hand():
    assert angle(np.array([0.0, 0.1, 0.55, 1.0]), 10) == pytest.approx([0, 0, np.pi / 4, np.pi / 2])
    assert accuracy_at(np.array([-1.0, 0.0, np.pi / 4, 4.0]), 2) == pytest.approx([0.5, 0.5, 0.75, 1.0])


def test_an_angle_varies_alike_wherever_the_accuracy_lies():
    rng = np.random.default_rng(0)
    spread = [angle(rng.binomial(400, p, 4000) / 400, 10**6).std() for p in (0.2, 0.6, 0.9)]
    assert spread == pytest.approx([1 / (2 * np.sqrt(400))] * 3, rel=0.06)


@pytest.mark.parametrize("known", [ANCHORED, ALONE])
def test_a_fit_finds_what_the_accuracies_were_made_from(known):
    found = fit_calibration(*drawn(np.random.default_rng(0), calibration=replace(known, between=0.04, within=0.05)))
    assert found.shift == pytest.approx(known.shift, abs=0.01)
    assert found.score_slope == pytest.approx(0.1, abs=0.005)
    assert found.anchor_slope is None or found.anchor_slope == pytest.approx(0.8, abs=0.03)
    assert (found.between, found.within) == pytest.approx((0.04, 0.05), rel=0.12)
    assert (found.between_df, found.within_df) == (399, 400 * 29 - (1 if known is ALONE else 2))


def test_a_fit_is_the_formula_written_out():
    pools, truth = drawn(np.random.default_rng(1), datasets=4, models=6)
    level = [angle(p.anchors, 10).mean() for p in pools]
    y = [angle(t, 10) for t in truth]
    x = [np.stack([angle(p.anchors, 10) - a, stats.zscore(p.scores)], 1) for p, a in zip(pools, level, strict=True)]
    slopes = np.linalg.lstsq(np.concatenate(x), np.concatenate([v - v.mean() for v in y]), rcond=None)[0]
    assert (slopes > 0).all(), "or least squares is not the oracle of the non-negative one"
    left = np.array([v - a - own @ slopes for v, a, own in zip(y, level, x, strict=True)])
    found = fit_calibration(pools, truth)
    assert (found.anchor_slope, found.score_slope) == pytest.approx(tuple(slopes))
    assert found.shift == pytest.approx(left.mean())
    assert found.between == pytest.approx(left.mean(axis=1).std(ddof=1) * np.sqrt(5 / 4))
    within = left - left.mean(axis=1, keepdims=True)
    assert found.within == pytest.approx(np.sqrt((within**2).sum() / (4 * 5 - 2)))


def test_a_score_that_ranks_the_wrong_way_round_is_not_followed():
    pools, truth = drawn(np.random.default_rng(0), datasets=5, calibration=ALONE)
    assert fit_calibration([replace(pool, scores=-pool.scores) for pool in pools], truth).score_slope == 0


def test_intervals_hold_their_share_of_new_datasets():
    levels = (0.5, 0.8, 0.95)
    inside = []
    for seed in range(100):
        pools, truth = drawn(np.random.default_rng(seed), datasets=6, models=12)
        calibration = fit_calibration(pools[:5], truth[:5])
        found = [expected_accuracies(calibration, pools[5], level) for level in levels]
        inside.append([((own.low <= truth[5]) & (truth[5] <= own.high)).mean() for own in found])
    assert np.mean(inside, axis=0) == pytest.approx(levels, abs=0.06)


@given(st.data())
def test_whatever_is_expected_is_an_accuracy_inside_its_interval(data):
    pool = data.draw(pools())
    found = expected_accuracies(
        data.draw(calibrations(pool.anchors is not None)), pool, data.draw(st.floats(0.01, 0.99))
    )
    assert (1 / pool.classes - 1e-12 <= found.low).all()
    assert (found.low <= found.accuracies).all()
    assert (found.accuracies <= found.high).all()
    assert (found.high <= 1).all()


@given(st.data())
def test_a_better_score_never_lowers_what_is_expected(data):
    pool = data.draw(pools(anchored=st.just(False)))
    found = expected_accuracies(data.draw(calibrations(False)), pool).accuracies
    assert (np.diff(found[np.argsort(pool.scores, kind="stable")]) >= 0).all()
    equal = replace(pool, anchors=np.full(len(pool.scores), data.draw(shares)))
    beside = expected_accuracies(data.draw(calibrations(True)), equal).accuracies
    assert (np.diff(beside[np.argsort(pool.scores, kind="stable")]) >= 0).all()


@given(st.data(), st.floats(0.01, 100), st.floats(-100, 100))
def test_the_unit_of_the_scores_and_the_order_of_the_models_do_not_matter(data, factor, offset):
    values = data.draw(st.lists(st.integers(-50, 50), min_size=2, max_size=8))
    pool = ScoredPool(np.array(values, dtype=float), 10)
    found = expected_accuracies(ALONE, pool).accuracies
    moved = expected_accuracies(ALONE, replace(pool, scores=factor * pool.scores + offset)).accuracies
    assert moved == pytest.approx(found, abs=1e-6)
    order = np.array(data.draw(st.permutations(range(len(values)))))
    assert expected_accuracies(ALONE, replace(pool, scores=pool.scores[order])).accuracies == pytest.approx(
        found[order]
    )


def test_what_says_nothing_moves_nothing():
    for scores in (np.full(3, 0.1), np.zeros(3), 7 + np.array([0, 1e-15, 2e-15])):
        alike = expected_accuracies(ALONE, ScoredPool(scores, 10)).accuracies
        assert alike == pytest.approx(accuracy_at(np.full(3, 0.9), 10))
    one = expected_accuracies(ANCHORED, ScoredPool(np.array([7.0]), 10, np.array([0.7])))
    assert one.accuracies == pytest.approx(accuracy_at(angle(np.array([0.7]), 10) + 0.05, 10))


def test_an_interval_grows_with_the_level_and_vanishes_without_a_spread():
    pool = ScoredPool(np.array([1.0, 2.0]), 10)
    narrow, wide = (expected_accuracies(ALONE, pool, level) for level in (0.5, 0.9))
    assert (wide.low < narrow.low).all()
    assert (narrow.high < wide.high).all()
    sure = expected_accuracies(replace(ALONE, between=0.0, within=0.0), pool)
    assert (sure.low == sure.high).all()
    only = expected_accuracies(replace(ALONE, within=0.0), pool)
    half = stats.t.ppf(0.9, 4) * 0.2
    assert only.high == pytest.approx(accuracy_at(predicted_angles(ALONE, pool) + half, 10))


@pytest.mark.parametrize(
    ("values", "count", "anchors", "said"),
    [
        ([], 10, None, "scores must be finite, one or more"),
        ([1.0, np.nan], 10, None, "scores must be finite"),
        ([1.0, np.inf], 10, None, "scores must be finite"),
        ([1.0], 1, None, "classes=1 of the dataset"),
        ([1.0, 2.0], 10, [0.5], "1 anchors for 2 scores"),
        ([1.0], 10, [1.2], "anchors must be accuracies"),
        ([1.0], 10, [np.nan], "anchors must be accuracies"),
    ],
)
def test_what_is_no_scored_pool_is_refused(values, count, anchors, said):
    with pytest.raises(InputError, match=said):
        ScoredPool(np.array(values, dtype=float), count, None if anchors is None else np.array(anchors))


def test_what_cannot_be_fitted_is_refused():
    pools, truth = drawn(np.random.default_rng(0), datasets=3)
    for bad, said in (
        ((pools[:1], truth[:1]), "cannot calibrate on 1 datasets"),
        ((pools, truth[:2]), "3 datasets with 2 accuracies"),
        (([*pools[:2], replace(pools[2], anchors=None)], truth), "anchors of all, or of none"),
        ((pools, [*truth[:2], truth[2][:-1]]), "of the 30 models"),
        ((pools, [*truth[:2], truth[2] + 1]), r"accuracies in \[0, 1\]"),
        (([ScoredPool(np.ones(1), 10)] * 3, [np.ones(1)] * 3), "too few models"),
    ):
        with pytest.raises(InputError, match=said):
            fit_calibration(*bad)


def test_a_calibration_is_used_for_what_it_was_made_for():
    with pytest.raises(InputError, match="anchors need a calibration with anchors"):
        expected_accuracies(ANCHORED, ScoredPool(np.ones(2), 10))
    with pytest.raises(InputError, match="give both, or none"):
        expected_accuracies(ALONE, ScoredPool(np.ones(2), 10, np.ones(2)))
    for level in (0.0, 1.0, 80.0, np.nan):
        with pytest.raises(InputError, match="is not a coverage"):
            expected_accuracies(ALONE, ScoredPool(np.ones(2), 10), level)
