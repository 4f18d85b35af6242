"""LogME of classes that move as wholes: one eigendecomposition of the scatter within classes serves every move.

With W the scatter within classes, M the moved class means, each row times sqrt(n_c), and r = alpha / beta, the ridge
regression of class c on features X with X'X = W + M'M follows from matrices of size C alone. Let

    J = M (W + r)^-2 M',   H = M (W + r)^-1 W (W + r)^-1 M',   R = (1 + H + r J)^-1;   then
    |w_c|^2 = n_c (R J R)_cc,   |y_c - X w_c|^2 = n_c (R (1 + H) R)_cc,
    sum_k s_k^2 / (s_k^2 + r) = tr W (W + r)^-1 + r tr R J,   ln |1 + X'X / r| = ln |1 + W / r| - ln |R|,

sums of positive terms all. Each is a smooth function of ln r (analytic where |Im ln r| < pi), and every class has an r
of its own. So they are computed at Chebyshev nodes on panels of ln r and interpolated between these; what does not
depend on the move is computed once a panel.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from transfer_exp.metric.logme_fixed_point import fixed_point
from transfer_exp.statistics.moving_classes import MovingClasses

WIDTH, NODES = float(np.log(10.0)), 16
"""Of a panel in ln r, and its nodes: the poles, at a distance of pi or more, leave an error of 5.6^-16 = 1e-12."""

LEAST_PIVOT = 1e-8
"""Of a matrix with a diagonal of ones: below it, a move is scored by itself."""

COSINES = np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES)
"""Chebyshev nodes in [-1, 1]."""


def logme_over_moves(
    classes: MovingClasses, mixings: Float[np.ndarray, "moves classes classes"]
) -> Float[np.ndarray, " moves"]:
    """Return `logme` after each move, (moves,), of N > D samples; NaN where rounding would show in the eighth digit."""
    panels, scores = _Panels(classes), np.full(len(mixings), np.nan)
    for i, mixing in enumerate(mixings):
        with suppress(np.linalg.LinAlgError):
            scores[i] = _Move(panels, mixing).logme()
    return scores


@dataclass(frozen=True, eq=False)
class _Panel:
    """What no move changes, at k values of r.

    Attributes
    ----------
    ratios
        r, (k, 1, 1).
    squared, within
        V (W + r)^-2 V' and V (W + r)^-1 W (W + r)^-1 V', (k, C + 1, C + 1), the rows of V being the class offsets and
        the mean.
    known, log_determinant
        tr W (W + r)^-1 and ln |1 + W / r|, (k,).
    """

    ratios: Float[np.ndarray, "nodes 1 1"]
    squared: Float[np.ndarray, "nodes means means"]
    within: Float[np.ndarray, "nodes means means"]
    known: Float[np.ndarray, " nodes"]
    log_determinant: Float[np.ndarray, " nodes"]


class _Panels:
    """Panels by number, computed when first asked for; that of no number is r = 1 alone."""

    def __init__(self, classes: MovingClasses) -> None:
        spectrum = classes.within_spectrum
        self.counts = classes.statistics.counts
        self._eigenvalues = spectrum.eigenvalues
        self._means = np.vstack([spectrum.offsets, spectrum.mean])
        self._known: dict[int | None, _Panel] = {None: self._panel(np.ones(1))}

    def __getitem__(self, number: int | None) -> _Panel:
        if number is not None and number not in self._known:
            self._known[number] = self._panel(np.exp(WIDTH * (number + (1 + COSINES) / 2)))
        return self._known[number]

    def _panel(self, ratios: Float[np.ndarray, " nodes"]) -> _Panel:
        shifted = self._eigenvalues + ratios[:, None]
        inverted = [self._means / row for row in shifted]
        return _Panel(
            ratios[:, None, None],
            np.array([rows @ rows.T for rows in inverted]),
            np.array([rows * self._eigenvalues @ rows.T for rows in inverted]),
            (self._eigenvalues / shifted).sum(axis=1),
            np.log1p(self._eigenvalues / ratios[:, None]).sum(axis=1),
        )


class _Move:
    """The ridge regressions of all classes after one move.

    Classes are rotated so that the first direction is that of the mean of all samples. It may be huge, and would drown
    the others in rounding if it were spread over them.
    """

    def __init__(self, panels: _Panels, mixing: Float[np.ndarray, "classes classes"]) -> None:
        self._panels, self._counts = panels, panels.counts
        roots = np.sqrt(self._counts)
        self._rotation = np.linalg.qr(np.column_stack([roots, np.eye(len(roots))[:, 1:]]))[0]
        # Rows of a mixing sum to 1, so the mean of all samples before the move enters every class once.
        mean = np.zeros(len(roots))
        mean[0] = roots @ self._rotation[:, 0]
        self._mixing = np.column_stack([self._rotation.T @ (roots[:, None] * mixing), mean])
        self._tables: dict[int | None, np.ndarray] = {}

    def logme(self) -> float:
        """Return the score."""
        samples, everyone = int(self._counts.sum()), np.full(len(self._counts), True)

        def ridge(ratio: Float[np.ndarray, " active"], active: Bool[np.ndarray, " classes"]) -> tuple[np.ndarray, ...]:
            known, weight, residual, _ = self._at(ratio, active)
            return known, samples - known, weight, residual

        found = fixed_point(ridge, len(self._counts))
        *_, log_determinant = self._at(found.alpha / found.beta, everyone)
        return float(found.evidence(-log_determinant, samples).mean())

    def _at(
        self, ratio: Float[np.ndarray, " active"], active: Bool[np.ndarray, " classes"]
    ) -> Float[np.ndarray, "4 active"]:
        """Return the rows of `_table` for each active class at its own r, interpolated."""
        places = np.log(ratio) / WIDTH
        numbers, which = np.floor(places).astype(int), np.flatnonzero(active)
        if (ratio == 1).all():  # where all classes start: no need to interpolate
            return self._table(None)[:, 0, which]
        values = np.empty((4, len(ratio)))
        for number in set(numbers.tolist()):
            here = numbers == number
            weights = _interpolation(2 * (places[here] - number) - 1)
            values[:, here] = np.einsum("kn,qnk->qk", weights, self._table(number)[:, :, which[here]])
        return values

    def _table(self, number: int | None) -> Float[np.ndarray, "4 nodes classes"]:
        """Return known, |w|^2, |y - Xw|^2 and ln |1 + X'X / r| of every class at the nodes of a panel."""
        if number not in self._tables:
            panel = self._panels[number]
            squared = self._mixing @ panel.squared @ self._mixing.T
            within = np.eye(len(self._counts)) + self._mixing @ panel.within @ self._mixing.T
            inverse, log_determinant = _inverted(within + panel.ratios * squared)
            known = panel.known + panel.ratios[:, 0, 0] * (inverse * squared).sum(axis=(1, 2))
            rows = self._rotation @ inverse
            weight = self._counts * (rows @ squared * rows).sum(axis=2)
            residual = self._counts * (rows @ within * rows).sum(axis=2)
            log_determinant += panel.log_determinant
            every = np.broadcast_arrays(known[:, None], weight, residual, log_determinant[:, None])
            self._tables[number] = np.array(every)
        return self._tables[number]


