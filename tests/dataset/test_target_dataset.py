"""Scoring sets are stratified, splits are disjoint, and datasets that cannot be ranked on are refused."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from transfer_exp.dataset.stratification import few_shot_indices, stratified_indices, stratified_split, take_per_class
from transfer_exp.dataset.target_dataset import LabelledImages, TargetDataset
from transfer_exp.errors import InputError

class_counts = st.lists(st.integers(1, 30), min_size=2, max_size=8)


def shuffled_labels(counts, seed=0):
    labels = np.repeat(np.arange(len(counts)) * 3, counts)
    return np.random.default_rng(seed).permutation(labels)


def example_images(labels, targets=None):
    labels = np.array(labels)
    return LabelledImages(labels, lambda i: Image.new("RGB", (1, 1), (i, 0, 0)), lambda i: bytes([i]), targets)


def example_dataset(train, test, names=("a", "b")):
    train = example_images(train)
    return TargetDataset("toy", names, train, example_images(test), train)


@settings(deadline=None)
@given(class_counts, st.data(), st.integers(0, 5))
def test_a_scoring_set_has_the_given_size_and_class_proportions(counts, data, seed):
    labels = shuffled_labels(counts)
    size = data.draw(st.integers(len(counts), len(labels)))
    indices = stratified_indices(labels, size, seed)
    assert len(indices) == size
    assert (np.diff(indices) > 0).all()
    sizes = np.unique(labels[indices], return_counts=True)[1]
    share = np.array(counts) * size / sum(counts)
    assert len(sizes) == len(counts)
    assert (sizes <= counts).all()
    # A class may lose more than by rounding only if classes with a share below one get a sample.
    margin = np.ceil(np.clip(1 - share, 0, None).sum())
    assert (sizes <= np.maximum(np.ceil(share - 1e-9), 1)).all()
    assert (sizes >= np.floor(share + 1e-9) - margin).all()


def test_scoring_set_sizes_are_rounded_by_largest_remainder():
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    # Shares of 7 are 3.5, 2.1 and 1.4: the remaining sample goes to the first class.
    assert np.bincount(labels[stratified_indices(labels, 7, 0)]).tolist() == [4, 2, 1]


@settings(deadline=None)
@given(class_counts, st.integers(0, 5))
def test_a_scoring_set_depends_only_on_the_seed(counts, seed):
    labels = shuffled_labels(counts)
    assert np.array_equal(stratified_indices(labels, len(counts), seed), stratified_indices(labels, len(counts), seed))


def test_seeds_give_different_scoring_sets_and_larger_ones_contain_smaller_ones():
    labels = shuffled_labels([100, 100])
    small, large = stratified_indices(labels, 20, 0), stratified_indices(labels, 40, 0)
    assert not np.array_equal(small, stratified_indices(labels, 20, 1))
    assert set(small) <= set(large)


def test_no_size_or_a_large_size_selects_all_samples():
    labels = shuffled_labels([4, 5])
    for size in (None, 9, 100):
        assert stratified_indices(labels, size, 3).tolist() == list(range(9))


@pytest.mark.parametrize("size", [2, 0, -1])
def test_a_scoring_set_smaller_than_the_number_of_classes_is_refused(size):
    with pytest.raises(InputError, match=rf"scoring_set_size={size} cannot hold one image of each of 3 classes"):
        stratified_indices(np.array([0, 1, 2, 2]), size, 0)


@settings(deadline=None)
@given(class_counts, st.floats(0.05, 0.95), st.integers(0, 5))
def test_a_split_is_a_partition_with_two_training_samples_per_class(counts, fraction, seed):
    labels = shuffled_labels(counts)
    remaining, held_out = stratified_split(labels, fraction, seed)
    assert sorted([*remaining, *held_out]) == list(range(len(labels)))
    for label, count in zip(np.unique(labels), counts, strict=True):
        out = int((labels[held_out] == label).sum())
        assert out >= 1
        assert count - out >= min(2, count - 1)
        if 1 <= round(count * fraction) <= count - 2:
            assert out == round(count * fraction)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.2])
def test_a_fraction_that_leaves_a_split_empty_is_refused(fraction):
    with pytest.raises(InputError, match="must lie between 0 and 1"):
        stratified_split(np.array([0, 0, 1, 1]), fraction, 0)


@pytest.mark.parametrize("size", [4, -1])
def test_a_sample_size_that_a_class_does_not_have_is_refused(size):
    with pytest.raises(InputError, match=rf"cannot take {size} images of class 1: it has 3"):
        take_per_class(np.array([0, 0, 1, 1, 1]), np.array([1, size]), 0)


def test_a_subset_has_the_images_labels_fingerprints_and_targets_of_its_indices():
    images = example_images([0, 1, 1, 0], np.eye(4, dtype=np.int64))
    part = images.subset(np.array([3, 1])).subset(np.array([1, 0]))
    assert part.labels.tolist() == [1, 0]
    assert [part.read(i).getpixel((0, 0))[0] for i in range(2)] == [1, 3]
    assert [part.fingerprint(i) for i in range(2)] == [b"\x01", b"\x03"]
    assert [part.name(i) for i in range(2)] == ["image 1", "image 3"]
    assert part.targets.tolist() == [[0, 1, 0, 0], [0, 0, 0, 1]]


def test_concatenate_appends_the_images():
    first = example_images([0, 1], np.eye(2, dtype=np.int64))
    second = example_images([1], np.ones((1, 2), dtype=np.int64))
    both = first.concatenate(second)
    assert both.labels.tolist() == [0, 1, 1]
    assert both.targets.tolist() == [[1, 0], [0, 1], [1, 1]]
    assert [both.fingerprint(i) for i in range(3)] == [b"\x00", b"\x01", b"\x00"]
    assert [both.read(i).getpixel((0, 0))[0] for i in range(3)] == [0, 1, 0]
    assert [both.name(i) for i in range(3)] == ["image 0", "image 1", "image 0"]


def test_the_digest_changes_with_images_labels_order_and_targets():
    images = example_images([0, 1, 1, 0])
    different = [
        example_images([0, 1, 1, 1]),
        images.subset(np.array([3, 1, 2, 0])),
        images.subset(np.arange(3)),
        example_images([0, 1, 1, 0], np.ones((4, 2), dtype=np.int64)),
        example_images([0, 1, 1, 0], np.zeros((4, 2), dtype=np.int64)),
    ]
    assert len({changed.digest for changed in [images, *different]}) == 6
    assert example_images([0, 1, 1, 0]).digest == images.digest


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ([0, 0, 1], [0, 1], "toy: class 'b' has 1 training and 1 test images"),
        ([0, 0], [0, 1], "toy: class 'b' has 0 training and 1 test images"),
        ([0, 0, 0], [0], r"toy has training images of \['a'\] only"),
        ([0, 0, 2, 2], [0], "toy has label 2 but names only 2 classes"),
    ],
)
def test_a_dataset_that_cannot_be_ranked_on_is_refused(train, test, message):
    with pytest.raises(InputError, match=message) as caught:
        example_dataset(train, test)
    assert "\n" not in str(caught.value)


def test_a_dataset_without_test_images_is_refused():
    with pytest.raises(InputError, match="toy has no test image"):
        example_dataset([0, 0, 1, 1], np.zeros(0, dtype=np.int64))


def test_a_class_name_without_images_is_accepted():
    assert example_dataset([0, 0, 1, 1], [0, 1], ("a", "b", "c")).class_names == ("a", "b", "c")


@pytest.mark.parametrize(
    "names",
    [
        ("0", "1"),
        ("grade 2", "grade 10"),
        ("01", "02"),
        ("-2", "-1", "3"),
        ("grade-1", "grade-2"),
        ("at -3 C", "at 2 C"),
    ],
)
def test_classes_with_ascending_numbers_are_grades(names):
    dataset = example_dataset([0, 0, 1, 1], [0, 1], names)
    assert replace(dataset, measure="macro_mae").measure == "macro_mae"


@pytest.mark.parametrize(
    "names",
    [("cat", "dog"), ("1", "0"), ("10", "2"), ("1", "1b"), ("1", "2 of 3"), ("-1", "-2", "3"), ("\u22121", "\u22122")],
)
def test_other_classes_are_not_grades(names):
    with pytest.raises(InputError, match="measure=quadratic_weighted_kappa needs classes whose names hold ascending"):
        replace(example_dataset([0, 0, 1, 1], [0, 1], names), measure="quadratic_weighted_kappa")


def test_shots_are_images_of_each_class_and_more_shots_contain_fewer():
    dataset = example_dataset([0] * 9 + [1] * 3, [0, 1])
    sets = {shots: dataset.with_shots(shots, seed=1).scoring_set for shots in (1, 2, 3)}
    assert [np.bincount(images.labels).tolist() for images in sets.values()] == [[1, 1], [2, 2], [3, 3]]
    images = {shots: {part.fingerprint(i) for i in range(len(part))} for shots, part in sets.items()}
    assert images[1] < images[2] < images[3]
    draws = {tuple(dataset.with_shots(1, seed).scoring_set.fingerprint(0)) for seed in range(20)}
    assert len(draws) > 1, "seeds draw different images"


def test_more_shots_than_images_of_a_class_are_refused_unless_the_classes_are_ours():
    dataset = example_dataset([0] * 9 + [1] * 3, [0, 1])
    with pytest.raises(InputError, match="shots=4: class 'b' has only 3 training images: set at most 3"):
        dataset.with_shots(4, 0)
    numbers = np.arange(12.0)[:, None]
    labels = dataset.train.labels
    assert np.bincount(labels[few_shot_indices(labels, 5, 0, None)]).tolist() == [5, 3]
    train = replace(dataset.train, targets=numbers)
    kind = {"target_kind": "regression", "measure": "r2"}
    ranges = replace(dataset, train=train, scoring_set=train, test=train, **kind)
    assert len(ranges.with_shots(5, 0).scoring_set) == 5 + 3


def test_shots_and_a_size_are_not_combined():
    dataset = example_dataset([0, 0, 1, 1], [0, 1])
    part = replace(dataset, scoring_set=dataset.train.stratified_subset(2, 0))
    with pytest.raises(InputError, match=r"shots and dataset\.scoring_set_size=2 both choose the scoring set"):
        part.with_shots(1, 0)
    with pytest.raises(InputError, match="shots=0 is no image of a class"):
        dataset.with_shots(0, 0)
