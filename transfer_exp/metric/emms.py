"""EMMS: how well the features predict, linearly, what language and image models say of the class names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int, Real

from transfer_exp.errors import InputError
from transfer_exp.io.npz import array_names, read_array
from transfer_exp.metric.spectrum import spectrum
from transfer_exp.statistics.discriminant import centred_features
from transfer_exp.statistics.feature_set import LARGEST, encode_labels
from transfer_exp.statistics.rounding import RESOLUTION

ONE_HOT = "one_hot"
"""In the place of a file of label embeddings: the labels themselves."""


def emms(
    features: Real[np.ndarray, "samples dim"],
    labels: Int[np.ndarray, " samples"],
    embeddings: Real[np.ndarray, "foundations classes dims"] | None = None,
    rounds: int = 1,
) -> float:
    """Return minus the mean squared error of a linear fit of features to a mixture of label embeddings.

    Standardise every column of the features X and of the K embeddings Y_k of the samples' labels. Start from weights
    t = 1/K; in each round fit Y(t) = sum_k t_k Y_k by least squares, then take as t the projection onto the simplex of
    the least-squares weights that turn the Y_k into that fit. The score is minus the mean over entries of the squared
    difference between the last fit and Y(t).

    Parameters
    ----------
    features
        (N, D). An invertible affine map leaves the score alone.
    labels
        (N,), integers, at least two classes; with ``embeddings`` the rows of these, so in [0, C).
    embeddings
        (K, C, d), one of each foundation model per class. A column that is constant over the samples counts as zero.
        None takes the one-hot labels: no foundation model is heard then.
    rounds
        Of alternating minimisation, at least 1; the release takes one.

    Returns
    -------
    float
        In [-4, 0], since neither the fit nor Y(t) has entries of more than unit mean square; in [-1, 0] for K = 1.
        With N <= D the fit is exact, and nothing is left to rank by.

    Raises
    ------
    InputError
        As `check_features`; when ``embeddings`` are not finite or lack a label, or ``rounds`` is below 1.

    References
    ----------
    Meng, Shao, Peng, Jiang, Zhang, Qiao, Luo, "Foundation Model is Efficient Multimodal Multitask Model Selector",
    NeurIPS 2023, weighted linear square loss, as released, but for a factor d^2 that all models share.
    """
    if rounds < 1:
        raise InputError(f"rounds={rounds} of emms must be at least 1")
    deviations = centred_features(features, labels)
    codes, counts = encode_labels(labels)
    targets = standardised_targets(embeddings, np.unique(labels), counts)
    spread = np.sqrt((deviations**2).mean(axis=0))
    columns = deviations / np.where(spread > 0, spread, 1.0)
    share = counts / len(codes)
    # Of X the fit needs M'PM / N alone: M the indicators of the classes, P the projection on the columns.
    fitted = np.zeros((len(counts), len(counts)))
    if spread.any():
        _, coordinates = spectrum(columns, np.eye(len(counts))[codes])
        fitted = coordinates.T @ coordinates / len(codes)
    return _loss(targets, fitted, share, rounds)


def standardised_targets(
    embeddings: Real[np.ndarray, "foundations classes dims"] | None,
    present: Int[np.ndarray, " present"],
    counts: Int[np.ndarray, " present"],
) -> Float[np.ndarray, "foundations present dims"]:
    """Return the embeddings of the classes that occur, with mean 0 and variance 1 (or 0) over samples per column.

    Raises
    ------
    InputError
        When they are not finite real numbers (K, C, d), or have no row for a label.
    """
    if embeddings is None:
        rows = np.eye(len(counts))[None]
    else:
        embeddings = np.asarray(embeddings)
        if embeddings.ndim != 3 or embeddings.size == 0 or embeddings.dtype.kind not in "fiu":
            raise InputError(f"label embeddings must be numbers (K, C, d): got {embeddings.dtype} {embeddings.shape}")
        # Written so that NaN, which fails every comparison, is refused too.
        if not (np.abs(embeddings) <= LARGEST).all():
            raise InputError(f"label embeddings hold NaN or values beyond {LARGEST:.0e}: check the foundation models")
        if present[0] < 0 or present[-1] >= embeddings.shape[1]:
            raise InputError(
                f"label embeddings name {embeddings.shape[1]} classes, labels reach {present[-1]}: embed all"
            )
        rows = embeddings[:, present].astype(np.float64)
    share = (counts / counts.sum())[:, None]
    means = (share * rows).sum(axis=1, keepdims=True)
    rows = np.where(np.abs(rows - means) > RESOLUTION * np.abs(means), rows - means, 0.0)
    deviation = np.sqrt((share * rows**2).sum(axis=1, keepdims=True))
    return rows / np.where(deviation > 0, deviation, np.inf)


def _loss(
    targets: Float[np.ndarray, "foundations classes dims"],
    fitted: Float[np.ndarray, "classes classes"],
    share: Float[np.ndarray, " classes"],
    rounds: int,
) -> float:
    """Return the score of `emms` from standardised class targets, M'PM / N (P projects on X) and class shares."""
    weights = np.full(len(targets), 1 / len(targets))
    gram = np.einsum("kcd,c,lcd->kl", targets, share, targets)
    for _ in range(rounds):
        mixture = np.einsum("k,kcd->cd", weights, targets)
        weights = onto_simplex(np.linalg.lstsq(gram, np.einsum("kcd,cd->k", targets, fitted @ mixture), rcond=None)[0])
    final = np.einsum("k,kcd->cd", weights, targets)
    # The fit minus its projection, and what of Y(t) lies outside the features: two squares, neither below zero.
    inside = np.einsum("cd,cd->", mixture - final, fitted @ (mixture - final))
    outside = np.einsum("cd,cd->", final, share[:, None] * final - fitted @ final)
    loss = float(max(inside, 0.0) + max(outside, 0.0)) / targets.shape[2]
    return -loss if loss > RESOLUTION else 0.0


