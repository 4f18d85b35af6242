"""Effective rank: number of directions that the features use, from their singular values alone, without labels."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np
from jaxtyping import Float
from scipy.special import xlogy

from transfer_exp.errors import InputError, check_options, check_types
from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.metric.spectrum import squared_singular_values
from transfer_exp.statistics.feature_set import Features, check_unlabelled
from transfer_exp.statistics.rounding import deviations

ADDEND = 1e-7
"""Published addend of every share of RankMe."""


def rankme(features: Features) -> float:
    """Compute exp(-sum_k p_k ln p_k), p_k = s_k / sum_j s_j + 1e-7, over the min(N, D) singular values of the features.

    Args:
        features: (N, D), not centred: a shift of the features changes the score.

    Returns:
        Value between 1 and min(N, D), up to the addend: the entries p_k do not sum to 1.

    Raises:
        InputError: If every feature is zero.

    References:
        Garrido et al., "RankMe", ICML 2023, eqs. 1 and 2.
    """
    features = check_unlabelled(features)
    singular_values = np.sqrt(_nonzero_spectrum(features, "rankme"))
    shares = np.zeros(min(features.shape))
    shares[: len(singular_values)] = singular_values / singular_values.sum()
    return float(np.exp(-xlogy(shares + ADDEND, shares + ADDEND).sum()))


def stable_rank(features: Features, normalised: bool = True) -> float:
    """Compute sum_k s_k^2 / max_k s_k^2 over the singular values s_k of the features, which are not centred.

    Args:
        features: (N, D).
        normalised: True to divide by min(N, D), so that networks of different widths are comparable.

    Returns:
        Value between 1 and min(N, D); in (0, 1] if normalised.

    Raises:
        InputError: If every feature is zero.

    References:
        Rudelson and Vershynin, "Sampling from Large Matrices", Journal of the ACM 2007; as a baseline in
        alizkzm/te-guide (TE-Bench), normalised.
    """
    features = check_unlabelled(features)
    squares = _nonzero_spectrum(features, "stable_rank")
    return float(squares.sum() / squares[-1] / (min(features.shape) if normalised else 1))


def alpha_req(features: Features, first: int = 11, last: int = 100) -> float:
    """Compute -|a - 1|, where the variances of the principal components decay like rank^-a.

    a is minus the slope of a least-squares line of ln variance on ln rank, each rank weighted by 1 / rank.

    Args:
        features: (N, D).
        first, last: Ranks that the line is fitted to, from 1. Ranks beyond those with variance are left out.

    Returns:
        Value at most 0, which it reaches at a = 1.

    Raises:
        InputError: If fewer than two ranks are left, or the range is invalid.

    References:
        Agrawal et al., "alpha-ReQ", NeurIPS 2022; code of arnab39/reptrix, which fails below ``last`` ranks.
    """
    return -abs(spectral_decay(features, first, last) - 1)


def spectral_decay(features: Features, first: int = 11, last: int = 100) -> float:
    """Return the exponent a of `alpha_req`."""
    if not (isinstance(first, Integral) and isinstance(last, Integral) and 1 <= first < last):
        raise InputError(f"first={first}, last={last} of alpha_req must be whole ranks in ascending order, at least 1")
    features = check_unlabelled(features)
    squares = squared_singular_values(deviations(features, features.mean(axis=0)))[::-1]
    if len(squares) <= first:
        raise InputError(
            f"alpha_req fits ranks from first={first}, and the features have {len(squares)} with variance: lower it"
        )
    ranks = np.arange(first, min(last, len(squares)) + 1)
    return -float(np.polyfit(np.log(ranks), np.log(squares[ranks - 1]), 1, w=ranks**-0.5)[0])


def _nonzero_spectrum(features: Float[np.ndarray, "samples dim"], name: str) -> Float[np.ndarray, " rank"]:
    """Return the nonzero squared singular values, ascending; raise InputError if there are none."""
    squares = squared_singular_values(features)
    if len(squares) == 0:
        raise InputError(f"every feature is zero, so {name} is undefined: check the layer that the features come from")
    return squares


@dataclass(frozen=True)
class RankMe(FormulaMetric):
    """`rankme`: effective number of singular values of the features, without labels."""

    name = "rankme"
    source = "Garrido et al., ICML 2023"
    formula = staticmethod(rankme)
    lower = 0.0
    inputs = ("features",)
    invariances = ("rotation", "scaling")


@dataclass(frozen=True)
class StableRank(FormulaMetric):
    """`stable_rank`: squared norm of the features over that of their leading direction, without labels."""

    name = "stable_rank"
    source = "Rudelson and Vershynin, JACM 2007; baseline of TE-Bench (alizkzm/te-guide)"
    formula = staticmethod(stable_rank)
    lower = 0.0
    inputs = ("features",)
    invariances = ("rotation", "scaling")

    normalised: bool = True

    def __post_init__(self) -> None:
        check_types("metric", self)


@dataclass(frozen=True)
class AlphaReQ(FormulaMetric):
    """`alpha_req`: closeness of the decay of the principal variances to 1 / rank, without labels."""

    name = "alpha_req"
    source = "Agrawal et al., NeurIPS 2022"
    formula = staticmethod(alpha_req)
    upper = 0.0
    inputs = ("features",)
    invariances = ("rotation", "translation", "scaling")

    first: int = 11
    last: int = 100

    def __post_init__(self) -> None:
        check_types("metric", self)
        checks = {
            "first": (self.first >= 1, "at least 1"),
            "last": (self.last > self.first, "a rank above metric.first"),
        }
        check_options("metric", self, checks)
