"""L2-penalised logistic regression for a grid of inverse penalties, solved as one batched problem.

An inverse penalty is scikit-learn's C: the objective is ``C * (sum of losses) + |weights|^2 / 2``.
The algorithm:

1. Rotate the features into the eigenbasis of their second moments; with N < D, keep only the span of the samples.
2. Fit the whole grid together by L-BFGS (Nocedal & Wright, algorithm 7.4), with one matrix product for all fits.
3. Precondition L-BFGS with an approximate Hessian, which the eigenbasis makes cheap to invert; renew it every 5 steps.
4. Iterate in float32 until the gradient has shrunk to 1e-4 of its initial norm, then in float64.
5. Remove a fit from the batch once it meets the tolerance, and raise an error if one never does.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Int

from transfer_exp.errors import InputError, NotApplicableError

Activation: TypeAlias = Literal["softmax", "sigmoid"]
# Letters in `np.einsum`: n samples, d axes, g inverse penalties of the grid, k and m outputs.
# Weights or gradients. The axes are those of the eigenbasis and, last, the intercept, which is not penalised.
Weights: TypeAlias = Float[np.ndarray, "axes grid outputs"]
# Logits or probabilities.
Logits: TypeAlias = Float[np.ndarray, "samples grid outputs"]
# One number for each inverse penalty.
PerPenalty: TypeAlias = Float[np.ndarray, " grid"]

_HISTORY_LENGTH = 10  # steps that L-BFGS remembers
_HESSIAN_INTERVAL = 5  # steps between two Hessian approximations
_ARMIJO = 1e-4  # smallest accepted share of the decrease of the objective that its slope predicts
_MAX_TRIALS = 40  # of step lengths, each half of the one before
# Gradient norm, relative to the initial one, at which float32 hands over to float64; rounding stops it just below.
_FLOAT32_TOLERANCE = 1e-4
# If a sum of squared features, a penalty or its inverse reaches this, float32 is skipped.
_FLOAT32_MAX = 1e12
# Smallest eigenvalue for intercepts in the approximate Hessian, relative to their largest one.
_MIN_INTERCEPT_EIGENVALUE = 1e-3
_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, eq=False)
class Fits:
    """Solutions of one problem at every inverse penalty of a grid.

    Attributes:
        weights, intercepts: The logits of the g-th fit are ``features @ weights[g] + intercepts[g]``.
        relative_gradient: Norm of the last gradient over the norm at the start (zero weights, optimal intercepts).
            Once the intercepts are optimal, the absolute norm bounds the distance of the weights from the solution.
        steps: Steps that each fit took.
        n_gradients: Number of gradients computed, each of them on all samples, summed over the grid.
    """

    weights: Float[np.ndarray, "grid dim outputs"]
    intercepts: Float[np.ndarray, "grid outputs"]
    relative_gradient: PerPenalty
    steps: Int[np.ndarray, " grid"]
    n_gradients: int


def logistic_regression(
    features: Float[np.ndarray, "samples dim"],
    targets: Float[np.ndarray, "samples outputs"],
    inverse_penalties: Sequence[float],
    activation: Activation,
    tolerance: float = 1e-5,
    max_steps: int = 1000,
) -> Fits:
    """Minimise ``inverse_penalty * (sum of losses) + |weights|^2 / 2`` for all inverse penalties together.

    The memory used is about ten arrays of shape (N, G, K), and 20 of shape (min(N, D) + 1, G, K) for the last steps.

    Args:
        features: Features (N, D), best standardised.
        targets: Zeros and ones (N, K), both present in every column; for ``softmax`` exactly one 1 in every row.
        inverse_penalties: G inverse penalties (scikit-learn's C), positive and finite.
        activation: ``softmax`` for one class per sample (cross-entropy), ``sigmoid`` for K independent binary outputs.
        tolerance: Largest accepted gradient norm, relative to the gradient norm at the start.
        max_steps: Maximum number of steps in float32, and again in float64.

    Raises:
        InputError: When an output is the same for all samples, or an inverse penalty or the tolerance is not positive.
        NotApplicableError: When a fit does not converge within ``max_steps``, or features are not finite.
    """
    if not np.isfinite(features).all():
        raise NotApplicableError("logistic regression needs finite features: they have NaN or infinity")
    if len(inverse_penalties) == 0 or not all(0 < value < np.inf for value in (*inverse_penalties, tolerance)):
        raise InputError(f"inverse penalties and tolerance must be positive: got {inverse_penalties}, {tolerance}")
    if (targets.min(axis=0) == targets.max(axis=0)).any():
        raise InputError("logistic regression needs targets that vary: leave out classes that all or no samples have")
    coordinates, basis = _rotate_to_eigenbasis(np.asarray(features, dtype=np.float64))
    objective = _Objective(coordinates, targets, activation)
    grid = np.asarray(inverse_penalties, dtype=np.float64)
    weights, relative_gradient, steps = _solve(objective, grid, tolerance, max_steps)
    if not (relative_gradient <= tolerance).all():  # also true for NaN
        worst = int(relative_gradient.argmax())
        raise NotApplicableError(
            f"logistic regression did not converge at inverse penalty {grid[worst]:g}: after {steps[worst]} steps its "
            f"gradient is {relative_gradient[worst]:.1e} of the one at the start, not {tolerance:g}: raise the maximum "
            "number of steps (iterations of the linear probe) or the tolerance"
        )
    rotated_back = basis @ weights[:-1].reshape(basis.shape[1], -1)
    by_penalty = rotated_back.reshape(len(basis), *weights.shape[1:]).transpose(1, 0, 2)
    return Fits(by_penalty, weights[-1], relative_gradient, steps, objective.n_gradients)


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
    objective: _Objective, inverse_penalties: PerPenalty, tolerance: float, max_steps: int
) -> tuple[Weights, PerPenalty, Int[np.ndarray, " grid"]]:
    """Return weights, relative gradients and steps taken, after a float32 and a float64 stage."""
    weights = objective.initial_weights(len(inverse_penalties))
    _, probabilities = objective.value_and_probabilities(weights, objective.logits(weights), inverse_penalties)
    first_norm = np.maximum(_norm(objective.gradient(weights, probabilities, inverse_penalties)), _TINY)
    steps = np.zeros(len(inverse_penalties), dtype=np.int64)
    if max(objective.moments.max(), *inverse_penalties, *(1 / inverse_penalties)) < _FLOAT32_MAX:
        objective32 = objective.as_float32()
        rough_goal = max(tolerance, _FLOAT32_TOLERANCE) * first_norm
        rough_weights, norms, steps = _minimise(objective32, inverse_penalties, rough_goal, max_steps, weights)
        weights = np.where(np.isfinite(norms)[:, None], rough_weights, weights)
        objective.n_gradients += objective32.n_gradients
    weights, last_norm, more_steps = _minimise(objective, inverse_penalties, tolerance * first_norm, max_steps, weights)
    if objective.activation == "softmax":
        # Of all equivalent solutions the smallest: a constant added to all classes changes no probability.
        weights -= weights.mean(axis=2, keepdims=True)
    return weights, last_norm / first_norm, steps + more_steps


def _minimise(
    objective: _Objective, inverse_penalties: PerPenalty, goal: PerPenalty, max_steps: int, start: Weights
) -> tuple[Weights, PerPenalty, Int[np.ndarray, " grid"]]:
    """Return weights, gradient norms and steps taken; fits whose norm reaches its goal, or NaN, leave the batch."""
    weights = start.copy()
    steps = np.zeros(len(inverse_penalties), dtype=np.int64)
    active = np.arange(len(inverse_penalties))  # positions in the grid of the fits in the batch
    solver = _Solver(objective, start, inverse_penalties)
    norms = _norm(solver.gradient)
    for step in range(1, max_steps + 1):
        unsolved = np.flatnonzero(norms[active] > goal[active])  # positions in `active`
        if not len(unsolved):
            break
        if len(unsolved) < len(active):
            active = active[unsolved]
            solver.select(unsolved)
        if step % _HESSIAN_INTERVAL == 0:
            solver.hessian = objective.hessian(solver.probabilities, solver.inverse_penalties)
        solver.take_step()
        weights[:, active] = solver.weights
        steps[active] = step
        norms[active] = _norm(solver.gradient)
    return weights, norms, steps


class _Objective:
    """``inverse_penalty * (sum of losses) + |weights|^2 / 2``, with a column of ones appended to the features."""

    def __init__(
        self,
        features: Float[np.ndarray, "samples rank"],
        targets: Float[np.ndarray, "samples outputs"],
        activation: Activation,
    ) -> None:
        self.features = np.concatenate([features, np.ones((len(features), 1))], axis=1)
        self.moments = (self.features**2).sum(axis=0)[:, None, None]
        self.targets = np.asarray(targets, dtype=np.float64)
        self.activation = activation
        self.penalty = np.ones((self.features.shape[1], 1, 1))
        self.penalty[-1] = 0
        self.n_gradients = 0

    def as_float32(self) -> _Objective:
        """Return a float32 copy that counts its gradients separately."""
        objective32 = copy.copy(self)
        objective32.n_gradients = 0
        for name in ("features", "targets", "moments", "penalty"):
            setattr(objective32, name, getattr(self, name).astype(np.float32))
        return objective32

    def initial_weights(self, n_penalties: int) -> Weights:
        """Return zero weights and the intercepts that are optimal with them."""
        rates = self.targets.mean(axis=0)
        weights = np.zeros((self.features.shape[1], n_penalties, len(rates)))
        weights[-1] = np.log(rates) if self.activation == "softmax" else np.log(rates / (1 - rates))
        return weights

    def logits(self, weights: Weights) -> Logits:
        """Return the logits of all samples."""
        return (self.features @ weights.reshape(len(weights), -1)).reshape(-1, *weights.shape[1:])

    def value_and_probabilities(
        self, weights: Weights, logits: Logits, inverse_penalties: PerPenalty
    ) -> tuple[PerPenalty, Logits]:
        """Return the objective of each fit, and the probabilities of all samples."""
        if self.activation == "sigmoid":
            probabilities = 0.5 * (1 + np.tanh(0.5 * logits))
            losses = np.logaddexp(0, logits).sum(axis=(0, 2))
        else:
            top = logits.max(axis=2, keepdims=True)
            probabilities = np.exp(logits - top)
            total = probabilities.sum(axis=2, keepdims=True)
            probabilities /= total
            losses = (top + np.log(total)).sum(axis=(0, 2))
        losses = losses - np.einsum("ngk,nk->g", logits, self.targets)
        return inverse_penalties * losses + 0.5 * _dot(self.penalty * weights, weights), probabilities

    def gradient(self, weights: Weights, probabilities: Logits, inverse_penalties: PerPenalty) -> Weights:
        """Return the gradient of the objective."""
        self.n_gradients += len(inverse_penalties)
        errors = (probabilities - self.targets[:, None]).reshape(len(probabilities), -1)
        return inverse_penalties[:, None] * (self.features.T @ errors).reshape(weights.shape) + self.penalty * weights

    def hessian(self, probabilities: Logits, inverse_penalties: PerPenalty) -> _Hessian:
        """Return the approximate Hessian at these probabilities."""
        mean = probabilities.mean(axis=0)
        diagonal = np.arange(probabilities.shape[2])
        if self.activation == "sigmoid":
            covariance = np.zeros((*mean.shape, mean.shape[1]))
            covariance[:, diagonal, diagonal] = (probabilities * (1 - probabilities)).mean(axis=0)
        else:
            covariance = -np.einsum("ngk,ngm->gkm", probabilities, probabilities) / len(probabilities)
            covariance[:, diagonal, diagonal] += mean
        values, rotation = np.linalg.eigh(covariance)
        eigenvalues = inverse_penalties[:, None] * self.moments * np.maximum(values, 0) + self.penalty
        # A constant added to all intercepts has eigenvalue 0. It is raised, or rounding errors would blow up.
        lowest = _MIN_INTERCEPT_EIGENVALUE * eigenvalues[-1].max(axis=1, keepdims=True)
        eigenvalues[-1] = np.maximum(eigenvalues[-1], lowest)
        return _Hessian(rotation, eigenvalues)


class _Hessian(NamedTuple):
    """Approximate Hessian: (second moments of the features) x (average covariance of the outputs), plus the penalty.

    The moments are diagonal in the eigenbasis (exactly only for centred features: others are not orthogonal to the
    column of ones). So ``rotation``, the eigenvectors of the covariance of each fit, diagonalises the Hessian.
    """

    rotation: Float[np.ndarray, "grid outputs outputs"]
    eigenvalues: Weights

    def solve(self, gradient: Weights) -> Weights:
        """Return the inverse Hessian times a gradient."""
        rotated = np.einsum("dgk,gkm->dgm", gradient, self.rotation) / self.eigenvalues
        return np.einsum("dgm,gkm->dgk", rotated, self.rotation)


class _Correction(NamedTuple):
    """A step, the change of the gradient that it caused, and 1 over their inner product (s, y, rho of the book)."""

    step: Weights
    change: Weights
    inverse: PerPenalty


class _Solver:
    """L-BFGS on a batch of fits, which shrinks as they are solved, in the precision of the objective."""

    def __init__(self, objective: _Objective, weights: Weights, inverse_penalties: PerPenalty) -> None:
        dtype = objective.features.dtype
        self.objective = objective
        self.inverse_penalties = inverse_penalties.astype(dtype)
        self.weights = weights.astype(dtype)
        self.logits = objective.logits(self.weights)
        self.value, self.probabilities = objective.value_and_probabilities(
            self.weights, self.logits, self.inverse_penalties
        )
        self.gradient = objective.gradient(self.weights, self.probabilities, self.inverse_penalties)
        self.hessian = objective.hessian(self.probabilities, self.inverse_penalties)
        self.history: list[_Correction] = []

    def select(self, positions: Int[np.ndarray, " active"]) -> None:
        """Keep only the fits at these positions in the batch."""
        for name in ("inverse_penalties", "value"):
            setattr(self, name, getattr(self, name)[positions])
        for name in ("weights", "logits", "probabilities", "gradient"):
            setattr(self, name, getattr(self, name)[:, positions])
        self.hessian = _Hessian(self.hessian.rotation[positions], self.hessian.eigenvalues[:, positions])
        self.history = [_Correction(s[:, positions], y[:, positions], rho[positions]) for s, y, rho in self.history]

    def take_step(self) -> None:
        """Move along the L-BFGS direction, and add the step to the history."""
        step, change = self._line_search(self._direction())
        product = _dot(step, change)
        # A step whose effect is hidden by rounding gets no weight.
        is_significant = product > 64 * np.finfo(step.dtype).eps * _norm(step) * _norm(change)
        inverse = np.divide(1, product, out=np.zeros_like(product), where=is_significant)
        self.history = [*self.history, _Correction(step, change, inverse)][-_HISTORY_LENGTH:]

    def _direction(self) -> Weights:
        """Return minus the approximate inverse Hessian times the gradient (the two loops of L-BFGS)."""
        result = -self.gradient
        factors = []
        for step, change, inverse in reversed(self.history):
            factors.append(inverse * _dot(step, result))
            result -= factors[-1][:, None] * change
        result = self.hessian.solve(result)
        if self.history:
            # L-BFGS scales its initial Hessian so that it fits the last step.
            last = self.history[-1]
            scale = last.inverse * _dot(last.change, self.hessian.solve(last.change))
            result /= np.where(scale > 0, scale, 1)[:, None]
        for (step, change, inverse), factor in zip(self.history, reversed(factors), strict=True):
            result += (factor - inverse * _dot(change, result))[:, None] * step
        return result

    def _line_search(self, direction: Weights) -> tuple[Weights, Weights]:
        """Halve each fit's step until its objective falls enough (Armijo), and take it.

        If none of 40 lengths suffices, the last one is taken. Return the step and the change of the gradient.
        """
        logits_change = self.objective.logits(direction)
        slope = _dot(self.gradient, direction)
        length = np.ones_like(self.inverse_penalties)
        # Rounding error of the objective, so that a step at the minimum is not refused.
        slack = 64 * np.finfo(length.dtype).eps * np.abs(self.value)
        for _ in range(_MAX_TRIALS):
            step = length[:, None] * direction
            weights = self.weights + step
            logits = self.logits + length[:, None] * logits_change
            value, probabilities = self.objective.value_and_probabilities(weights, logits, self.inverse_penalties)
            too_high = ~(value <= self.value + _ARMIJO * length * slope + slack)  # also true for NaN
            if not too_high.any():
                break
            length[too_high] /= 2
        gradient = self.objective.gradient(weights, probabilities, self.inverse_penalties)
        change = gradient - self.gradient
        self.weights, self.logits, self.value = weights, logits, value
        self.probabilities, self.gradient = probabilities, gradient
        return step, change


def _dot(left: Weights, right: Weights) -> PerPenalty:
    """Return the inner product of each fit."""
    return np.einsum("dgk,dgk->g", left, right)


def _norm(weights: Weights) -> PerPenalty:
    """Return the Euclidean norm of each fit."""
    return np.sqrt(_dot(weights, weights))
