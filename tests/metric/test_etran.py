"""ETran scores equal literal formulas and are combined over a pool as released."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer_exp.errors import InputError
from transfer_exp.metric.etran import ETran, energy, linear_fit
from transfer_exp.metric.lda import lda
from transfer_exp.metric.ncm import ncm

oracle = settings(max_examples=30, deadline=None, derandomize=True)


def labelled_features(seed=0, samples=150, dim=12, classes=3, signal=1.2):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, samples - classes)])
    return rng.standard_normal((samples, dim)) + signal * rng.standard_normal((classes, dim))[labels], labels


@oracle
@given(st.integers(4, 60), st.integers(1, 30), st.integers(0, 10**6), st.sampled_from([0.005, 0.29, 0.5, 1.0]))
def test_energy_is_the_mean_of_the_smallest_values(samples, dim, seed, share):
    features, labels = labelled_features(seed, samples, dim)
    scores = sorted(math.log(sum(math.exp(v) for v in row)) for row in features)
    count = max(1, sum(k / samples <= share + 1e-9 for k in range(1, samples + 1)))
    assert energy(features, labels, share) == pytest.approx(sum(scores[:count]) / count, rel=1e-9)


@oracle
@given(st.integers(4, 40), st.integers(1, 60), st.integers(2, 4), st.integers(0, 10**6))
def test_linear_fit_equals_the_residual_of_least_squares(samples, dim, classes, seed):
    features, labels = labelled_features(seed, samples, dim, classes)
    targets = np.eye(classes)[labels]
    residual = targets - features @ np.linalg.lstsq(features, targets, rcond=None)[0]
    assert linear_fit(features, targets) == pytest.approx(-np.mean(residual**2), rel=1e-9, abs=1e-12)


def test_linear_fit_reaches_its_bounds():
    targets = np.eye(4)[np.repeat(np.arange(4), 5)]
    assert linear_fit(targets, targets) == pytest.approx(0.0, abs=1e-12)
    assert linear_fit(np.zeros((20, 3)), targets) == -0.25


@pytest.mark.parametrize(("classifier", "score"), [("lda", lda), ("ncm", ncm)])
def test_parts_are_the_scores_of_their_names(classifier, score):
    features, labels = labelled_features()
    parts = ETran(classifier=classifier, regression_weight=0.1).parts(features, labels)
    assert parts == {
        "energy": energy(features, labels),
        "classification": score(features, labels),
        "regression": linear_fit(features, np.eye(3)[labels]),
    }
    assert set(ETran().parts(features, labels)) == {"energy", "classification"}
    assert all(type(value) is float for value in parts.values())


@pytest.mark.parametrize("shape", [(150, 12), (40, 90)])
def test_order_and_class_names_do_not_matter_and_any_scale_is_finite(shape):
    features, labels = labelled_features(1, *shape)
    metric = ETran(regression_weight=0.2)
    parts = metric.parts(features, labels)
    order = np.random.default_rng(2).permutation(len(labels))
    assert metric.parts(features[order], labels[order]) == pytest.approx(parts, rel=1e-9, abs=1e-12)
    assert metric.parts(features, np.array([70, -3, 9])[labels]) == pytest.approx(parts, rel=1e-9, abs=1e-12)
    assert metric.parts(features.astype(np.float16), labels) == pytest.approx(parts, rel=0.05, abs=1e-3)
    for scale in (1e-8, 1e8):
        assert np.isfinite(list(metric.parts(scale * features, labels).values())).all()


def test_small_classes_and_duplicates_are_accepted():
    features, labels = labelled_features(3)
    stacked = np.concatenate([features[:20], features[:20], features[20:22]])
    new_labels = np.concatenate([labels[:20], labels[:20], [17, 18]])
    assert np.isfinite(list(ETran(regression_weight=0.2).parts(stacked, new_labels).values())).all()


def test_parts_are_combined_over_the_pool_as_released():
    values = [(5.0, 0.2, -0.3), (7.0, 0.3, -0.1), (6.0, 0.6, -0.1)]
    parts = [{"energy": e, "classification": c, "regression": r} for e, c, r in values]
    np.testing.assert_allclose(ETran().combine(parts), [0.0, 0.15 + 0.85 * 0.25, 0.5 * 0.15 + 0.85])
    np.testing.assert_allclose(ETran(energy_weight=0.5, regression_weight=0.5).combine(parts), [0.0, 1.0, 0.75])
    np.testing.assert_array_equal(ETran().combine(parts[::-1]), ETran().combine(parts)[::-1])
    np.testing.assert_array_equal(ETran().combine(parts[1:2]), [0.0])


def test_numbers_are_scored_by_energy_and_regression_in_any_unit():
    numbers = np.random.default_rng(4).uniform(1, 90, (60, 1))
    pool = [np.random.default_rng(5).standard_normal((60, 8)) + s * numbers / 90 for s in (0.0, 1.0, 3.0)]
    parts = [ETran().target_parts(features, numbers, "regression") for features in pool]
    assert all(set(part) == {"energy", "regression"} for part in parts)
    scores = ETran().combine(parts)
    residuals = [np.mean((numbers - f @ np.linalg.lstsq(f, numbers, rcond=None)[0]) ** 2) for f in pool]
    energies = [part["energy"] for part in parts]
    expected = 0.15 * (energies - np.min(energies)) / np.ptp(energies)
    expected += 0.85 * (np.max(residuals) - residuals) / np.ptp(residuals)
    np.testing.assert_allclose(scores, expected, rtol=1e-9)
    for unit in (1e-200, 1e3, 1e200):
        other = [ETran().target_parts(features, unit * numbers, "regression") for features in pool]
        np.testing.assert_allclose(ETran().combine(other), scores, rtol=1e-9)


def test_better_separated_classes_rank_higher_in_a_pool():
    pool = [labelled_features(9, signal=s) for s in (0.0, 0.5, 1.5)]
    assert (np.diff(ETran(energy_weight=0.0).combine([ETran().parts(*model) for model in pool])) > 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classifier": "svm"}, "classifier=svm"),
        ({"energy_weight": -0.1}, "energy_weight"),
        ({"energy_weight": 0.7, "regression_weight": 0.4}, "regression_weight"),
        ({"energy_weight": np.nan}, "energy_weight"),
        ({"energy_share": 0.0}, "energy_share=0.0"),
    ],
)
def test_invalid_options_are_rejected(options, message):
    with pytest.raises(InputError, match=message):
        ETran(**options).parts(*labelled_features())
