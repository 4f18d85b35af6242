"""EMMS: linear fit of the features to foundation models' embeddings of the class names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Real

from transfer_exp.errors import InputError, check_options, check_types
from transfer_exp.io.npz import list_arrays, read_array
from transfer_exp.io.text import expand_user
from transfer_exp.metric.metric import Metric
from transfer_exp.metric.spectrum import spectrum_and_coordinates
from transfer_exp.statistics.discriminant import centred_features
from transfer_exp.statistics.feature_set import LARGEST, Features, Labels, encode_labels
from transfer_exp.statistics.rounding import RESOLUTION

ONE_HOT = "one_hot"
"""Value of ``embeddings`` that stands for the one-hot labels instead of a file of label embeddings."""


def emms(
    features: Features,
    labels: Labels,
    embeddings: Real[np.ndarray, "foundation_models classes dims"] | None = None,
    rounds: int = 1,
) -> float:
    """Compute minus the mean squared error of a linear fit of features to a mixture of label embeddings.

    X are the features, and Y_k is the embedding of each sample's label by foundation model k, (N, d). Their columns are
    standardised. The weights start at t_k = 1/K. Each round fits the mixture Y(t) = sum_k t_k Y_k on X by least
    squares. It then finds the least-squares weights that turn the Y_k into that fit, and t becomes their projection
    onto the simplex. The score is minus the mean over entries of the squared difference between the last fit and Y(t).
    A mean up to `RESOLUTION` is a rounding error and gives 0.

    Args:
        features: (N, D). An invertible affine map leaves the score unchanged.
        labels: (N,), integers, at least two classes. With ``embeddings`` they index its rows, so they lie in [0, C).
        embeddings: (K, C, d), one embedding per foundation model and class. A column that is constant over the samples,
            up to rounding, counts as zero. None stands for the one-hot labels, without any foundation model.
        rounds: Number of alternating minimisations, at least 1; the authors' code takes one.

    Returns:
        Value in [-4, 0], because the entries of the fit and of Y(t) have at most unit mean square; in [-1, 0] for K =
        1. With N <= D the fit is exact and the score ranks nothing.

    Raises:
        InputError: If ``embeddings`` are not finite numbers (K, C, d) or lack the class of a label, if ``rounds`` is
            below 1, or if `centred_features` rejects the features or labels.

    References:
        Meng, Shao, Peng, Jiang, Zhang, Qiao, Luo, "Foundation Model is Efficient Multimodal Multitask Model Selector",
        NeurIPS 2023, weighted linear square loss. The score of the authors' code is d^2 times as large.
    """
    if rounds < 1:
        raise InputError(f"rounds={rounds} of emms must be at least 1")
    deviations = centred_features(features, labels)
    codes, counts = encode_labels(labels)
    class_embeddings = _standardise(embeddings, np.unique(labels), counts)
    spread = np.sqrt((deviations**2).mean(axis=0))
    columns = deviations / np.where(spread > 0, spread, np.inf)
    share = counts / len(codes)
    # The samples of a class share one embedding, so Y_k = M E_k with the class indicators M (N, C). With the projection
    # P onto the columns of X, all sums over samples of the fit P Y then need only M'PM / N, (C, C).
    class_projection = np.zeros((len(counts), len(counts)))
    if spread.any():
        _, coordinates = spectrum_and_coordinates(columns, np.eye(len(counts))[codes])
        class_projection = coordinates.T @ coordinates / len(codes)
    return _score(class_embeddings, class_projection, share, rounds)


def _standardise(
    embeddings: Real[np.ndarray, "foundation_models classes dims"] | None,
    present: Int[np.ndarray, " present"],
    counts: Int[np.ndarray, " present"],
) -> Float[np.ndarray, "foundation_models present dims"]:
    """Return the embeddings of the classes that occur, with mean 0 and variance 1 (or 0) over samples per column."""
    if embeddings is None:
        values = np.eye(len(counts))[None]
    else:
        embeddings = np.asarray(embeddings)
        if embeddings.ndim != 3 or embeddings.size == 0 or embeddings.dtype.kind not in "fiu":
            raise InputError(f"label embeddings must be numbers (K, C, d): got {embeddings.dtype} {embeddings.shape}")
        # Negated, because NaN fails every comparison.
        if not (np.abs(embeddings) <= LARGEST).all():
            raise InputError(f"label embeddings hold NaN or values beyond {LARGEST:.0e}: check the foundation models")
        if present[0] < 0 or present[-1] >= embeddings.shape[1]:
            raise InputError(
                f"label embeddings cover {embeddings.shape[1]} classes, but labels reach {present[-1]}: "
                "embed all class names"
            )
        values = embeddings[:, present].astype(np.float64)
    share = (counts / counts.sum())[:, None]
    means = (share * values).sum(axis=1, keepdims=True)
    # Rounding errors of a constant column would be scaled up to variance 1.
    centred = np.where(np.abs(values - means) > RESOLUTION * np.abs(means), values - means, 0.0)
    deviation = np.sqrt((share * centred**2).sum(axis=1, keepdims=True))
    return centred / np.where(deviation > 0, deviation, np.inf)


def _score(
    class_embeddings: Float[np.ndarray, "foundation_models classes dims"],
    class_projection: Float[np.ndarray, "classes classes"],
    share: Float[np.ndarray, " classes"],
    rounds: int,
) -> float:
    """Return the score of `emms` from standardised embeddings of the classes, M'PM / N and the class shares."""
    weights = np.full(len(class_embeddings), 1 / len(class_embeddings))
    gram = np.einsum("kcd,c,lcd->kl", class_embeddings, share, class_embeddings)
    for _ in range(rounds):
        mixture = np.einsum("k,kcd->cd", weights, class_embeddings)
        products = np.einsum("kcd,cd->k", class_embeddings, class_projection @ mixture)
        weights = project_onto_simplex(np.linalg.lstsq(gram, products, rcond=None)[0])
    final = np.einsum("k,kcd->cd", weights, class_embeddings)
    # Error within the span of the features, and the part of Y(t) outside it: two squares, neither negative.
    inside = np.einsum("cd,cd->", mixture - final, class_projection @ (mixture - final))
    outside = np.einsum("cd,cd->", final, share[:, None] * final - class_projection @ final)
    loss = float(max(inside, 0.0) + max(outside, 0.0)) / class_embeddings.shape[2]
    return -loss if loss > RESOLUTION else 0.0


