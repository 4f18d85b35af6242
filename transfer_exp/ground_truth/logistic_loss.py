"""The objective of logistic regression at a whole grid of penalties, its gradient and its average curvature."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float, Int

Link: TypeAlias = Literal["softmax", "sigmoid"]
# One more row than there are directions: the last is the intercept, which is not penalised.
Weights: TypeAlias = Float[np.ndarray, "directions grid outputs"]
Logits: TypeAlias = Float[np.ndarray, "samples grid outputs"]
PerPoint: TypeAlias = Float[np.ndarray, " grid"]
_FLAT = 1e-3


@dataclass(frozen=True, eq=False)
class Curvature:
    """The Hessian, were every sample as uncertain as the average one.

    Then it would be (Z'Z) x (average covariance of the outputs), plus the penalty. Z'Z is diagonal in the eigenbasis
    of the features, so one small eigendecomposition inverts it exactly.

    Attributes
    ----------
    turn
        Eigenvectors of the average covariance, by strength.
    scale
        Eigenvalues of the whole.
    """

    turn: Float[np.ndarray, "grid outputs outputs"]
    scale: Weights

    def of(self, chosen: Int[np.ndarray, " chosen"]) -> Curvature:
        """Return the same for some of the strengths."""
        return Curvature(self.turn[chosen], self.scale[:, chosen])

    def solve(self, gradient: Weights) -> Weights:
        """Return the inverse times a gradient."""
        turned = np.einsum("dgk,gkm->dgm", gradient, self.turn) / self.scale
        return np.einsum("dgm,gkm->dgk", turned, self.turn)


class LogisticLoss:
    """``strength * (sum of losses) + |weights|^2 / 2``, with a column of ones appended to the features.

    Attributes
    ----------
    passes
        Gradients taken so far: each goes over all samples once.
    """

    def __init__(
        self,
        features: Float[np.ndarray, "samples rank"],
        targets: Float[np.ndarray, "samples outputs"],
        link: Link,
    ) -> None:
        self.features = np.concatenate([features, np.ones((len(features), 1))], axis=1)
        self.moments = (self.features**2).sum(axis=0)[:, None, None]
        self.targets = np.asarray(targets, dtype=np.float64)
        self.link = link
        self.penalty = np.ones((self.features.shape[1], 1, 1))
        self.penalty[-1] = 0
        self.passes = 0

    def single(self) -> LogisticLoss:
        """Return the same in float32, with a count of its own."""
        twin = copy.copy(self)
        twin.passes = 0
        twin.features, twin.targets = self.features.astype(np.float32), self.targets.astype(np.float32)
        twin.moments, twin.penalty = self.moments.astype(np.float32), self.penalty.astype(np.float32)
        return twin

    def start(self, grid: int) -> Weights:
        """Return zero weights, and the intercepts that are best with them."""
        rates = self.targets.mean(axis=0)
        weights = np.zeros((self.features.shape[1], grid, len(rates)))
        weights[-1] = np.log(rates) if self.link == "softmax" else np.log(rates / (1 - rates))
        return weights

    def logits(self, weights: Weights) -> Logits:
        """Return what the weights say of each sample."""
        return (self.features @ weights.reshape(len(weights), -1)).reshape(-1, *weights.shape[1:])

    def value(self, weights: Weights, logits: Logits, strengths: PerPoint) -> tuple[PerPoint, Logits]:
        """Return the objective, and the probabilities on the way to it."""
        if self.link == "sigmoid":
            losses, probabilities = np.logaddexp(0, logits).sum(axis=(0, 2)), 0.5 * (1 + np.tanh(0.5 * logits))
        else:
            top = logits.max(axis=2, keepdims=True)
            probabilities = np.exp(logits - top)
            total = probabilities.sum(axis=2, keepdims=True)
            probabilities /= total
            losses = (top + np.log(total)).sum(axis=(0, 2))
        losses = losses - np.einsum("ngk,nk->g", logits, self.targets)
        return strengths * losses + 0.5 * dot(self.penalty * weights, weights), probabilities

    def gradient(self, weights: Weights, probabilities: Logits, strengths: PerPoint) -> Weights:
        """Return the gradient of the objective."""
        self.passes += len(strengths)
        errors = (probabilities - self.targets[:, None]).reshape(len(probabilities), -1)
        return strengths[:, None] * (self.features.T @ errors).reshape(weights.shape) + self.penalty * weights

    def curvature(self, probabilities: Logits, strengths: PerPoint) -> Curvature:
        """Return the average curvature at these probabilities."""
        mean, each = probabilities.mean(axis=0), np.arange(probabilities.shape[2])
        if self.link == "sigmoid":
            spread = np.zeros((*mean.shape, mean.shape[1]))
            spread[:, each, each] = (probabilities * (1 - probabilities)).mean(axis=0)
        else:
            spread = -np.einsum("ngk,ngm->gkm", probabilities, probabilities) / len(probabilities)
            spread[:, each, each] += mean
        values, turn = np.linalg.eigh(spread)
        scale = strengths[:, None] * self.moments * np.maximum(values, 0) + self.penalty
        # A constant added to all classes' intercepts meets no curvature; it gets some, lest rounding be blown up.
        scale[-1] = np.maximum(scale[-1], _FLAT * scale[-1].max(axis=1, keepdims=True))
        return Curvature(turn, scale)


def dot(one: Weights, other: Weights) -> PerPoint:
    """Return the inner product at each strength."""
    return np.einsum("dgk,dgk->g", one, other)


def norm(weights: Weights) -> PerPoint:
    """Return the Euclidean norm at each strength."""
    return np.sqrt(dot(weights, weights))
