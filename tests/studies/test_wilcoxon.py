"""Wilcoxon's test against enumeration and scipy."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from studies.wilcoxon import wilcoxon_p
from transfer_exp.evaluation.paired import compare_paired


def p_value(differences):
    """p-value of datasets with these differences from zero."""
    values = {str(i): float(value) for i, value in enumerate(differences)}
    return wilcoxon_p(compare_paired(values, dict.fromkeys(values, 0.0)))


@given(st.lists(st.integers(-3, 3), max_size=8))
def test_it_equals_the_enumeration_of_signed_ranks(drawn):
    nonzero = np.array([value for value in drawn if value], dtype=float)
    ranks = stats.rankdata(np.abs(nonzero))
    sums = [abs(np.dot(signs, ranks)) for signs in product((-1, 1), repeat=len(ranks))]
    share = np.mean([s >= abs(np.dot(np.sign(nonzero), ranks)) - 1e-9 for s in sums])
    assert p_value(drawn) == pytest.approx(share)


@pytest.mark.parametrize("pairs", [1, 2, 7, 11, 25, 50])
def test_without_ties_it_equals_scipy(pairs):
    differences = np.random.default_rng(pairs).normal(0.3, 1, size=pairs)
    assert p_value(differences) == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue, abs=1e-12)


def test_limiting_cases():
    assert p_value([]) == p_value(np.zeros(5)) == p_value([0.3]) == p_value(np.full(7, 1e-14)) == 1
    assert p_value(np.linspace(0.1, 0.7, 7)) == p_value(-np.linspace(0.1, 0.7, 7)) == pytest.approx(2**-6)
    assert p_value([0.1, 0.3 - 0.2, -0.1]) == p_value([0.1, 0.1, -0.1])
