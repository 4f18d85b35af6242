"""ReST: stable ranks of the last weights, and growth of those of their outputs from source to target, over the pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from transfer_exp.errors import InputError, NotApplicableError, check_options, check_types
from transfer_exp.metric.effective_rank import stable_rank
from transfer_exp.metric.metric import ModelWeights, PoolMetric
from transfer_exp.metric.pool_scaling import z_scores
from transfer_exp.statistics.feature_set import FeatureSet

PENULTIMATE, HEAD = "penultimate", "head"


def rest_parts(
    weights: Mapping[str, Float[np.ndarray, "_ _"]],
    outputs: Mapping[str, Float[np.ndarray, "_ _"]],
    source_outputs: Mapping[str, Float[np.ndarray, "_ _"]],
) -> dict[str, float]:
    """Compute the stable ranks of `rest` for one model.

    Args:
        weights: Matrices of the ``"penultimate"`` layer and of the ``"head"``; a model without a head leaves it out.
        outputs, source_outputs: Outputs of both layers on target images and on source images. Without a head its
            outputs are those of the penultimate layer.

    Returns:
        For each layer, ``LAYER weights``: the stable rank of the weights over their smaller side; and ``LAYER growth``:
        the stable rank of the outputs on the target minus that on the source, not centred.
    """
    parts = {f"{layer} weights": stable_rank(matrix) for layer, matrix in weights.items()}
    for layer, target in outputs.items():
        growth = stable_rank(target, normalised=False) - stable_rank(source_outputs[layer], normalised=False)
        parts[f"{layer} growth"] = growth
    return parts


def rest(parts: Sequence[Mapping[str, float]], gamma: float = 0.2) -> Float[np.ndarray, " models"]:
    """Compute (1 - gamma) times the z-scores of both weights plus gamma times those of both growths.

    Args:
        parts: `rest_parts` of every model of the pool. A part that a model lacks counts as the mean of the others.
        gamma: Weight of the growths, in [0, 1]; .2 for convolutional networks and .65 for transformers.

    Returns:
        Scores of the models, (M,).

    Raises:
        InputError: If ``gamma`` is out of range.

    References:
        "Remarkably Simple Transferability Estimation", submission to ICLR 2026; code of alizkzm/geotran. A notebook of
        the same repository divides the stable ranks of outputs by the smaller side, which the package does not.
    """
    if not 0 <= gamma <= 1:
        raise InputError(f"gamma={gamma} of rest must lie in [0, 1]")
    scores = np.zeros(len(parts))
    for layer in (PENULTIMATE, HEAD):
        for name, weight in ((f"{layer} weights", 1 - gamma), (f"{layer} growth", gamma)):
            has_part = np.array([name in part for part in parts], dtype=bool)
            if has_part.any():
                scores[has_part] += weight * z_scores(np.array([part[name] for part in parts if name in part]))
    return scores


@dataclass(frozen=True)
class ReST(PoolMetric):
    """`rest` as a metric, on the last layer before the head and a linear head. The field is its option."""

    name = "rest"
    source = "submission to ICLR 2026; code of alizkzm/geotran"
    inputs = ("weights", "features", "source_set")

    gamma: float = 0.2

    def __post_init__(self) -> None:
        check_types("metric", self)
        check_options("metric", self, {"gamma": (0 <= self.gamma <= 1, "a number from 0 to 1")})

    def parts(self, weights: ModelWeights, features: np.ndarray, source_set: FeatureSet) -> dict[str, float]:
        """Return `rest_parts` of one model from its weights, features (N, D) and source images.

        Raises:
            NotApplicableError: If the network has no layer before its head, or its output is not linear in features.
        """
        if not weights.layers:
            raise NotApplicableError("the network has no layer before its head")
        matrices = {PENULTIMATE: weights.layers[-1]}
        outputs, source = {PENULTIMATE: features}, {PENULTIMATE: source_set.features.astype(np.float64)}
        outputs[HEAD], source[HEAD] = outputs[PENULTIMATE], source[PENULTIMATE]
        if weights.head is not None:
            assert source_set.source_probabilities is not None, "a network with a head gives probabilities"
            source[HEAD] = weights.logits(source_set.features, source_set.source_probabilities)
            matrices[HEAD] = weights.head[0]
            outputs[HEAD] = features @ weights.head[0].T + weights.head[1]
        return rest_parts(matrices, outputs, source)

    def combine(self, parts: Sequence[Mapping[str, float]]) -> Float[np.ndarray, " models"]:
        """Return `rest` of the parts of all models of the pool."""
        return rest(parts, self.gamma)
