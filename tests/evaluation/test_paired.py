"""Paired tests over datasets, against enumeration, scipy, and the procedure that an adjusted p stands for."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from transfer_exp.errors import InputError
from transfer_exp.evaluation.paired import compare_paired, holm, sign_flip_p, wilcoxon_p

tied = st.lists(st.integers(-3, 3), max_size=8).map(lambda drawn: np.array(drawn, dtype=float))


def over_all_signs(magnitudes, observed):
    """Share of sign patterns whose sum is as far from zero as ``observed``."""
    sums = [abs(np.dot(signs, magnitudes)) for signs in product((-1, 1), repeat=len(magnitudes))]
    return np.mean([s >= abs(observed) - 1e-9 for s in sums])


@given(tied)
def test_the_permutation_test_is_the_enumeration_zeros_and_ties_included(differences):
    assert sign_flip_p(differences) == pytest.approx(over_all_signs(np.abs(differences), differences.sum()))


@given(tied)
def test_wilcoxon_is_the_enumeration_of_signed_ranks(differences):
    moved = differences[differences != 0]
    ranks = stats.rankdata(np.abs(moved))
    assert wilcoxon_p(differences) == pytest.approx(over_all_signs(ranks, np.dot(np.sign(moved), ranks)))


@pytest.mark.parametrize("pairs", [1, 2, 7, 11, 25, 50])
def test_wilcoxon_without_ties_is_scipys_exact_test(pairs):
    differences = np.random.default_rng(pairs).normal(0.3, 1, size=pairs)
    assert wilcoxon_p(differences) == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue, abs=1e-12)


def test_many_differences_are_drawn_close_to_the_exact_share_and_never_zero():
    differences = np.random.default_rng(0).integers(1, 5, 20) * np.where(np.arange(20) < 14, 1.0, -1.0)
    chances = {0: 1.0}
    for size in np.abs(differences):
        chances = {s: (chances.get(s - size, 0) + chances.get(s + size, 0)) / 2 for s in np.arange(-80.0, 81.0)}
    exact = sum(chance for total, chance in chances.items() if abs(total) >= abs(differences.sum()))
    assert 0.005 < exact < 0.5
    assert sign_flip_p(differences) == pytest.approx(exact, abs=4 * np.sqrt(exact / 2**16))
    assert sign_flip_p(differences, 1) != sign_flip_p(differences, 2)
    assert sign_flip_p(np.ones(60)) == 1 / (2**16 + 1)


@pytest.mark.parametrize("test", [wilcoxon_p, sign_flip_p])
def test_limits(test):
    assert test(np.array([])) == test(np.zeros(5)) == test(np.array([0.3])) == 1
    assert test(np.full(7, 1e-14)) == 1
    assert test(np.linspace(0.1, 0.7, 7)) == test(-np.linspace(0.1, 0.7, 7)) == pytest.approx(2**-6)
    assert test(np.array([0.1, 0.3 - 0.2, -0.1])) == test(np.array([0.1, 0.1, -0.1]))
    with pytest.raises(InputError, match="difference 1 is not finite"):
        test(np.array([0.0, np.nan]))


@given(st.lists(st.floats(0, 1), max_size=8), st.sampled_from([0.01, 0.05, 0.3]))
def test_holm_rejects_what_stepping_down_rejects(drawn, level):
    rejected = set()
    for step, i in enumerate(sorted(range(len(drawn)), key=drawn.__getitem__)):
        if drawn[i] * (len(drawn) - step) > level:
            break
        rejected.add(i)
    adjusted = holm(np.array(drawn, dtype=float))
    assert set(np.flatnonzero(adjusted <= level)) == rejected
    assert ((adjusted >= drawn) & (adjusted <= 1)).all()


def test_holm_worked_by_hand():
    np.testing.assert_allclose(holm(np.array([0.04, 0.01, 0.03, 0.9])), [0.09, 0.04, 0.09, 0.9])


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1, np.inf])
def test_holm_refuses_what_is_no_p(bad):
    with pytest.raises(InputError, match="p-value 1 is"):
        holm(np.array([0.5, bad]))


def test_a_comparison_pairs_by_dataset_and_counts():
    ours = {"pets": 0.5, "cars": 0.3, "dtd": 0.1 + 0.2, "food": None, "sun": 0.9, "voc": 0.1}
    theirs = {"voc": 0.4, "dtd": 0.3, "cars": 0.1, "pets": 0.1, "food": 0.2, "aircraft": 0.7}
    found = compare_paired(ours, theirs, level=0.8)
    assert (found.pairs, found.wins, found.ties, found.losses) == (4, 2, 1, 1)
    assert found.mean == pytest.approx(np.mean([0.4, 0.2, 0.0, -0.3]))
    differences = np.array([0.4, 0.2, 0.0, -0.3])
    assert (found.wilcoxon_p, found.permutation_p) == (wilcoxon_p(differences), sign_flip_p(differences))
    assert found.interval[0] < found.mean < found.interval[1]
    assert found.level == 0.8
    back = compare_paired(theirs, ours, level=0.8)
    assert (back.mean, back.wins, back.losses) == (pytest.approx(-found.mean), 1, 2)
    assert (back.wilcoxon_p, back.permutation_p) == (found.wilcoxon_p, found.permutation_p)


def test_no_pair_and_one_pair_are_answered_without_inventing_an_interval():
    none = compare_paired({"pets": 0.5}, {"cars": 0.5})
    assert (none.mean, none.pairs, none.wilcoxon_p, none.permutation_p, none.interval) == (None, 0, 1, 1, None)
    one = compare_paired({"pets": 0.5}, {"pets": 0.25})
    assert (one.mean, one.wins, one.wilcoxon_p, one.permutation_p, one.interval) == (0.25, 1, 1, 1, None)
    same = compare_paired({"pets": 0.5, "cars": 0.1}, {"pets": 0.5, "cars": 0.1})
    assert (same.mean, same.ties, same.wilcoxon_p, same.permutation_p, same.interval) == (0, 2, 1, 1, (0, 0))


def test_what_is_not_finite_is_refused_by_dataset():
    with pytest.raises(InputError, match="dataset cars"):
        compare_paired({"pets": 0.5, "cars": 0.1}, {"pets": 0.5, "cars": np.nan})
