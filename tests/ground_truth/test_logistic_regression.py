"""Logistic regression over a grid: agreement with scikit-learn, the gradient it reports, and its errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.ground_truth import logistic_regression as logistic_regression_module
from transfer_exp.ground_truth.logistic_regression import logistic_regression

GRID = (1e-3, 1e-1, 10.0)


def _draw(samples, dim, classes, seed):
    """Return correlated features of overlapping classes, one of them with a single sample."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([[0], 1 + np.arange(samples - 1) % (classes - 1)])
    features = rng.normal(size=(classes, dim))[labels] + rng.normal(size=(samples, dim)) @ rng.normal(size=(dim, dim))
    return features / features.std(axis=0), labels


def _gradient(features, targets, inverse_penalty, weights, intercepts, activation):
    """Return the gradient norm of the objective by a loop over samples."""
    weight_gradient, intercept_gradient = weights.copy(), np.zeros_like(intercepts)
    for x, y in zip(features, targets, strict=True):
        logits = x @ weights + intercepts
        p = np.exp(logits) / np.exp(logits).sum() if activation == "softmax" else 1 / (1 + np.exp(-logits))
        weight_gradient += inverse_penalty * np.outer(x, p - y)
        intercept_gradient += inverse_penalty * (p - y)
    return np.sqrt((weight_gradient**2).sum() + (intercept_gradient**2).sum())


shapes = st.tuples(st.integers(12, 60), st.integers(1, 40), st.integers(3, 6), st.integers(0, 10_000))


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(shapes)
def test_weights_equal_those_of_scikit_learn(shape):
    features, labels = _draw(*shape)
    fits = logistic_regression(features, np.eye(shape[2])[labels], GRID, "softmax", tolerance=1e-8)
    for inverse_penalty, weights, intercepts in zip(GRID, fits.weights, fits.intercepts, strict=True):
        reference = LogisticRegression(C=inverse_penalty, tol=1e-10, max_iter=100_000).fit(features, labels)
        np.testing.assert_allclose(weights, reference.coef_.T, atol=1e-4 * np.abs(reference.coef_).max())
        scores = features @ weights + intercepts
        np.testing.assert_allclose(scores, reference.decision_function(features), atol=1e-4 * np.abs(scores).max())


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(shapes, st.sampled_from(["softmax", "sigmoid"]))
def test_the_reported_relative_gradient_is_correct(shape, activation):
    features, labels = _draw(*shape)
    targets = np.eye(shape[2])[labels]
    fits = logistic_regression(features, targets, GRID, activation, tolerance=1e-5)
    rates = targets.mean(axis=0)
    base = np.log(rates) if activation == "softmax" else np.log(rates / (1 - rates))
    for g, inverse_penalty in enumerate(GRID):
        first = _gradient(features, targets, inverse_penalty, np.zeros_like(fits.weights[g]), base, activation)
        left = _gradient(features, targets, inverse_penalty, fits.weights[g], fits.intercepts[g], activation)
        assert left / first == pytest.approx(fits.relative_gradient[g], rel=0.1, abs=1e-7)
        assert left / first <= 1.1e-5


def test_sigmoid_outputs_are_independent_binary_regressions():
    features, labels = _draw(50, 8, 4, 0)
    targets = np.eye(4)[labels] + np.eye(4)[np.roll(labels, 1)] > 0
    fits = logistic_regression(features, targets.astype(float), (0.5,), "sigmoid", tolerance=1e-9)
    reference = OneVsRestClassifier(LogisticRegression(C=0.5, tol=1e-10, max_iter=100_000)).fit(features, targets)
    expected = np.concatenate([e.coef_ for e in reference.estimators_]).T
    np.testing.assert_allclose(fits.weights[0], expected, atol=1e-5)


def test_more_features_than_samples_are_solved_in_their_span():
    """Rotated into more dimensions, features give weights in their span, equal to those of a single inverse penalty."""
    features, labels = _draw(20, 6, 3, 1)
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(500, 6)))[0]
    targets = np.eye(3)[labels]
    few = logistic_regression(features, targets, GRID, "softmax", tolerance=1e-9)
    many = logistic_regression(features @ turn.T, targets, GRID, "softmax", tolerance=1e-9)
    np.testing.assert_allclose(np.einsum("dr,gdk->grk", turn, many.weights), few.weights, atol=1e-6)
    assert np.linalg.norm(many.weights - turn @ few.weights) < 1e-5
    single = logistic_regression(features, targets, GRID[1:2], "softmax", tolerance=1e-9)
    np.testing.assert_allclose(single.weights[0], few.weights[1], atol=1e-6)


def test_the_same_call_gives_the_same_bits():
    features, labels = _draw(60, 30, 5, 3)
    first, second = (logistic_regression(features, np.eye(5)[labels], GRID, "softmax") for _ in range(2))
    assert first.weights.tobytes() == second.weights.tobytes()
    assert first.n_gradients == second.n_gradients > len(GRID)


def test_features_too_large_for_single_precision_are_solved():
    features, labels = _draw(40, 5, 3, 4)
    plain = logistic_regression(features, np.eye(3)[labels], (0.1,), "softmax", tolerance=1e-8)
    large = logistic_regression(features * 1e25, np.eye(3)[labels], (1e-51,), "softmax", tolerance=1e-8)
    np.testing.assert_allclose(large.weights * 1e25, plain.weights, atol=1e-6)


def test_separable_classes_have_finite_weights():
    features = np.repeat(np.eye(3), 10, axis=0) * 100
    fits = logistic_regression(features, np.repeat(np.eye(3), 10, axis=0), (1e4,), "softmax")
    assert np.isfinite(fits.weights).all()
    assert (features @ fits.weights[0] + fits.intercepts[0]).argmax(axis=1).tolist() == sorted([0, 1, 2] * 10)


def test_lack_of_convergence_is_an_error():
    features, labels = _draw(60, 30, 5, 3)
    with pytest.raises(NotApplicableError, match="did not converge at inverse penalty 10: after 6 steps"):
        logistic_regression(features, np.eye(5)[labels], GRID, "softmax", max_steps=3)


@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_weights_that_are_not_a_number_are_an_error(activation, monkeypatch):
    features, labels = _draw(60, 30, 5, 3)
    step = logistic_regression_module._Solver._direction
    monkeypatch.setattr(logistic_regression_module._Solver, "_direction", lambda solver: step(solver) * np.nan)
    with pytest.raises(NotApplicableError, match="after 2 steps its gradient is nan"):
        logistic_regression(features, np.eye(5)[labels], GRID, activation)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"inverse_penalties": (0.0,)}, InputError, "positive"),
        ({"inverse_penalties": ()}, InputError, "positive"),
        ({"inverse_penalties": (1.0, np.nan)}, InputError, "positive"),
        ({"tolerance": 0.0}, InputError, "positive"),
        ({"targets": np.eye(4)[[0, 1] * 10]}, InputError, "targets that vary"),
        ({"features": np.full((20, 2), np.nan)}, NotApplicableError, "finite"),
    ],
)
def test_bad_inputs_are_refused(change, error, message):
    plain = {"features": _draw(20, 2, 3, 0)[0], "targets": np.eye(2)[[0, 1] * 10], "inverse_penalties": (1.0,)}
    with pytest.raises(error, match=message):
        logistic_regression(**{**plain, "activation": "softmax", **change})
