"""References return the same values as our metrics; timings are measured and written."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.cases import CASES, SHAPES, Case
from benchmarks.measure import Timing, measure, read_rows, write_rows
from benchmarks.reference.source import mixture, reduced
from transfer_exp.leaderboard.costs import synthetic_features, synthetic_source_probabilities
from transfer_exp.metric.gaussian_mixture import fitted_mixture

pytestmark = pytest.mark.slow

COMPARABLE = [case for case in CASES if np.isfinite(case.tolerance)]


@pytest.mark.parametrize("case", COMPARABLE, ids=lambda case: case.name)
@pytest.mark.parametrize(("samples", "dim", "classes"), [(150, 24, 5), (90, 12, 4)])
def test_a_reference_returns_the_same_value_as_our_metric(case, samples, dim, classes):
    features, labels = synthetic_features(samples, dim, classes, seed=samples)
    inputs = features if case.input_name == "features" else synthetic_source_probabilities(features, 20)
    expected = case.reference(inputs.astype(float), labels)
    assert case.ours(inputs, labels) == pytest.approx(expected, rel=1e-7)
    shuffled = case.reference(inputs.astype(float), np.random.default_rng(0).permutation(labels))
    assert shuffled != pytest.approx(expected, rel=1e-3), "a reference must depend on the labels"


@pytest.mark.parametrize(("samples", "dim", "components"), [(300, 40, 6), (120, 200, 5), (200, 3, 7)])
def test_our_mixture_is_the_reference_mixture(samples, dim, components):
    features, _ = synthetic_features(samples, dim, components, seed=dim)
    points = reduced(features.astype(float))
    posterior, likelihood = fitted_mixture(points, components, seed=0)
    fitted = mixture(points, components)
    assert likelihood >= fitted.lower_bound_ - 1e-3 * abs(fitted.lower_bound_)
    assert likelihood == pytest.approx(fitted.lower_bound_, rel=1e-9)
    np.testing.assert_allclose(posterior, fitted.predict_proba(points), atol=1e-6)


def test_synthetic_features_are_rectified_and_nearly_low_rank():
    features, labels = synthetic_features(200, 300, 7)
    assert (features.dtype, features.min()) == (np.float32, 0)
    assert np.bincount(labels).tolist() == [29, 29, 29, 29, 28, 28, 28]
    values = np.linalg.svd(features - features.mean(axis=0), compute_uv=False)
    assert (values[:64] ** 2).sum() > 0.7 * (values**2).sum()


def test_a_row_holds_medians_and_the_difference_of_the_values():
    case = Case("toy", lambda x, y: 2.0, lambda x, y: 4.0 if x.dtype == np.float64 else np.nan)
    row = measure(case, np.zeros((4, 2), np.float32), np.arange(4), (4, 2, 2), repeats=3, max_s=60.0)
    assert (row.case, row.N, row.D, row.C, row.difference, row.repeats, row.reference_repeats) == (
        "toy", 4, 2, 2, 0.5, 3, 3
    )  # fmt: skip
    assert row.ratio == row.reference_s / row.ours_s
    single = measure(case, np.zeros((4, 2), np.float32), np.arange(4), (4, 2, 2), repeats=3, max_s=0.0)
    assert (single.repeats, single.reference_repeats) == (1, 1)


def test_new_rows_replace_only_rows_of_the_same_comparison(tmp_path):
    row = Timing("a", 5000, 512, 37, 1.0, 2.0, 2.0, 1e-9, 5, 5, 2)
    path = tmp_path / "rows.csv"
    write_rows(path, [row, replace(row, case="b")])
    write_rows(path, [replace(row, ratio=3.0)])
    assert read_rows(path) == [replace(row, ratio=3.0), replace(row, case="b")]


def test_every_aim_is_measured_at_a_shape_that_is_run():
    assert len({case.name for case in CASES}) == len(CASES)
    for case in CASES:
        assert case.aim_shape in SHAPES
        assert case.aim == 0 or case.aim_shape[0] <= case.max_samples


@pytest.mark.parametrize("case", [case for case in CASES if case.bound is not None], ids=lambda case: case.name)
def test_a_bound_runs_on_what_its_metric_takes(case):
    features, labels = synthetic_features(60, 12, 4)
    assert case.bound is not None
    case.bound.run(features.astype(float), labels)


def test_a_row_without_a_bound_is_read_as_it_was_written(tmp_path):
    row = Timing("a", 5000, 512, 37, 1.0, 2.0, 2.0, 1e-9, 5, 5, 2)
    write_rows(tmp_path / "rows.csv", [row, replace(row, case="b", bound_s=0.5, ranker_s=3.0)])
    bounds = [(timing.bound_s, timing.ranker_s) for timing in read_rows(tmp_path / "rows.csv")]
    np.testing.assert_equal(bounds, [(np.nan, np.nan), (0.5, 3.0)])
