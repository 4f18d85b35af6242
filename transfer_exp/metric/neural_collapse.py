"""Neural collapse: minus the spread of samples around their class means, relative to the spread of these means.

The measures are negated, so that 0 is complete collapse and higher is better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import pdist

from transfer_exp.errors import InputError, check_types
from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.statistics.class_statistics import ClassStatistics
from transfer_exp.statistics.rounding import RESOLUTION, inverse_length


def nc1(statistics: ClassStatistics) -> float:
    """Compute -tr(W B^+) / C, with the within-class covariance W and the covariance B of the class means.

    W is divided by N. B = sum_c (mu_c - m)(mu_c - m)' / C, where m is the unweighted mean of the C class means.

    Args:
        statistics: Statistics of features (N, D) and labels.

    Returns:
        Value at most 0, which it reaches if every sample equals its class mean.

    Raises:
        InputError: If all class means are equal.

    References:
        Papyan, Han, Donoho, "Prevalence of Neural Collapse", PNAS 2020; code of rhubarbwu/neural-collapse, whose global
        mean is m. The paper has the mean over all images instead of m, which differs if class sizes differ.
    """
    centred = _centred_means(statistics)
    _, singular_values, axes = np.linalg.svd(centred, full_matrices=False)  # B has the eigenvalues s^2 / C
    is_nonzero = singular_values > max(centred.shape) * np.finfo(np.float64).eps * singular_values[0]
    axes, singular_values = axes[is_nonzero], singular_values[is_nonzero]
    # tr(W B^+) needs W along the at most C - 1 axes of B only.
    if statistics.few_samples is not None:
        variation = ((statistics.few_samples.deviations() @ axes.T) ** 2).sum(axis=0)
    else:
        variation = np.einsum("kd,kd->k", axes @ statistics.within, axes)
    return float(0.0 - np.maximum(variation, 0.0) @ singular_values**-2.0 / statistics.samples)


def trace_ratio(statistics: ClassStatistics, weighted: bool = False) -> float:
    """Compute -tr(W) / tr(B), the variance within classes relative to that of the class means.

    Args:
        statistics: Statistics of features (N, D) and labels.
        weighted: False for B as in `nc1`; True to weight each class by its size and to centre at the mean of all
            samples, which makes the score minus the inverse of Fisher's ratio.

    Returns:
        Value at most 0, which it reaches if every sample equals its class mean.

    Raises:
        InputError: If all class means are equal.

    References:
        Tirer, Huang, Niles-Weed, "Perturbation Analysis of Neural Collapse", ICML 2023, NC1 as a quotient of traces.
    """
    centred = _centred_means(statistics)
    if weighted:
        between = statistics.counts @ (statistics.offsets**2).sum(axis=1) / statistics.samples
    else:
        between = (centred**2).sum() / len(centred)
    return float(0.0 - statistics.squares.sum() / statistics.samples / between)


def cdnv(statistics: ClassStatistics) -> float:
    """Compute minus the mean over pairs of classes of (v_i + v_j) / (2 |mu_i - mu_j|^2).

    v_c is the mean squared distance of the samples of class c to their mean; it is 0 for a class of one sample.

    Args:
        statistics: Statistics of features (N, D) and labels.

    Returns:
        Value at most 0, which it reaches if every sample equals its class mean.

    Raises:
        InputError: If two classes have equal means.

    References:
        Galanti, György, Hutter, "On the Role of Neural Collapse in Transfer Learning", ICLR 2022: class-distance
        normalised variance.
    """
    first, second = np.triu_indices(len(statistics.counts), 1)
    inverse = inverse_length(pdist(statistics.offsets), statistics.means)  # 0 for means that are equal up to rounding
    if not inverse.all():
        pair = int(inverse.argmin())
        raise InputError(f"classes {first[pair]} and {second[pair]} have equal means, so cdnv is undefined: merge them")
    variances = statistics.squares.sum(axis=1) / statistics.counts
    return float(0.0 - ((variances[first] + variances[second]) / 2 * inverse**2).mean())


def _centred_means(statistics: ClassStatistics) -> Float[np.ndarray, "classes dim"]:
    """Return class means minus their unweighted mean, (C, D); raise InputError if all are zero up to rounding."""
    centred = statistics.offsets - statistics.offsets.mean(axis=0)
    if not np.abs(centred).max() > RESOLUTION * np.abs(statistics.mean).max():
        raise InputError(
            "features are constant or all class means equal, so the score is undefined: check the layer that the "
            "features come from"
        )
    return centred


@dataclass(frozen=True)
class NC1(FormulaMetric):
    """`nc1`: covariance within classes relative to that of the class means, negated."""

    name = "nc1"
    source = "Papyan, Han and Donoho, PNAS 2020"
    formula = staticmethod(nc1)
    upper = 0.0
    inputs = ("class_statistics",)
    invariances = ("rotation", "translation", "scaling")


@dataclass(frozen=True)
class TraceRatio(FormulaMetric):
    """`trace_ratio`: variance within classes relative to that of the class means, negated."""

    name = "trace_ratio"
    source = "Tirer, Huang and Niles-Weed, ICML 2023"
    formula = staticmethod(trace_ratio)
    upper = 0.0
    inputs = ("class_statistics",)
    invariances = ("rotation", "translation", "scaling")

    weighted: bool = False

    def __post_init__(self) -> None:
        check_types("metric", self)


@dataclass(frozen=True)
class CDNV(FormulaMetric):
    """`cdnv`: variance of two classes relative to their squared distance, over pairs of classes, negated."""

    name = "cdnv"
    source = "Galanti, György and Hutter, ICLR 2022"
    formula = staticmethod(cdnv)
    upper = 0.0
    inputs = ("class_statistics",)
    invariances = ("rotation", "translation", "scaling")
