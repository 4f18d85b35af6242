"""Expected accuracy: the angle and its inverse, the fit, and properties of the intervals."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from studies.calibration.fit import fit_calibration
from transfer_exp.errors import InputError
from transfer_exp.evaluation.expected_accuracy import (
    Calibration,
    ScoredPool,
    accuracy_at,
    angle,
    predict_accuracies,
    predicted_angles,
)

ANCHORED = Calibration(0.05, 0.8, 0.1, 0.06, 4, 0.08, 90)
UNANCHORED = Calibration(0.9, None, 0.1, 0.2, 4, 0.08, 90)

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
        dataset_std=draw(slopes),
        dataset_df=draw(st.integers(1, 30)),
        model_std=draw(slopes),
        model_df=draw(st.integers(1, 300)),
    )


def draw_pools(rng, datasets=400, models=30, calibration=ANCHORED):
    """Return pools and accuracies that follow a calibration: far from 0 and 1, so that nothing is clipped."""
    result, truth = [], []
    for _ in range(datasets):
        level = rng.uniform(0.5, 0.9)
        anchors = None if calibration.anchor_slope is None else accuracy_at(rng.normal(level, 0.05, models), 10)
        pool = ScoredPool(rng.standard_normal(models), 10, anchors)
        noise = rng.normal(0, calibration.dataset_std) + rng.normal(0, calibration.model_std, models)
        result.append(pool)
        truth.append(accuracy_at(predicted_angles(calibration, pool) + noise, 10))
    return result, truth


@given(shares, classes)
def test_the_inverse_of_an_angle_is_its_accuracy_or_chance(share, count):
    back = accuracy_at(angle(np.array([share]), count), count)
    assert back[0] == pytest.approx(max(share, 1 / count), abs=1e-12)


def test_angles_worked_by_hand():
    assert angle(np.array([0.0, 0.1, 0.55, 1.0]), 10) == pytest.approx([0, 0, np.pi / 4, np.pi / 2])
    assert accuracy_at(np.array([-1.0, 0.0, np.pi / 4, 4.0]), 2) == pytest.approx([0.5, 0.5, 0.75, 1.0])


def test_the_variance_of_an_angle_does_not_depend_on_the_accuracy():
    rng = np.random.default_rng(0)
    spread = [angle(rng.binomial(400, p, 4000) / 400, 10**6).std() for p in (0.2, 0.6, 0.9)]
    assert spread == pytest.approx([1 / (2 * np.sqrt(400))] * 3, rel=0.06)


@pytest.mark.parametrize("true_calibration", [ANCHORED, UNANCHORED])
def test_a_fit_recovers_the_calibration_of_simulated_accuracies(true_calibration):
    result = fit_calibration(
        *draw_pools(np.random.default_rng(0), calibration=replace(true_calibration, dataset_std=0.04, model_std=0.05))
    )
    assert result.shift == pytest.approx(true_calibration.shift, abs=0.01)
    assert result.score_slope == pytest.approx(0.1, abs=0.005)
    assert result.anchor_slope is None or result.anchor_slope == pytest.approx(0.8, abs=0.03)
    assert (result.dataset_std, result.model_std) == pytest.approx((0.04, 0.05), rel=0.12)
    assert (result.dataset_df, result.model_df) == (399, 400 * 29 - (1 if true_calibration is UNANCHORED else 2))


def test_a_fit_equals_the_formula_written_out():
    pools, truth = draw_pools(np.random.default_rng(1), datasets=4, models=6)
    level = [angle(p.anchors, 10).mean() for p in pools]
    y = [angle(t, 10) for t in truth]
    x = [np.stack([angle(p.anchors, 10) - a, stats.zscore(p.scores)], 1) for p, a in zip(pools, level, strict=True)]
    slopes = np.linalg.lstsq(np.concatenate(x), np.concatenate([v - v.mean() for v in y]), rcond=None)[0]
    assert (slopes > 0).all(), "or least squares is not the oracle of the non-negative one"
    residuals = np.array([v - a - design @ slopes for v, a, design in zip(y, level, x, strict=True)])
    result = fit_calibration(pools, truth)
    assert (result.anchor_slope, result.score_slope) == pytest.approx(tuple(slopes))
    assert result.shift == pytest.approx(residuals.mean())
    assert result.dataset_std == pytest.approx(residuals.mean(axis=1).std(ddof=1) * np.sqrt(5 / 4))
    within = residuals - residuals.mean(axis=1, keepdims=True)
    assert result.model_std == pytest.approx(np.sqrt((within**2).sum() / (4 * 5 - 2)))


def test_a_score_with_reversed_order_gets_slope_zero():
    pools, truth = draw_pools(np.random.default_rng(0), datasets=5, calibration=UNANCHORED)
    assert fit_calibration([replace(pool, scores=-pool.scores) for pool in pools], truth).score_slope == 0


@pytest.mark.slow
def test_intervals_cover_new_datasets_at_their_level():
    levels = (0.5, 0.8, 0.95)
    inside = []
    for seed in range(100):
        pools, truth = draw_pools(np.random.default_rng(seed), datasets=6, models=12)
        calibration = fit_calibration(pools[:5], truth[:5])
        result = [predict_accuracies(calibration, pools[5], level) for level in levels]
        inside.append([((interval.low <= truth[5]) & (truth[5] <= interval.high)).mean() for interval in result])
    assert np.mean(inside, axis=0) == pytest.approx(levels, abs=0.06)


@given(st.data())
def test_every_expected_accuracy_is_valid_and_inside_its_interval(data):
    pool = data.draw(pools())
    result = predict_accuracies(
        data.draw(calibrations(pool.anchors is not None)), pool, data.draw(st.floats(0.01, 0.99))
    )
    assert (1 / pool.classes - 1e-12 <= result.low).all()
    assert (result.low <= result.accuracies).all()
    assert (result.accuracies <= result.high).all()
    assert (result.high <= 1).all()


@pytest.mark.slow
@given(st.data())
def test_a_better_score_never_lowers_the_expected_accuracy(data):
    pool = data.draw(pools(anchored=st.just(False)))
    result = predict_accuracies(data.draw(calibrations(False)), pool).accuracies
    assert (np.diff(result[np.argsort(pool.scores, kind="stable")]) >= 0).all()
    equal = replace(pool, anchors=np.full(len(pool.scores), data.draw(shares)))
    anchored_accuracies = predict_accuracies(data.draw(calibrations(True)), equal).accuracies
    assert (np.diff(anchored_accuracies[np.argsort(pool.scores, kind="stable")]) >= 0).all()


@given(st.data(), st.floats(0.01, 100), st.floats(-100, 100))
def test_the_unit_of_the_scores_and_the_order_of_the_models_do_not_matter(data, factor, offset):
    values = data.draw(st.lists(st.integers(-50, 50), min_size=2, max_size=8))
    pool = ScoredPool(np.array(values, dtype=float), 10)
    result = predict_accuracies(UNANCHORED, pool).accuracies
    moved = predict_accuracies(UNANCHORED, replace(pool, scores=factor * pool.scores + offset)).accuracies
    assert moved == pytest.approx(result, abs=1e-6)
    order = np.array(data.draw(st.permutations(range(len(values)))))
    assert predict_accuracies(UNANCHORED, replace(pool, scores=pool.scores[order])).accuracies == pytest.approx(
        result[order]
    )


def test_constant_scores_do_not_change_the_expected_accuracy():
    for scores in (np.full(3, 0.1), np.zeros(3), 7 + np.array([0, 1e-15, 2e-15])):
        alike = predict_accuracies(UNANCHORED, ScoredPool(scores, 10)).accuracies
        assert alike == pytest.approx(accuracy_at(np.full(3, 0.9), 10))
    single = predict_accuracies(ANCHORED, ScoredPool(np.array([7.0]), 10, np.array([0.7])))
    assert single.accuracies == pytest.approx(accuracy_at(angle(np.array([0.7]), 10) + 0.05, 10))


def test_an_interval_grows_with_the_level_and_vanishes_without_a_spread():
    pool = ScoredPool(np.array([1.0, 2.0]), 10)
    narrow, wide = (predict_accuracies(UNANCHORED, pool, level) for level in (0.5, 0.9))
    assert (wide.low < narrow.low).all()
    assert (narrow.high < wide.high).all()
    sure = predict_accuracies(replace(UNANCHORED, dataset_std=0.0, model_std=0.0), pool)
    assert (sure.low == sure.high).all()
    only = predict_accuracies(replace(UNANCHORED, model_std=0.0), pool)
    half = stats.t.ppf(0.9, 4) * 0.2
    assert only.high == pytest.approx(accuracy_at(predicted_angles(UNANCHORED, pool) + half, 10))


@pytest.mark.parametrize(
    ("values", "count", "anchors", "message"),
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
def test_an_invalid_scored_pool_is_refused(values, count, anchors, message):
    with pytest.raises(InputError, match=message):
        ScoredPool(np.array(values, dtype=float), count, None if anchors is None else np.array(anchors))


def test_data_that_cannot_be_fitted_are_refused():
    pools, truth = draw_pools(np.random.default_rng(0), datasets=3)
    for bad, message in (
        ((pools[:1], truth[:1]), "cannot calibrate on 1 datasets"),
        ((pools, truth[:2]), "3 datasets with 2 accuracies"),
        (([*pools[:2], replace(pools[2], anchors=None)], truth), "anchors of all, or of none"),
        ((pools, [*truth[:2], truth[2][:-1]]), "of the 30 models"),
        ((pools, [*truth[:2], truth[2] + 1]), r"accuracies in \[0, 1\]"),
        (([ScoredPool(np.ones(1), 10)] * 3, [np.ones(1)] * 3), "too few models"),
    ):
        with pytest.raises(InputError, match=message):
            fit_calibration(*bad)


def test_calibration_and_pool_must_agree_on_anchors():
    with pytest.raises(InputError, match="anchors need a calibration with anchors"):
        predict_accuracies(ANCHORED, ScoredPool(np.ones(2), 10))
    with pytest.raises(InputError, match="give both, or none"):
        predict_accuracies(UNANCHORED, ScoredPool(np.ones(2), 10, np.ones(2)))
    for level in (0.0, 1.0, 80.0, np.nan):
        with pytest.raises(InputError, match="is not a coverage"):
            predict_accuracies(UNANCHORED, ScoredPool(np.ones(2), 10), level)
