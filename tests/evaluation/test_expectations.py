"""Expectations from the shipped calibrations, and the checks of a file of calibrations."""

import json

import numpy as np
import pytest

from studies.calibration.fit import as_row
from transfer_exp.errors import InputError
from transfer_exp.evaluation.expected_accuracy import (
    COLUMNS,
    NO_ANCHOR,
    SHIPPED_CALIBRATIONS,
    Calibration,
    CalibrationKey,
    ExpectedAccuracies,
    ScoredPool,
    expected_accuracies,
    find_calibration,
    predict_accuracies,
    predict_regrets,
    read_calibrations,
)
from transfer_exp.metric.linear_classifier import Recommended

SCORES, ANCHORS = np.array([0.3, -0.1, 0.7]), np.array([0.6, 0.5, 0.8])


def test_expectations_use_the_shipped_calibration_of_their_key():
    key = ("last_block", "knn", "pca", "logme")
    result = expected_accuracies(
        "logme", SCORES, 7, ANCHORS, anchor="knn", regime="last_block", perturbation="pca", level=0.5
    )
    calibration, pool = read_calibrations(SHIPPED_CALIBRATIONS)[key], ScoredPool(SCORES, 7, ANCHORS)
    direct = predict_accuracies(calibration, pool, 0.5)
    assert (result.accuracies == direct.accuracies).all()
    assert (result.low == direct.low).all()
    assert (result.high == direct.high).all()
    assert (result.regrets == predict_regrets(calibration, pool)).all()


def test_the_recommended_metric_has_the_calibration_of_the_metric_behind_its_name():
    assert find_calibration(CalibrationKey("full", "knn", "none", "recommended")) == find_calibration(
        CalibrationKey("full", "knn", "none", Recommended.chosen)
    )


def test_without_anchors_the_intervals_are_far_wider():
    with_level, without = expected_accuracies("logme", SCORES, 10, ANCHORS), expected_accuracies("logme", SCORES, 10)
    assert ((without.high - without.low) > 2 * (with_level.high - with_level.low)).all()


def test_models_without_score_or_anchor_get_nan_and_do_not_affect_the_others():
    scores, anchors = np.array([0.3, np.nan, -0.1, 5.0, 0.7]), np.array([0.6, 0.9, 0.5, np.nan, 0.8])
    result, complete = (
        expected_accuracies("logme", scores, 10, anchors),
        expected_accuracies("logme", SCORES, 10, ANCHORS),
    )
    for values, direct in (
        (result.accuracies, complete.accuracies),
        (result.low, complete.low),
        (result.high, complete.high),
    ):
        assert np.isnan(values[[1, 3]]).all()
        assert (values[[0, 2, 4]] == direct).all()
    assert (result.regrets == complete.regrets).all()
    assert len(expected_accuracies("logme", scores, 10).regrets) == 4, "without anchors no model lacks one"


def test_a_single_model_has_an_interval_and_no_regret():
    result = expected_accuracies("logme", np.array([3.0]), 10, np.array([0.7]))
    assert isinstance(result, ExpectedAccuracies)
    assert result.low[0] < result.accuracies[0] < result.high[0]
    assert result.regrets.tolist() == [0.0]


@pytest.mark.parametrize("regime", ["full", "last_block", "linear_probe"])
def test_shipped_calibrations_are_plausible(regime):
    shipped = {key: result for key, result in read_calibrations(SHIPPED_CALIBRATIONS).items() if key[0] == regime}
    assert {key[1] for key in shipped} == {NO_ANCHOR, "knn", "linear_classifier"}
    assert {key[2] for key in shipped} == {"none", "pca"}
    for (_, anchor, _, _), calibration in shipped.items():
        assert (calibration.anchor_slope is None) == (anchor == NO_ANCHOR)
        assert calibration.dataset_std > 0
        assert calibration.model_std > 0
    unanchored, anchored = (shipped[regime, anchor, "pca", "h_score"] for anchor in (NO_ANCHOR, "linear_classifier"))
    assert anchored.dataset_std < unanchored.dataset_std / 2
    assert anchored.model_std < unanchored.model_std


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "logmee"}, r"no calibration for metric 'logmee': did you mean logme"),
        ({"regime": "linear"}, r"no calibration for regime 'linear': did you mean linear_probe"),
        ({"perturbation": "spread"}, r"no calibration for perturbation 'spread'"),
        ({"anchor": "ncm"}, r"no calibration for anchor 'ncm'"),
        ({"anchors": np.array([0.5])}, "1 anchors for 3 scores"),
        ({"anchors": np.full(3, np.nan)}, "no model has a score of logme and one of linear_classifier"),
        ({"anchors": ANCHORS + 1}, "anchors must be accuracies"),
        ({"scores": np.full(3, np.nan), "anchors": None}, "no model has a score of logme"),
        ({"scores": np.array([1.0, np.inf, 0.0])}, "scores must be finite"),
        ({"classes": 1}, "classes=1"),
        ({"level": 80.0}, "level=80"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        expected_accuracies(**{"metric": "logme", "scores": SCORES, "classes": 10, "anchors": ANCHORS, **options})


GOOD = as_row(CalibrationKey("full", "knn", "none", "logme"), Calibration(0.1, 0.9, 0.02, 0.05, 4, 0.06, 100))


def test_a_row_of_the_file_is_read_as_a_calibration(tmp_path):
    path = tmp_path / "own.json"
    path.write_text(json.dumps({"columns": COLUMNS, "rows": [GOOD]}))
    assert read_calibrations(path) == {tuple(GOOD[:4]): Calibration(0.1, 0.9, 0.02, 0.05, 4, 0.06, 100)}
    assert expected_accuracies("logme", SCORES, 10, ANCHORS, anchor="knn", path=path).accuracies.shape == (3,)


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{}",
        json.dumps({"columns": ["metric"], "rows": [GOOD]}),
        *(
            json.dumps({"columns": COLUMNS, "rows": [row]})
            for row in (
                GOOD[:-1],
                [*GOOD, 1],
                [*GOOD[:-1], 0],
                [*GOOD[:-1], 1.5],
                [*GOOD[:-3], 0, *GOOD[-2:]],
                [*GOOD[:7], -0.1, *GOOD[8:]],
                [*GOOD[:6], None, *GOOD[7:]],
                [*GOOD[:4], "0.1", *GOOD[5:]],
                [*GOOD[:4], None, *GOOD[5:]],
                [*GOOD[:4], True, *GOOD[5:]],
                [["full"], *GOOD[1:]],
                7,
            )
        ),
    ],
)
def test_a_file_with_other_content_is_refused(tmp_path, content, untyped):
    path = tmp_path / "own.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"own.json is not a file of calibrations .*: write it again"):
        read_calibrations(path)
