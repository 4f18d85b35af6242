"""The fixed point of LogME's two precisions, whatever the way in which a ridge regression is evaluated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float

EPSILON, TOLERANCE, ITERATIONS = 1e-5, 1e-3, 11
"""Of the released fixed point: added to denominators; change of alpha / beta to stop at; most rounds."""

Ridge: TypeAlias = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, ...]]
"""From alpha / beta of some targets (k,), and which of all these are (T,): the effective number of parameters, N minus
it, |w|^2 and |y - Xw|^2 of each, (k,), w being the weights of a ridge regression with that penalty."""


@dataclass(frozen=True, eq=False)
class FixedPoint:
    """The precision of the weights and of the noise of each target, and the weights they were last found from.

    Attributes
    ----------
    alpha, beta
        (T,), positive.
    weight, residual
        |w|^2 and |y - Xw|^2, (T,).
    """

    alpha: Float[np.ndarray, " targets"]
    beta: Float[np.ndarray, " targets"]
    weight: Float[np.ndarray, " targets"]
    residual: Float[np.ndarray, " targets"]

    def evidence(self, gain: Float[np.ndarray, " targets"], samples: int) -> Float[np.ndarray, " targets"]:
        """Return L / N of `logme`, (T,), from its D ln alpha - sum_k ln(alpha + beta s_k^2) and N."""
        gain = gain + samples * np.log(self.beta)
        cost = self.beta * self.residual + self.alpha * self.weight
        return (gain - cost - samples * np.log(2 * np.pi)) / (2 * samples)


def fixed_point(ridge: Ridge, targets: int) -> FixedPoint:
    """Iterate alpha = parameters / |w|^2, beta = (N - parameters) / |y - Xw|^2 from 1, each target until it settles."""
    alpha, beta = np.ones(targets), np.ones(targets)
    weight, residual = np.zeros(targets), np.zeros(targets)
    active: Bool[np.ndarray, " targets"] = np.full(targets, True)
    for _ in range(ITERATIONS):
        ratio = alpha[active] / beta[active]
        known, unknown, weight[active], residual[active] = ridge(ratio, active)
        alpha[active] = known / (weight[active] + EPSILON)
        beta[active] = unknown / (residual[active] + EPSILON)
        moved = np.abs(alpha[active] / beta[active] - ratio) > TOLERANCE * ratio
        active[active] = moved
        if not moved.any():
            break
    return FixedPoint(alpha, beta, weight, residual)
