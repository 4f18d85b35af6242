"""Every prefix of a nested order is a stratified sample."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_exp.dataset.stratification import nested_order

LABELS = st.lists(st.integers(1, 30), min_size=1, max_size=8).flatmap(
    lambda counts: st.permutations(np.repeat(np.arange(len(counts)) * 7 - 3, counts).tolist())
)


def test_with_few_images_classes_come_one_after_the_other():
    labels = np.repeat(np.arange(30), 6)
    order = nested_order(labels, 0, first_images=100)
    for i in range(30):
        assert len(set(labels[order[4 * i : 4 * i + 4]])) == 1
    assert len(set(labels[order[:120]])) == 30
    assert sorted(order) == list(range(180))
    assert (nested_order(labels, 0, first_images=120) == nested_order(labels, 0)).all()


@given(LABELS, st.integers(0, 9))
def test_every_prefix_has_the_class_proportions(labels, seed):
    labels = np.array(labels)
    order = nested_order(labels, seed)
    assert sorted(order) == list(range(len(labels)))
    counts = np.unique(labels, return_counts=True)[1]
    for n in range(len(counts), len(labels) + 1):
        sizes = (labels[order[:n], None] == np.unique(labels)).sum(axis=0)
        assert (sizes >= 1).all()
        assert n < 2 * len(counts) or (sizes >= np.minimum(2, counts)).all()
        share = counts * n / len(labels)
        # Smaller prefixes still show the effect of the first two samples of every class.
        if share.min() >= 3:
            assert (np.abs(sizes - share) <= 0.5 + len(counts) / 2 * counts / len(labels) + 1e-9).all()


def test_classes_of_equal_size_alternate_in_a_random_order():
    labels = np.repeat(np.arange(5), 20)
    order = nested_order(labels, 0)
    for n in range(1, 101):
        assert np.ptp(np.bincount(labels[order[:n]], minlength=5)) <= 1
    assert (order == nested_order(labels, 0)).all()
    assert len({tuple(nested_order(labels, seed)[:5]) for seed in range(20)}) == 20
    first_classes = {labels[nested_order(labels, seed)[0]] for seed in range(40)}
    assert first_classes == set(range(5))


def test_every_sample_of_a_class_is_equally_likely_to_come_first():
    labels = np.array([0] * 4 + [1] * 2)
    first = [min(nested_order(labels, seed)[:2]) for seed in range(400)]
    assert np.bincount(first, minlength=4)[:4] == pytest.approx(np.full(4, 100), abs=35)