def _inverted(
    matrices: Float[np.ndarray, "nodes size size"],
) -> tuple[Float[np.ndarray, "nodes size size"], Float[np.ndarray, " nodes"]]:
    """Return inverse and log-determinant of symmetric positive matrices, scaled to a diagonal of ones on the way.

    Raises
    ------
    LinAlgError
        When one is so near to singular that its inverse has fewer than about eight digits.
    """
    scale = 1 / np.sqrt(np.diagonal(matrices, axis1=1, axis2=2))
    scales = scale[:, :, None] * scale[:, None, :]
    pivots = np.diagonal(np.linalg.cholesky(matrices * scales), axis1=1, axis2=2)
    if not (pivots**2).min() > LEAST_PIVOT:
        raise np.linalg.LinAlgError("nearly singular")
    return np.linalg.inv(matrices * scales) * scales, 2 * (np.log(pivots) - np.log(scale)).sum(axis=1)


def _interpolation(places: Float[np.ndarray, " places"]) -> Float[np.ndarray, "places nodes"]:
    """Return the weight of the value at each node in the value at places in [-1, 1], by discrete orthogonality."""
    coefficients = np.polynomial.chebyshev.chebvander(COSINES, NODES - 1).T * (2 / NODES)
    coefficients[0] /= 2
    return np.polynomial.chebyshev.chebvander(places, NODES - 1) @ coefficients
