"""Logistic regression for a whole grid of penalties at once: one batched problem, solved until it provably is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.ground_truth.logistic_loss import (
    Curvature,
    Link,
    LogisticLoss,
    Logits,
    PerPoint,
    Weights,
    dot,
    norm,
)

_MEMORY, _REFRESH = 10, 5
_ARMIJO, _HALVINGS = 1e-4, 40
# Gradient, as a share of the first, at which float32 hands over, above what its rounding reaches; and the largest
# numbers that are trusted to it.
_ROUGH, _SAFE = 1e-4, 1e12
_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, eq=False)
class Fits:
    """Solutions of one problem at every strength of a grid.

    Attributes
    ----------
    weights, intercepts
        Logits of strength g are ``features @ weights[g] + intercepts[g]``.
    gradient
        Norm of the last gradient over that of the first: how well each strength is solved. The objective is at least as
        curved as its penalty. So with the intercepts at their best, the norm of the last gradient itself bounds how
        far the weights are from the solution.
    iterations
        Steps each strength took.
    passes
        Gradients taken, summed over the grid: each goes over all samples once.
    """

    weights: Float[np.ndarray, "grid dim outputs"]
    intercepts: Float[np.ndarray, "grid outputs"]
    gradient: PerPoint
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
    """Minimise ``strength * (sum of losses) + |weights|^2 / 2`` for every strength together.

    L-BFGS (Nocedal & Wright, algorithm 7.4) that starts from `Curvature` instead of a multiple of the identity. With
    N < D the weights lie in the span of the samples, because anything outside it is penalised and changes no logit; so
    the problem is solved there, and D stops to matter. The way to a gradient of 1e-4 is gone in float32, the rest in
    float64. Memory: some ten arrays of (N, G, K).

    Parameters
    ----------
    features
        (N, D), best standardised.
    targets
        (N, K) zeros and ones, some of each in every column; a single one in every row for ``softmax``.
    strengths
        G inverse penalties (scikit-learn's C), positive.
    link
        ``softmax`` for one class a sample (cross-entropy), ``sigmoid`` for K independent yes-or-no questions.
    tolerance
        A strength is solved once its gradient has shrunk to this fraction of what it was for zero weights.
    iterations
        Most steps.

    Raises
    ------
    InputError
        When an output is the same for all samples, or a strength or the tolerance is not positive.
    NotApplicableError
        When a strength is not solved within ``iterations``, or features are not finite.
    """
    if not np.isfinite(features).all():
        raise NotApplicableError("logistic regression needs finite features: they have NaN or infinity")
    if len(strengths) == 0 or min(*strengths, tolerance) <= 0:
        raise InputError(f"logistic regression needs positive strengths and tolerance: got {strengths}, {tolerance}")
    if (targets.min(axis=0) == targets.max(axis=0)).any():
        raise InputError("logistic regression needs targets that vary: leave out classes that all or no samples have")
    directions, basis = _eigenbasis(np.asarray(features, dtype=np.float64))
    problem = LogisticLoss(directions, targets, link)
    grid = np.asarray(strengths, dtype=np.float64)
    weights, gradient, steps = _solved(problem, grid, tolerance, iterations)
    if (gradient > tolerance).any():
        worst = int(gradient.argmax())
        raise NotApplicableError(
            f"logistic regression did not converge at strength {grid[worst]:g}: after {iterations} steps its gradient "
            f"is {gradient[worst]:.1e} of the first, not {tolerance:g}: raise iterations or tolerance"
        )
    inside = basis @ weights[:-1].reshape(basis.shape[1], -1)
    by_point = inside.reshape(len(basis), *weights.shape[1:]).transpose(1, 0, 2)
    return Fits(by_point, weights[-1], gradient, steps, problem.passes)


def _eigenbasis(
    features: Float[np.ndarray, "samples dim"],
) -> tuple[Float[np.ndarray, "samples rank"], Float[np.ndarray, "dim rank"]]:
    """Return features in the eigenbasis of their second moments, within their span, and that orthonormal basis."""
    samples, dim = features.shape
    if samples >= dim:
        basis = np.linalg.eigh(features.T @ features)[1]
        return features @ basis, basis
    span, triangle = np.linalg.qr(features.T)
    turn = np.linalg.eigh(triangle @ triangle.T)[1]
    return triangle.T @ turn, span @ turn


class _Memory:
    """The last moves and what each did to the gradient: what L-BFGS knows of the Hessian beyond its average."""

    def __init__(self) -> None:
        self.pairs: list[tuple[Weights, Weights, PerPoint]] = []

    def add(self, move: Weights, change: Weights) -> None:
        """Remember a move, but for the strengths at which rounding drowned it."""
        product = dot(move, change)
        sound = product > 64 * np.finfo(move.dtype).eps * norm(move) * norm(change)
        inverse = np.divide(1, product, out=np.zeros_like(product), where=sound)
        self.pairs = [*self.pairs, (move, change, inverse)][-_MEMORY:]

    def keep(self, going: Int[np.ndarray, " kept"]) -> None:
        """Forget the strengths that are solved."""
        self.pairs = [(move[:, going], change[:, going], inverse[going]) for move, change, inverse in self.pairs]

    def direction(self, gradient: Weights, curvature: Curvature) -> Weights:
        """Return minus the gradient times the inverse Hessian, as far as both are known."""
        result, weights = -gradient, []
        for move, change, inverse in reversed(self.pairs):
            weights.append(inverse * dot(move, result))
            result -= weights[-1][:, None] * change
        result = curvature.solve(result)
        if self.pairs:
            _, change, inverse = self.pairs[-1]
            scale = inverse * dot(change, curvature.solve(change))
            result /= np.where(scale > 0, scale, 1)[:, None]
        for (move, change, inverse), weight in zip(self.pairs, reversed(weights), strict=True):
            result += (weight - inverse * dot(change, result))[:, None] * move
        return result


@dataclass(eq=False)
class _State:
    """Where the strengths that are not yet solved stand."""

    strengths: PerPoint
    weights: Weights
    logits: Logits
    value: PerPoint
    probabilities: Logits
    gradient: Weights
    curvature: Curvature

    @classmethod
    def at(cls, problem: LogisticLoss, weights: Weights, strengths: PerPoint) -> _State:
        """Return the state at given weights, in the problem's precision."""
        strengths, weights = (a.astype(problem.features.dtype) for a in (strengths, weights))
        logits = problem.logits(weights)
        value, probabilities = problem.value(weights, logits, strengths)
        gradient = problem.gradient(weights, probabilities, strengths)
        curvature = problem.curvature(probabilities, strengths)
        return cls(strengths, weights, logits, value, probabilities, gradient, curvature)

    def keep(self, going: Int[np.ndarray, " kept"]) -> None:
        """Forget the strengths that are solved."""
        self.strengths, self.value = self.strengths[going], self.value[going]
        self.weights, self.logits = self.weights[:, going], self.logits[:, going]
        self.probabilities, self.gradient = self.probabilities[:, going], self.gradient[:, going]
        self.curvature = self.curvature.of(going)

    def advance(self, problem: LogisticLoss, move: Weights) -> tuple[Weights, Weights]:
        """Move, halving each strength's step until its objective falls enough (Armijo); return step and change."""
        turn, slope, length = problem.logits(move), dot(self.gradient, move), np.ones_like(self.strengths)
        slack = 64 * np.finfo(length.dtype).eps * np.abs(self.value)
        for _ in range(_HALVINGS):
            step = length[:, None] * move
            weights, logits = self.weights + step, self.logits + length[:, None] * turn
            value, probabilities = problem.value(weights, logits, self.strengths)
            short = value > self.value + _ARMIJO * length * slope + slack
            if not short.any():
                break
            length[short] /= 2
        gradient = problem.gradient(weights, probabilities, self.strengths)
        change = gradient - self.gradient
        self.weights, self.logits, self.value, self.probabilities = weights, logits, value, probabilities
        self.gradient = gradient
        return step, change


def _solved(
    problem: LogisticLoss, strengths: PerPoint, tolerance: float, iterations: int
) -> tuple[Weights, PerPoint, Int[np.ndarray, " grid"]]:
    """Return weights, final over initial gradient norm, and steps taken: most of the way in float32, then float64."""
    start = problem.start(len(strengths))
    first = np.maximum(norm(_State.at(problem, start, strengths).gradient), _TINY)
    rough, steps = start, np.zeros(len(strengths), dtype=np.int64)
    if max(problem.moments.max(), *strengths, *(1 / strengths)) < _SAFE:
        single = problem.single()
        rough, _, steps = _minimised(single, strengths, max(tolerance, _ROUGH) * first, iterations, start)
        problem.passes += single.passes
    found, left, more = _minimised(problem, strengths, tolerance * first, iterations, rough)
    if problem.link == "softmax":
        found -= found.mean(axis=2, keepdims=True)  # adding a constant to all classes changes nothing
    return found, left / first, steps + more


def _minimised(
    problem: LogisticLoss, strengths: PerPoint, goal: PerPoint, iterations: int, start: Weights
) -> tuple[Weights, PerPoint, Int[np.ndarray, " grid"]]:
    """Return weights, gradient norm, and steps taken; strengths at their goal drop out of the work."""
    found, steps, todo = start.copy(), np.zeros(len(strengths), dtype=np.int64), np.arange(len(strengths))
    state, memory = _State.at(problem, start, strengths), _Memory()
    left = norm(state.gradient)
    for step in range(1, iterations + 1):
        going = np.flatnonzero(left[todo] > goal[todo])
        if not len(going):
            break
        if len(going) < len(todo):
            todo = todo[going]
            state.keep(going)
            memory.keep(going)
        if step % _REFRESH == 0:
            state.curvature = problem.curvature(state.probabilities, state.strengths)
        memory.add(*state.advance(problem, memory.direction(state.gradient, state.curvature)))
        found[:, todo], steps[todo], left[todo] = state.weights, step, norm(state.gradient)
    return found, left, steps
