"""The benchmark is honest: every reference returns what ours returns, and rows and page say what was measured."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.cases import CASES, SHAPES, Case
from benchmarks.made import made_features, made_source_probabilities
from benchmarks.measure import Row, measured, read_rows, write_rows
from benchmarks.reference.source import mixture, reduced
from transfer_exp.metric.gaussian_mixture import fitted_mixture

VALUED = [case for case in CASES if np.isfinite(case.tolerance)]


@pytest.mark.parametrize("case", VALUED, ids=lambda case: case.what)
@pytest.mark.parametrize(("samples", "dim", "classes"), [(150, 24, 5), (90, 12, 4)])
def test_a_reference_returns_what_ours_returns(case, samples, dim, classes):
    features, labels = made_features(samples, dim, classes, seed=samples)
    evidence = features if case.evidence == "features" else made_source_probabilities(features, 20)
    expected = case.reference(evidence.astype(float), labels)
    assert case.ours(evidence, labels) == pytest.approx(expected, rel=1e-7)
    others = case.reference(evidence.astype(float), np.random.default_rng(0).permutation(labels))
    assert others != pytest.approx(expected, rel=1e-3), "a reference must depend on the labels"


@pytest.mark.parametrize(("samples", "dim", "components"), [(300, 40, 6), (120, 200, 5), (200, 3, 7)])
def test_our_mixture_is_the_reference_mixture(samples, dim, components):
    features, _ = made_features(samples, dim, components, seed=dim)
    points = reduced(features.astype(float))
    posterior, likelihood = fitted_mixture(points, components, seed=0)
    fitted = mixture(points, components)
    assert likelihood >= fitted.lower_bound_ - 1e-3 * abs(fitted.lower_bound_)
    assert likelihood == pytest.approx(fitted.lower_bound_, rel=1e-9)
    np.testing.assert_allclose(posterior, fitted.predict_proba(points), atol=1e-6)


def test_made_features_look_like_those_of_a_network():
    features, labels = made_features(200, 300, 7)
    assert (features.dtype, features.min()) == (np.float32, 0)
    assert np.bincount(labels).tolist() == [29, 29, 29, 29, 28, 28, 28]
    values = np.linalg.svd(features - features.mean(axis=0), compute_uv=False)
    assert (values[:64] ** 2).sum() > 0.7 * (values**2).sum()


def test_a_row_holds_medians_and_the_difference_of_the_values():
    case = Case("toy", lambda x, y: 2.0, lambda x, y: 4.0 if x.dtype == np.float64 else np.nan)
    row = measured(case, np.zeros((4, 2), np.float32), np.arange(4), (4, 2, 2), repeats=3, patience=60.0)
    assert (row.what, row.N, row.D, row.C, row.difference, row.repeats, row.reference_repeats) == (
        "toy", 4, 2, 2, 0.5, 3, 3
    )  # fmt: skip
    assert row.ratio == row.reference_s / row.ours_s
    once = measured(case, np.zeros((4, 2), np.float32), np.arange(4), (4, 2, 2), repeats=3, patience=0.0)
    assert (once.repeats, once.reference_repeats) == (1, 1)


def test_rows_replace_those_of_the_same_comparison_only(tmp_path):
    row = Row("a", 5000, 512, 37, 1.0, 2.0, 2.0, 1e-9, 5, 5, 2)
    path = tmp_path / "rows.csv"
    write_rows(path, [row, replace(row, what="b")])
    write_rows(path, [replace(row, ratio=3.0)])
    assert read_rows(path) == [replace(row, ratio=3.0), replace(row, what="b")]


def test_every_aim_is_measured_at_a_shape_that_is_run():
    assert len({case.what for case in CASES}) == len(CASES)
    for case in CASES:
        assert case.at in SHAPES
        assert case.aim == 0 or case.at[0] <= case.most
