"""PED (from "potential energy"): overlapping classes repel each other in steps, until the forces have decayed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist

from transfer_exp.errors import InputError, check_options
from transfer_exp.statistics.class_statistics import class_statistics
from transfer_exp.statistics.feature_set import Features, Labels, check_features, encode_labels
from transfer_exp.statistics.rounding import deviations, inverse_length

FLOOR = 1e-3
"""Smallest standard deviation to divide by, in feature units, as in the authors' code; constant features stay."""


def ped(
    features: Features,
    labels: Labels,
    sigma: float = 0.6,
    time_step: float = 0.1,
    exit_ratio: float = 0.5,
    max_steps: int = 6,
) -> Float[np.ndarray, "samples dim"]:
    """Return every x of class c plus the sum of the steps of class c, (N, D).

    1. Standardise every feature over all samples (a standard deviation below 1e-3 counts as 1e-3).
    2. Repeat: class i moves by sum_{j != i} min(t^2 / 2, 1) F_ij u_ji, where F_ij = max(sigma (s_i + s_j) - d_ij, 0)
       and u_ji is the unit vector from the mean of class j to that of i; d_ij is the distance between these means,
       and s_i the radius of class i.
    3. Stop after ``max_steps``, or before the first step whose length is at most ``exit_ratio`` of the first one's.
       The length sums absolute values over classes and features.
    4. Undo the standardisation.

    Args:
        features, labels: (N, D) and (N,) integers.
        sigma: Factor on the sum of the radii s_c = sqrt(sum_k Var_k) of two classes below which they repel each other,
            not negative. The authors' runs use 0.6 and 0.3; their function defaults to 2.0.
        time_step: Time step t, not negative. 0 is the identity.
        exit_ratio: Relative step length to stop at, in [0, 1).
        max_steps: Largest number of steps, at least 1.

    Raises:
        InputError: If `check_features` rejects the input or a hyperparameter is out of range.

    References:
        Li et al., "Exploring Model Transferability through the Lens of Potential Energy", ICCV 2023, as in the authors'
        code, with one difference. That code takes the mean and deviation of step 1 from the model's features of the
        ImageNet validation images, which a perturbation does not have. Here they come from the features themselves.
    """
    _check_options(sigma, time_step, exit_ratio, max_steps)
    features = check_features(features, labels)
    codes, _ = encode_labels(labels)
    centred = deviations(features, features.mean(axis=0))
    scales = np.maximum(np.sqrt(np.mean(centred**2, axis=0)), FLOOR)
    standardised = centred / scales
    classes = class_statistics(standardised, labels)
    first_means, radii = classes.means, classes.radii
    means, reach, first_length = first_means, sigma * (radii[:, None] + radii), None
    for _ in range(max_steps):
        # All samples of a class move alike, so its radius is constant and samples need to move only at the end.
        step = min(time_step**2 / 2, 1.0) * _repulsion(means, reach, standardised)
        length = np.abs(step).sum()
        first_length = length if first_length is None else first_length
        if length <= exit_ratio * first_length:
            break
        means = means + step
    return features + (scales * (means - first_means))[codes]


def _repulsion(
    means: Float[np.ndarray, "classes dim"],
    reach: Float[np.ndarray, "classes classes"],
    points: Float[np.ndarray, "samples dim"],
) -> Float[np.ndarray, "classes dim"]:
    """Return sum_{j != i} max(reach_ij - d_ij, 0) u_ji for every class i; equal means have no u_ji.

    The size of ``points`` decides which distance is rounding, and counts as 0.
    """
    distances = cdist(means, means)
    weights = np.maximum(reach - distances, 0.0) * inverse_length(distances, points)
    return weights.sum(axis=1, keepdims=True) * means - weights @ means


def _check_options(sigma: float, time_step: float, exit_ratio: float, max_steps: int) -> None:
    """Reject a hyperparameter that is out of range."""
    for name, value in (("sigma", sigma), ("time_step", time_step)):
        if not 0 <= value < np.inf:
            raise InputError(f"{name}={value} of ped must be a finite number, at least 0")
    if not 0 <= exit_ratio < 1:
        raise InputError(f"exit_ratio={exit_ratio} of ped must lie in [0, 1): from 1 on nothing would move")
    if max_steps < 1:
        raise InputError(f"max_steps={max_steps} of ped must be at least 1 (6 in the authors' code)")


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