def onto_simplex(weights: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """Return the nearest weights that are at least 0 and sum to 1, (K,): Martins and Astudillo, ICML 2016."""
    ordered = np.sort(weights)[::-1]
    excess = (np.cumsum(ordered) - 1) / np.arange(1, len(weights) + 1)
    return np.maximum(weights - excess[np.flatnonzero(ordered > excess)[-1]], 0.0)


def read_embeddings(path: str) -> Float[np.ndarray, "foundations classes dims"]:
    """Return the arrays (C, d) of an .npz, one per foundation model, in the order of their names, (K, C, d).

    Raises
    ------
    InputError
        When the file is missing or no such archive, or its arrays differ in shape.
    """
    place = Path(path).expanduser()
    try:
        found = {name: read_array(place, name) for name in sorted(array_names(place))}
    except InputError as error:
        raise InputError(f"embeddings={path} of emms is no readable .npz of arrays (C, d): {error}") from error
    if not found or {a.ndim for a in found.values()} != {2} or len({a.shape for a in found.values()}) > 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in found.items())
        raise InputError(f"embeddings={path} of emms must hold arrays of one shape (C, d), not {shapes or 'nothing'}")
    return np.stack([array.astype(np.float64) for array in found.values()])


@dataclass(frozen=True)
class EMMS:
    """`emms` as a metric.

    Attributes
    ----------
    embeddings
        Path of an .npz (no pickles) with one array (C, d) per foundation model, the rows in the order of the classes;
        or ``"one_hot"``, the labels themselves, which makes it a plain linear fit that no foundation model informs.
    rounds
        Of alternating minimisation, at least 1.
    """

    name: ClassVar[str] = "emms"
    source: ClassVar[str] = "Meng et al., NeurIPS 2023"
    lower: ClassVar[float] = -4.0
    upper: ClassVar[float] = 0.0
    inputs: ClassVar[tuple[str, ...]] = ("features", "labels")
    invariances: ClassVar[tuple[str, ...]] = ("rotation", "translation", "scaling", "affine")

    embeddings: str = ONE_HOT
    rounds: int = 1

    def __call__(self, features: np.ndarray, labels: np.ndarray) -> float:
        """Return `emms` of features (N, D) and labels (N,)."""
        return emms(
            features, labels, None if self.embeddings == ONE_HOT else read_embeddings(self.embeddings), self.rounds
        )
