"""L2-penalised logistic regression for a grid of penalties, solved as one batched problem.

A strength is an inverse penalty, scikit-learn's C: the objective is ``C * (sum of losses) + |weights|^2 / 2``.
The algorithm:

1. Rotate the features into the eigenbasis of their second moments; with N < D, keep only the span of the samples.
2. Solve for all strengths together by L-BFGS (Nocedal & Wright, algorithm 7.4), one matrix product for the whole grid.
3. Precondition L-BFGS with an approximate Hessian, which the eigenbasis makes cheap to invert; renew it every 5 steps.
4. Iterate in float32 until the gradient has shrunk to 1e-4 of its initial norm, then in float64.
5. Remove a strength from the batch once it meets the tolerance, and raise an error if one never does.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Int

from transfer_exp.errors import InputError, NotApplicableError

Link: TypeAlias = Literal["softmax", "sigmoid"]
# Weights or gradients. The axes are those of the eigenbasis and, last, the intercept, which is not penalised.
Weights: TypeAlias = Float[np.ndarray, "axes grid outputs"]
# Logits or probabilities.
Logits: TypeAlias = Float[np.ndarray, "samples grid outputs"]
PerStrength: TypeAlias = Float[np.ndarray, " grid"]

_HISTORY_LENGTH, _CURVATURE_INTERVAL = 10, 5  # steps
_ARMIJO, _MAX_HALVINGS = 1e-4, 40
# Relative gradient at which float32 hands over to float64; rounding in float32 stops just below it.
_FLOAT32_TOLERANCE = 1e-4
# If a sum of squared features, a strength or its inverse reaches this, float32 is skipped.
_FLOAT32_MAX = 1e12
_MIN_INTERCEPT_CURVATURE = 1e-3
_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, eq=False)
class Fits:
    """Solutions of one problem at every strength of a grid.

    Attributes:
        weights, intercepts: The logits at the g-th strength are ``features @ weights[g] + intercepts[g]``.
        relative_gradient: Norm of the last gradient over the norm at the start (zero weights, optimal intercepts).
            Because of the penalty, weights are no further from the solution than the norm of the last gradient, once
            the intercepts are optimal.
        iterations: Steps that each strength took.
        passes: Number of gradients computed (passes over the data), summed over the grid.
    """

    weights: Float[np.ndarray, "grid dim outputs"]
    intercepts: Float[np.ndarray, "grid outputs"]
    relative_gradient: PerStrength
    iterations: Int[np.ndarray, " grid"]
    passes: int


def logistic_regression(
    features: Float[np.ndarray, "samples dim"],
    targets: Float[np.ndarray, "samples outputs"],
    strengths: Sequence[float],
    link: Link,
    tolerance: float = 1e-5,
    iterations: int = 1000,
) -> Fits:
    """Minimise ``strength * (sum of losses) + |weights|^2 / 2`` for all strengths together.

    The memory used is about ten arrays of shape (N, G, K).

    Args:
        features: Features (N, D), best standardised.
        targets: Zeros and ones (N, K), both present in every column; for ``softmax`` exactly one 1 in every row.
        strengths: G inverse penalties (scikit-learn's C), positive and finite.
        link: ``softmax`` for one class per sample (cross-entropy), ``sigmoid`` for K independent binary outputs.
        tolerance: Largest accepted gradient norm, relative to the gradient norm at the start.
        iterations: Maximum number of steps in float32, and again in float64.

    Raises:
        InputError: When an output is the same for all samples, or a strength or the tolerance is not positive.
        NotApplicableError: When a strength does not converge within ``iterations``, or features are not finite.
    """
    if not np.isfinite(features).all():
        raise NotApplicableError("logistic regression needs finite features: they have NaN or infinity")
    if len(strengths) == 0 or not all(0 < value < np.inf for value in (*strengths, tolerance)):
        raise InputError(f"logistic regression needs positive strengths and tolerance: got {strengths}, {tolerance}")
    if (targets.min(axis=0) == targets.max(axis=0)).any():
        raise InputError("logistic regression needs targets that vary: leave out classes that all or no samples have")
    coordinates, basis = _rotate_to_eigenbasis(np.asarray(features, dtype=np.float64))
    objective = _Objective(coordinates, targets, link)
    grid = np.asarray(strengths, dtype=np.float64)
    weights, relative_gradient, steps = _solve(objective, grid, tolerance, iterations)
    if not (relative_gradient <= tolerance).all():  # also true for NaN
        worst = int(relative_gradient.argmax())
        raise NotApplicableError(
            f"logistic regression did not converge at strength {grid[worst]:g}: after {steps[worst]} steps its "
            f"gradient is {relative_gradient[worst]:.1e} of the one at the start, not {tolerance:g}: raise iterations "
            "or tolerance"
        )
    rotated_back = basis @ weights[:-1].reshape(basis.shape[1], -1)
    by_strength = rotated_back.reshape(len(basis), *weights.shape[1:]).transpose(1, 0, 2)
    return Fits(by_strength, weights[-1], relative_gradient, steps, objective.passes)


def _rotate_to_eigenbasis(
    features: Float[np.ndarray, "samples dim"],
) -> tuple[Float[np.ndarray, "samples rank"], Float[np.ndarray, "dim rank"]]:
    """Return the features in the eigenbasis of their second moments, and that basis; with N < D within their span.

    Weights outside the span are penalised and change no logit, so the solution lies in it.
    """
    samples, dim = features.shape
    if samples >= dim:
        basis = np.linalg.eigh(features.T @ features)[1]
        return features @ basis, basis
    span, triangle = np.linalg.qr(features.T)
    rotation = np.linalg.eigh(triangle @ triangle.T)[1]
    return triangle.T @ rotation, span @ rotation


def _solve(
    objective: _Objective, strengths: PerStrength, tolerance: float, iterations: int
) -> tuple[Weights, PerStrength, Int[np.ndarray, " grid"]]:
    """Return weights, relative gradients and steps taken, after a float32 and a float64 stage."""
    weights = objective.initial_weights(len(strengths))
    first_norm = np.maximum(_norm(_Solver(objective, weights, strengths).gradient), _TINY)
    steps = np.zeros(len(strengths), dtype=np.int64)
    if max(objective.moments.max(), *strengths, *(1 / strengths)) < _FLOAT32_MAX:
        objective32 = objective.as_float32()
        rough_goal = max(tolerance, _FLOAT32_TOLERANCE) * first_norm
        rough_weights, norms, steps = _minimise(objective32, strengths, rough_goal, iterations, weights)
        weights = np.where(np.isfinite(norms)[:, None], rough_weights, weights)
        objective.passes += objective32.passes
    weights, last_norm, more_steps = _minimise(objective, strengths, tolerance * first_norm, iterations, weights)
    if objective.link == "softmax":
        weights -= weights.mean(
            axis=2, keepdims=True
        )  # the smallest of equivalent solutions: a constant added to all classes changes no probability
    return weights, last_norm / first_norm, steps + more_steps


def _minimise(
    objective: _Objective, strengths: PerStrength, goal: PerStrength, iterations: int, start: Weights
) -> tuple[Weights, PerStrength, Int[np.ndarray, " grid"]]:
    """Return weights, gradient norms and steps taken; strengths that reach their goal, or NaN, leave the batch."""
    weights, steps, active = start.copy(), np.zeros(len(strengths), dtype=np.int64), np.arange(len(strengths))
    solver = _Solver(objective, start, strengths)
    norms = _norm(solver.gradient)
    for step in range(1, iterations + 1):
        unsolved = np.flatnonzero(norms[active] > goal[active])
        if not len(unsolved):
            break
        if len(unsolved) < len(active):
            active = active[unsolved]
            solver.select(unsolved)
        if step % _CURVATURE_INTERVAL == 0:
            solver.curvature = objective.curvature(solver.probabilities, solver.strengths)
        solver.take_step()
        weights[:, active], steps[active], norms[active] = solver.weights, step, _norm(solver.gradient)
    return weights, norms, steps


class _Objective:
    """``strength * (sum of losses) + |weights|^2 / 2``, with a column of ones appended to the features."""

    def __init__(
        self, features: Float[np.ndarray, "samples rank"], targets: Float[np.ndarray, "samples outputs"], link: Link
    ) -> None:
        self.features = np.concatenate([features, np.ones((len(features), 1))], axis=1)
        self.moments = (self.features**2).sum(axis=0)[:, None, None]
        self.targets = np.asarray(targets, dtype=np.float64)
        self.link = link
        self.penalty = np.ones((self.features.shape[1], 1, 1))
        self.penalty[-1] = 0
        self.passes = 0

    def as_float32(self) -> _Objective:
        """Return a float32 copy that counts its passes separately."""
        objective32 = copy.copy(self)
        objective32.passes = 0
        for name in ("features", "targets", "moments", "penalty"):
            setattr(objective32, name, getattr(self, name).astype(np.float32))
        return objective32

    def initial_weights(self, grid: int) -> Weights:
        """Return zero weights and the intercepts that are optimal with them."""
        rates = self.targets.mean(axis=0)
        weights = np.zeros((self.features.shape[1], grid, len(rates)))
        weights[-1] = np.log(rates) if self.link == "softmax" else np.log(rates / (1 - rates))
        return weights

    def logits(self, weights: Weights) -> Logits:
        """Return the logits of all samples."""
        return (self.features @ weights.reshape(len(weights), -1)).reshape(-1, *weights.shape[1:])

    def value_and_probabilities(
        self, weights: Weights, logits: Logits, strengths: PerStrength
    ) -> tuple[PerStrength, Logits]:
        """Return the objective at each strength, and the probabilities of all samples."""
        if self.link == "sigmoid":
            losses, probabilities = np.logaddexp(0, logits).sum(axis=(0, 2)), 0.5 * (1 + np.tanh(0.5 * logits))
        else:
            top = logits.max(axis=2, keepdims=True)
            probabilities = np.exp(logits - top)
            total = probabilities.sum(axis=2, keepdims=True)
            probabilities /= total
            losses = (top + np.log(total)).sum(axis=(0, 2))
        losses = losses - np.einsum("ngk,nk->g", logits, self.targets)
        return strengths * losses + 0.5 * _dot(self.penalty * weights, weights), probabilities

    def gradient(self, weights: Weights, probabilities: Logits, strengths: PerStrength) -> Weights:
        """Return the gradient of the objective."""
        self.passes += len(strengths)
        errors = (probabilities - self.targets[:, None]).reshape(len(probabilities), -1)
        return strengths[:, None] * (self.features.T @ errors).reshape(weights.shape) + self.penalty * weights

    def curvature(self, probabilities: Logits, strengths: PerStrength) -> _Curvature:
        """Return the approximate Hessian at these probabilities."""
        mean, diagonal = probabilities.mean(axis=0), np.arange(probabilities.shape[2])
        if self.link == "sigmoid":
            covariance = np.zeros((*mean.shape, mean.shape[1]))
            covariance[:, diagonal, diagonal] = (probabilities * (1 - probabilities)).mean(axis=0)
        else:
            covariance = -np.einsum("ngk,ngm->gkm", probabilities, probabilities) / len(probabilities)
            covariance[:, diagonal, diagonal] += mean
        values, rotation = np.linalg.eigh(covariance)
        eigenvalues = strengths[:, None] * self.moments * np.maximum(values, 0) + self.penalty
        # A constant added to all intercepts has no curvature. It gets a little, or rounding errors would blow up.
        lowest = _MIN_INTERCEPT_CURVATURE * eigenvalues[-1].max(axis=1, keepdims=True)
        eigenvalues[-1] = np.maximum(eigenvalues[-1], lowest)
        return _Curvature(rotation, eigenvalues)


class _Curvature(NamedTuple):
    """Approximate Hessian: (second moments of the features) x (average covariance of the outputs), plus the penalty.

    The moments are diagonal in the eigenbasis (exactly only for centred features: others are not orthogonal to the
    column of ones). The eigenvectors of the covariance at each strength, ``rotation``, therefore diagonalise the
    Hessian.
    """

    rotation: Float[np.ndarray, "grid outputs outputs"]
    eigenvalues: Weights

    def solve(self, gradient: Weights) -> Weights:
        """Return the inverse Hessian times a gradient."""
        rotated = np.einsum("dgk,gkm->dgm", gradient, self.rotation) / self.eigenvalues
        return np.einsum("dgm,gkm->dgk", rotated, self.rotation)


class _Solver:
    """L-BFGS on the strengths that are not solved yet, in the precision of the objective."""

    def __init__(self, objective: _Objective, weights: Weights, strengths: PerStrength) -> None:
        self.objective = objective
        self.strengths, self.weights = (array.astype(objective.features.dtype) for array in (strengths, weights))
        self.logits = objective.logits(self.weights)
        self.value, self.probabilities = objective.value_and_probabilities(self.weights, self.logits, self.strengths)
        self.gradient = objective.gradient(self.weights, self.probabilities, self.strengths)
        self.curvature = objective.curvature(self.probabilities, self.strengths)
        # The last steps, the gradient changes that they caused, and the inverse inner products of the two.
        self.history: list[tuple[Weights, Weights, PerStrength]] = []

    def select(self, active: Int[np.ndarray, " active"]) -> None:
        """Keep only these positions of the batch."""
        self.strengths, self.value = self.strengths[active], self.value[active]
        self.weights, self.logits = self.weights[:, active], self.logits[:, active]
        self.probabilities, self.gradient = self.probabilities[:, active], self.gradient[:, active]
        self.curvature = _Curvature(self.curvature.rotation[active], self.curvature.eigenvalues[:, active])
        self.history = [(step[:, active], change[:, active], inverse[active]) for step, change, inverse in self.history]

    def take_step(self) -> None:
        """Move along the L-BFGS direction, and add the step to the history."""
        step, change = self._line_search(self._direction())
        product = _dot(step, change)
        # Strengths at which rounding hides the effect of the step get no weight.
        is_significant = product > 64 * np.finfo(step.dtype).eps * _norm(step) * _norm(change)
        inverse = np.divide(1, product, out=np.zeros_like(product), where=is_significant)
        self.history = [*self.history, (step, change, inverse)][-_HISTORY_LENGTH:]

    def _direction(self) -> Weights:
        """Return minus the approximate inverse Hessian times the gradient (the two loops of L-BFGS)."""
        result, factors = -self.gradient, []
        for step, change, inverse in reversed(self.history):
            factors.append(inverse * _dot(step, result))
            result -= factors[-1][:, None] * change
        result = self.curvature.solve(result)
        if self.history:
            # L-BFGS scales its initial Hessian so that it fits the last step.
            _, change, inverse = self.history[-1]
            scale = inverse * _dot(change, self.curvature.solve(change))
            result /= np.where(scale > 0, scale, 1)[:, None]
        for (step, change, inverse), factor in zip(self.history, reversed(factors), strict=True):
            result += (factor - inverse * _dot(change, result))[:, None] * step
        return result

    def _line_search(self, direction: Weights) -> tuple[Weights, Weights]:
        """Halve each strength's step, at most 40 times, until its objective falls enough (Armijo), and take it.

        Return the step and the change of the gradient.
        """
        logits_change, slope = self.objective.logits(direction), _dot(self.gradient, direction)
        length = np.ones_like(self.strengths)
        # Rounding error of the objective, so that a step at the minimum is not refused.
        slack = 64 * np.finfo(length.dtype).eps * np.abs(self.value)
        for _ in range(_MAX_HALVINGS):
            step = length[:, None] * direction
            weights, logits = self.weights + step, self.logits + length[:, None] * logits_change
            value, probabilities = self.objective.value_and_probabilities(weights, logits, self.strengths)
            too_high = ~(value <= self.value + _ARMIJO * length * slope + slack)  # also true for NaN
            if not too_high.any():
                break
            length[too_high] /= 2
        gradient = self.objective.gradient(weights, probabilities, self.strengths)
        change = gradient - self.gradient
        self.weights, self.logits, self.value, self.probabilities = weights, logits, value, probabilities
        self.gradient = gradient
        return step, change


def _dot(left: Weights, right: Weights) -> PerStrength:
    """Return the inner product at each strength."""
    return np.einsum("dgk,dgk->g", left, right)


def _norm(weights: Weights) -> PerStrength:
    """Return the Euclidean norm at each strength."""
    return np.sqrt(_dot(weights, weights))
