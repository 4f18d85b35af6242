"""PACTran-Dirichlet equals its literal updates and stays below the evidence that it bounds."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma, gammaln

from transfer_exp.errors import InputError
from transfer_exp.metric.pactran_dirichlet import PACTranDirichlet, pactran_dirichlet

pytestmark = pytest.mark.slow


def labelled_probabilities(seed=0, samples=150, sources=12, classes=3, signal=1.2):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, samples - classes)])
    logits = rng.standard_normal((samples, sources)) + signal * rng.standard_normal((classes, sources))[labels]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), labels


def evidence_of(assignment, labels, prior, sources):
    """Return ln p(labels | source class of every sample), a Dirichlet-multinomial for each source class."""
    total = 0.0
    for z in range(sources):
        tally = np.array([np.sum((assignment == z) & (labels == y)) for y in range(len(prior))])
        total += math.lgamma(prior.sum()) - math.lgamma(prior.sum() + tally.sum())
        total += (gammaln(prior + tally) - gammaln(prior)).sum()
    return total


def slow_bound(p, labels, alpha, rounds):
    """Run the updates with loops and return the bound from its definition, entropies and divergences included."""
    samples, sources = p.shape
    classes = labels.max() + 1
    prior = alpha * np.bincount(labels) / samples
    q = p.copy()
    for _ in range(rounds):
        a = np.array([[prior[y] + q[labels == y, z].sum() for z in range(sources)] for y in range(classes)])
        expected = digamma(a) - digamma(a.sum(axis=0))
        q = p * np.exp(expected[labels])
        q /= q.sum(axis=1, keepdims=True)
    a = np.array([[prior[y] + q[labels == y, z].sum() for z in range(sources)] for y in range(classes)])
    expected = digamma(a) - digamma(a.sum(axis=0))
    bound = (q * (np.log(p) + expected[labels] - np.log(q))).sum()
    for z in range(sources):
        bound -= math.lgamma(a[:, z].sum()) - gammaln(a[:, z]).sum()
        bound += math.lgamma(prior.sum()) - gammaln(prior).sum()
        bound -= ((a[:, z] - prior) * expected[:, z]).sum()
    return bound / samples


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.integers(4, 40), st.integers(1, 12), st.integers(2, 4), st.integers(0, 10**6), st.sampled_from([0.3, 1.0, 9.0])
)
def test_bound_equals_the_literal_updates(samples, sources, classes, seed, alpha):
    p, labels = labelled_probabilities(seed, samples, sources, classes)
    assert pactran_dirichlet(p, labels, alpha, 4) == pytest.approx(slow_bound(p, labels, alpha, 4), rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_bound_is_below_the_exact_evidence(seed):
    p, labels = labelled_probabilities(seed, 7, 3, 2)
    prior = np.bincount(labels) / 7
    terms = [
        np.log(p[np.arange(7), z]).sum() + evidence_of(np.array(z), labels, prior, 3)
        for z in product(range(3), repeat=7)
    ]
    exact = np.logaddexp.reduce(terms) / 7
    assert exact - 0.3 < pactran_dirichlet(p, labels, rounds=200) <= exact


def test_bound_is_exact_for_certain_source_classes():
    rng = np.random.default_rng(1)
    assignment, labels = rng.integers(0, 4, 60), np.concatenate([[0, 1, 2], rng.integers(0, 3, 57)])
    expected = evidence_of(assignment, labels, np.bincount(labels) / 60, 4) / 60
    # Two more source classes without samples change nothing.
    assert pactran_dirichlet(np.eye(6)[assignment], labels) == pytest.approx(expected, rel=1e-9)


def test_more_rounds_never_lower_the_bound():
    p, labels = labelled_probabilities(2)
    bounds = [pactran_dirichlet(p, labels, rounds=rounds) for rounds in range(1, 30)]
    assert (np.diff(bounds) >= -1e-12).all()
    assert bounds[9] == PACTranDirichlet()(p, labels)


@pytest.mark.parametrize("shape", [(150, 12), (40, 90)])
def test_score_is_in_range_and_has_the_declared_invariances(shape):
    p, labels = labelled_probabilities(3, *shape)
    rng = np.random.default_rng(4)
    score = pactran_dirichlet(p, labels)
    order = rng.permutation(shape[0])
    assert score <= 0
    assert type(score) is float
    assert pactran_dirichlet(p[:, rng.permutation(shape[1])], labels) == pytest.approx(score, rel=1e-9)
    assert pactran_dirichlet(p[order], labels[order]) == pytest.approx(score, rel=1e-9)
    assert pactran_dirichlet(p, np.array([70, -3, 9])[labels]) == pytest.approx(score, rel=1e-9)
    assert pactran_dirichlet(p.astype(np.float16), labels) == pytest.approx(score, rel=0.05)
    assert score > max(pactran_dirichlet(p, np.random.default_rng(s).permutation(labels)) for s in range(5))


def test_source_classes_without_mass_and_classes_with_one_sample_are_accepted():
    p, labels = labelled_probabilities(5)
    p[:, 3] = 0
    p[::2, 4] = 0
    p /= p.sum(axis=1, keepdims=True)
    assert np.isfinite(pactran_dirichlet(p, np.concatenate([labels[:-2], [17, 18]])))


def test_invalid_options_are_rejected():
    p, labels = labelled_probabilities(6)
    with pytest.raises(InputError, match=r"alpha=0\.0 of pactran_dirichlet"):
        pactran_dirichlet(p, labels, alpha=0.0)
    with pytest.raises(InputError, match="rounds=0"):
        PACTranDirichlet(rounds=0)(p, labels)
