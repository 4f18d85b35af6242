"""Work that no implementation of a metric avoids, to compare the metric's time with."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.linalg import cholesky

from transfer_exp.statistics.class_statistics import class_sums


class Bound(NamedTuple):
    """Work that a metric cannot avoid, and a function of float64 input (N, D) and labels (N,) that does it."""

    work: str
    run: Callable[[np.ndarray, np.ndarray], object]


def gram(inputs: np.ndarray) -> np.ndarray:
    """Return X'X (D, D) or XX' (N, N), whichever is smaller."""
    return np.asarray(inputs @ inputs.T if len(inputs) <= inputs.shape[1] else inputs.T @ inputs)


def cholesky_of_gram(inputs: np.ndarray) -> np.ndarray:
    """Return the Cholesky factor of X'X plus a multiple of I."""
    product = gram(inputs)
    product.flat[:: len(product) + 1] += np.trace(product)
    return np.asarray(cholesky(product, overwrite_a=True, check_finite=False))


def solver_products(inputs: np.ndarray, labels: np.ndarray, evaluations: int = 75) -> None:
    """Multiply 4/5 of the samples by weights (D, C), and by errors (N, C), once for each evaluation of the loss."""
    train, columns = inputs[: len(inputs) * 4 // 5], labels.max() + 1
    weights, errors = np.ones((columns, train.shape[1])), np.ones((len(train), columns))
    for _ in range(evaluations):
        _ = train @ weights.T, errors.T @ train


def sums_and_product(inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the products of all rows with the sums of the classes, (N, C)."""
    return np.asarray(inputs @ class_sums(inputs, labels, int(labels.max()) + 1).T)


GRAM = Bound("X'X", lambda x, y: gram(x))
CHOLESKY = Bound("X'X, Cholesky", lambda x, y: cholesky_of_gram(x))
TWO_CHOLESKY = Bound("2 X'X, 2 Cholesky", lambda x, y: (cholesky_of_gram(x), cholesky_of_gram(x)))
EIGENVECTORS = Bound("X'X, eigenvectors", lambda x, y: np.linalg.eigh(gram(x)))
PAIRS = Bound("XX'", lambda x, y: x @ x.T)
SORTED_PAIRS = Bound("XX', sort of pairs", lambda x, y: np.sort((x @ x.T)[np.triu_indices(len(x), 1)]))
MOMENTS = Bound("sums of x and x^2", lambda x, y: (x.sum(axis=0), np.einsum("nd,nd->d", x, x)))
CLASS_SUMS = Bound("class sums, one product", sums_and_product)
LARGEST = Bound("largest of each row", lambda x, y: x.argmax(axis=1))
SOLVER = Bound("75 x (XW, E'X), as 5 fits of 15 steps", solver_products)
