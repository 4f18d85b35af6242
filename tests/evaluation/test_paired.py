"""Paired tests over datasets, against enumeration, scipy, and Holm's step-down procedure."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_exp.errors import InputError
from transfer_exp.evaluation.paired import compare_paired, holm, sign_flip_p_values

tied_differences = st.lists(st.integers(-3, 3), max_size=8).map(lambda drawn: np.array(drawn, dtype=float))


def sign_flip_p(differences, seed=0):
    """p-value of one comparison."""
    return sign_flip_p_values(differences[:, None], seed)[0]


def over_all_signs(magnitudes, actual):
    """Share of sign patterns whose sum is as far from zero as ``actual``."""
    sums = [abs(np.dot(signs, magnitudes)) for signs in product((-1, 1), repeat=len(magnitudes))]
    return np.mean([s >= abs(actual) - 1e-9 for s in sums])


@given(tied_differences)
def test_the_sign_flip_test_equals_enumeration_with_zeros_and_ties(differences):
    assert sign_flip_p(differences) == pytest.approx(over_all_signs(np.abs(differences), differences.sum()))


def test_sampled_signs_are_close_to_the_exact_p_value_and_never_zero():
    differences = np.random.default_rng(0).integers(1, 5, 20) * np.where(np.arange(20) < 14, 1.0, -1.0)
    shares = {0: 1.0}
    for size in np.abs(differences):
        shares = {s: (shares.get(s - size, 0) + shares.get(s + size, 0)) / 2 for s in np.arange(-80.0, 81.0)}
    exact = sum(share for total, share in shares.items() if abs(total) >= abs(differences.sum()))
    assert 0.005 < exact < 0.5
    assert sign_flip_p(differences) == pytest.approx(exact, abs=4 * np.sqrt(exact / 2**16))
    assert sign_flip_p(differences, 1) != sign_flip_p(differences, 2)
    assert sign_flip_p(np.ones(60)) == 1 / (2**16 + 1)


def test_p_values_in_limiting_cases():
    assert sign_flip_p(np.array([])) == sign_flip_p(np.zeros(5)) == sign_flip_p(np.array([0.3])) == 1
    assert sign_flip_p(np.full(7, 1e-14)) == 1
    rising = np.linspace(0.1, 0.7, 7)
    assert sign_flip_p(rising) == sign_flip_p(-rising) == pytest.approx(2**-6)
    assert sign_flip_p(np.array([0.1, 0.3 - 0.2, -0.1])) == sign_flip_p(np.array([0.1, 0.1, -0.1]))
    with pytest.raises(InputError, match="a difference is not finite"):
        sign_flip_p(np.array([0.0, np.nan]))


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
def test_holm_refuses_invalid_p_values(bad):
    with pytest.raises(InputError, match="p-value 1 is"):
        holm(np.array([0.5, bad]))


def test_a_comparison_matches_datasets_by_name():
    first = {"pets": 0.5, "cars": 0.3, "dtd": 0.1 + 0.2, "food": None, "sun": 0.9, "voc": 0.1}
    second = {"voc": 0.4, "dtd": 0.3, "cars": 0.1, "pets": 0.1, "food": 0.2, "aircraft": 0.7}
    comparison = compare_paired(first, second)
    assert (comparison.pairs, comparison.wins, comparison.ties, comparison.losses) == (4, 2, 1, 1)
    assert comparison.mean == pytest.approx(np.mean([0.4, 0.2, 0.0, -0.3]))
    differences = np.array([0.4, 0.2, 0.0, -0.3])
    assert comparison.differences == pytest.approx(differences)
    assert comparison.sign_flip_p == sign_flip_p(differences)
    assert comparison.interval[0] < comparison.mean < comparison.interval[1]
    reverse = compare_paired(second, first)
    assert (reverse.mean, reverse.wins, reverse.losses) == (pytest.approx(-comparison.mean), 1, 2)
    assert reverse.sign_flip_p == comparison.sign_flip_p


def test_no_pair_and_a_single_pair_have_no_interval():
    none = compare_paired({"pets": 0.5}, {"cars": 0.5})
    assert (none.mean, none.pairs, none.sign_flip_p, none.interval) == (None, 0, 1, None)
    single = compare_paired({"pets": 0.5}, {"pets": 0.25})
    assert (single.mean, single.wins, single.sign_flip_p, single.interval) == (0.25, 1, 1, None)
    same = compare_paired({"pets": 0.5, "cars": 0.1}, {"pets": 0.5, "cars": 0.1})
    assert (same.mean, same.ties, same.sign_flip_p, same.interval) == (0, 2, 1, (0, 0))


def test_the_error_names_the_dataset_of_a_value_that_is_not_finite():
    with pytest.raises(InputError, match="dataset cars"):
        compare_paired({"pets": 0.5, "cars": 0.1}, {"pets": 0.5, "cars": np.nan})
