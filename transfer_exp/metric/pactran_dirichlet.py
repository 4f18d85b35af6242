"""PACTran-Dirichlet: bound on the likelihood of the labels, with a label distribution per source class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Real
from scipy.special import digamma, gammaln, rel_entr

from transfer_exp.errors import InputError, check_options, check_types
from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.statistics.class_statistics import class_sums
from transfer_exp.statistics.feature_set import Labels, check_source_probabilities, encode_labels


def pactran_dirichlet(
    source_probabilities: Real[np.ndarray, "samples source_classes"],
    labels: Labels,
    alpha: float = 1.0,
    rounds: int = 10,
) -> float:
    """Compute a lower bound of ln p(labels) / N under a mixture of source classes with Dirichlet priors.

    A sample draws its source class z from the head's probabilities p, and its label from w_z ~ Dir(a) with
    a_y = alpha n_y / N. Rounds of mean-field updates fit q_n(z) and Dir(A_z), starting at q = p:

        A_yz = a_y + sum_{n: y_n = y} q_n(z),    q_n(z) ~ p_n(z) exp(psi(A_yz) - psi(sum_y A_yz)), y = y_n.

    Let ln B be the sum of ln gamma minus ln gamma of the sum. The bound is
    sum_z (ln B(A_z) - ln B(a)) - sum_n KL(q_n | p_n), after one more update of A.

    Args:
        source_probabilities: (N, S), rows that sum to 1. Memory holds a few arrays of this size.
        labels: (N,), integers, at least two classes.
        alpha: Strength of the prior, positive.
        rounds: Number of updates, at least 1. Each raises the bound.

    Returns:
        Value in nats per sample, at most 0.

    Raises:
        InputError: If ``alpha`` is not positive or ``rounds`` is below 1.

    References:
        Ding et al., "PACTran", ECCV 2022, Dirichlet metric, alpha and rounds of the authors' code, which has the
        opposite sign, divides by N C, adds 1e-10 to a and p, and omits the last update of A, without which this is not
        a bound.
    """
    if not 0 < alpha < np.inf or rounds < 1:
        raise InputError(f"alpha={alpha} of pactran_dirichlet must be positive, and rounds={rounds} at least 1")
    heads = check_source_probabilities(source_probabilities, labels)
    codes, counts = encode_labels(labels)
    prior = alpha * counts[:, None] / len(codes)
    posterior = prior + class_sums(heads, codes, len(counts))
    for _ in range(rounds):
        beliefs = _responsibilities(heads, codes, digamma(posterior) - digamma(posterior.sum(axis=0)))
        posterior = prior + class_sums(beliefs, codes, len(counts))
    gain = _log_beta(posterior) - _log_beta(np.broadcast_to(prior, posterior.shape))
    bound = float(gain.sum() - rel_entr(beliefs, heads).sum())
    return min(bound / len(codes), 0.0)


def _responsibilities(
    heads: Float[np.ndarray, "samples source_classes"],
    codes: Labels,
    scores: Float[np.ndarray, "classes source_classes"],
) -> Float[np.ndarray, "samples source_classes"]:
    """Return q_n(z), p_n(z) exp(scores of class y_n) with rows that sum to 1, (N, S)."""
    rows = np.where(heads > 0, scores[codes], -np.inf)
    weights = heads * np.exp(rows - rows.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def _log_beta(parameters: Float[np.ndarray, "classes source_classes"]) -> Float[np.ndarray, " source_classes"]:
    """Return the log of the multivariate beta function of every column, (S,)."""
    return gammaln(parameters).sum(axis=0) - gammaln(parameters.sum(axis=0))


@dataclass(frozen=True)
class PACTranDirichlet(FormulaMetric):
    """`pactran_dirichlet` as a metric. The fields are its options."""

    name = "pactran_dirichlet"
    source = "Ding et al., ECCV 2022"
    formula = staticmethod(pactran_dirichlet)
    upper = 0.0
    inputs = ("source_probabilities", "labels")
    invariances = ("source_permutation",)

    alpha: float = 1.0
    rounds: int = 10

    def __post_init__(self) -> None:
        check_types("metric", self)
        checks = {
            "alpha": (0 < self.alpha < np.inf, "a positive number"),
            "rounds": (self.rounds >= 1, "at least 1"),
        }
        check_options("metric", self, checks)