def project_onto_simplex(weights: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """Return the nearest weights that are at least 0 and sum to 1, (K,): Martins and Astudillo, ICML 2016."""
    ordered = np.sort(weights)[::-1]
    excess = (np.cumsum(ordered) - 1) / np.arange(1, len(weights) + 1)
    return np.maximum(weights - excess[np.flatnonzero(ordered > excess)[-1]], 0.0)


def read_embeddings(path: str) -> Float[np.ndarray, "foundation_models classes dims"]:
    """Return the arrays (C, d) of an .npz, one per foundation model, sorted by name, (K, C, d).

    Raises:
        InputError: If the file is missing or not such an archive, or its arrays differ in shape.
    """
    file = expand_user(path)
    try:
        arrays = {name: read_array(file, name) for name in sorted(list_arrays(file))}
    except InputError as error:
        raise InputError(f"embeddings={path} of emms is not a readable .npz of arrays (C, d): {error}") from error
    if not arrays or {a.ndim for a in arrays.values()} != {2} or len({a.shape for a in arrays.values()}) > 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise InputError(f"embeddings={path} of emms must hold arrays of one shape (C, d), not {shapes or 'nothing'}")
    return np.stack([array.astype(np.float64) for array in arrays.values()])


@dataclass(frozen=True)
class EMMS(Metric):
    """`emms` as a metric. The fields are its options.

    ``embeddings`` is the path of an .npz (no pickles) with one array (C, d) per foundation model, its rows in the order
    of the classes. ``"one_hot"`` stands for the labels themselves: a plain linear fit without any foundation model.
    """

    name = "emms"
    source = "Meng et al., NeurIPS 2023"
    lower = -4.0
    upper = 0.0
    invariances = ("rotation", "translation", "scaling", "affine")

    embeddings: str = ONE_HOT
    rounds: int = 1

    def __post_init__(self) -> None:
        check_types("metric", self)
        check_options("metric", self, {"rounds": (self.rounds >= 1, "at least 1")})

    def __call__(self, features: np.ndarray, labels: np.ndarray) -> float:
        """Return `emms` of features (N, D) and labels (N,)."""
        embeddings = None if self.embeddings == ONE_HOT else read_embeddings(self.embeddings)
        return emms(features, labels, embeddings, self.rounds)
