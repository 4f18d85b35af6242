"""PED (from "potential energy"): samples of overlapping classes move apart, as if the classes repelled each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist

from transfer_exp.errors import check_options, check_types
from transfer_exp.statistics.class_statistics import class_statistics
from transfer_exp.statistics.feature_set import Features, Labels, check_features, encode_labels
from transfer_exp.statistics.rounding import deviations, inverse_length

MIN_SCALE = 1e-3
"""Smallest standard deviation to divide a feature by, in its unit, as in the authors' code; constant features stay."""


def ped(
    features: Features,
    labels: Labels,
    sigma: float = 0.6,
    time_step: float = 0.1,
    exit_ratio: float = 0.5,
    max_steps: int = 6,
) -> Float[np.ndarray, "samples dim"]:
    """Return the features after all samples of each class have moved alike, in steps, (N, D).

    1. Standardise every feature over all samples (a standard deviation below 1e-3 counts as 1e-3).
    2. For classes i and j let m_i, m_j be the means, d_ij = |m_i - m_j|, and s_i = sqrt(sum_k Var_k) the radius of
       class i. The classes repel each other with the force F_ij = max(sigma (s_i + s_j) - d_ij, 0).
    3. Repeat: move class i by min(t^2 / 2, 1) sum_{j != i} F_ij (m_i - m_j) / d_ij, where t is ``time_step``. Stop
       after ``max_steps``, or before a step whose length is at most ``exit_ratio`` of the first one's. The length is
       the sum of the absolute changes of all means.
    4. Undo the standardisation.

    Args:
        features, labels: (N, D) and (N,) integers.
        sigma: Two classes repel each other if their distance is below ``sigma`` times the sum of their radii. Not
            negative. The authors' runs use 0.6 and 0.3; their function defaults to 2.0.
        time_step: Time step t, not negative. 0 is the identity.
        exit_ratio: Length of a step, relative to the first one, at which the motion ends, in [0, 1).
        max_steps: Largest number of steps, at least 1.

    Raises:
        InputError: If `check_features` rejects the input or a hyperparameter is out of range.

    References:
        Li et al., "Exploring Model Transferability through the Lens of Potential Energy", ICCV 2023, as in the authors'
        code, with one difference. That code takes the mean and deviation of step 1 from the model's features of the
        ImageNet validation images, which a perturbation does not have. Here they come from the features themselves.
    """
    Ped(sigma, time_step, exit_ratio, max_steps)  # refuses values that are out of range
    features = check_features(features, labels)
    codes, _ = encode_labels(labels)
    centred = deviations(features, features.mean(axis=0))
    scales = np.maximum(np.sqrt(np.mean(centred**2, axis=0)), MIN_SCALE)
    standardised = centred / scales
    classes = class_statistics(standardised, labels)
    reach = sigma * (classes.radii[:, None] + classes.radii)
    means = classes.means
    first_length = None
    for _ in range(max_steps):
        # All samples of a class move alike, so its radius is constant and samples need to move only at the end.
        step = min(time_step**2 / 2, 1.0) * _repulsion(means, reach, standardised)
        length = np.abs(step).sum()
        first_length = length if first_length is None else first_length
        if length <= exit_ratio * first_length:
            break
        means = means + step
    return features + (scales * (means - classes.means))[codes]


def _repulsion(
    means: Float[np.ndarray, "classes dim"],
    reach: Float[np.ndarray, "classes classes"],
    samples: Float[np.ndarray, "samples dim"],
) -> Float[np.ndarray, "classes dim"]:
    """Return sum_{j != i} max(reach_ij - d_ij, 0) (m_i - m_j) / d_ij for every class i.

    A distance d_ij that is a rounding error in view of the size of the ``samples`` contributes nothing.
    """
    distances = cdist(means, means)
    force_per_distance = np.maximum(reach - distances, 0.0) * inverse_length(distances, samples)
    return force_per_distance.sum(axis=1, keepdims=True) * means - force_per_distance @ means


@dataclass(frozen=True)
class Ped:
    """`ped` as a perturbation. The fields are its options, with the defaults of the authors' runs."""

    name: ClassVar[str] = "ped"
    source: ClassVar[str] = "Li et al., ICCV 2023"

    sigma: float = 0.6
    time_step: float = 0.1
    exit_ratio: float = 0.5
    max_steps: int = 6

    def __post_init__(self) -> None:
        check_types("perturbation", self)
        checks = {
            "sigma": (0 <= self.sigma < np.inf, "a finite number, at least 0"),
            "time_step": (0 <= self.time_step < np.inf, "a finite number, at least 0"),
            "exit_ratio": (0 <= self.exit_ratio < 1, "at least 0 and below 1"),
            "max_steps": (self.max_steps >= 1, "at least 1 (6 in the authors' code)"),
        }
        check_options("perturbation", self, checks)

    def __call__(self, features: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return `ped` of features (N, D)."""
        return ped(features, labels, self.sigma, self.time_step, self.exit_ratio, self.max_steps)
