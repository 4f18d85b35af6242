"""Several labels or a number for each image: read alike by CSV, hub and arrays, and refused in one line."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from example_datasets import picture
from PIL import Image

from transfer_exp.dataset.array_conversion import convert_features
from transfer_exp.dataset.arrays import arrays
from transfer_exp.dataset.huggingface import huggingface
from transfer_exp.dataset.image_folder import image_folder, unlabelled_images
from transfer_exp.dataset.image_table import image_table
from transfer_exp.dataset.inspection import inspect_and_log, inspect_dataset
from transfer_exp.dataset.stratification import multi_label_split
from transfer_exp.dataset.target_dataset import MEASURES
from transfer_exp.dataset.targets import group_numbers, number_groups, rarest_labels
from transfer_exp.errors import InputError
from transfer_exp.store import Store

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
LABELS = np.array(["bird", "cat", "dog"])
FLAGS = np.maximum(np.eye(3, dtype=np.int64)[np.arange(24) % 3], RNG.integers(0, 2, (24, 3)))
NUMBERS = np.round(RNG.uniform(1, 90, 24), 2)
FEATURES = RNG.standard_normal((24, 4))


@pytest.fixture
def folder(tmp_path):
    for i in range(24):
        Image.fromarray(picture(i % 2, i)).save(tmp_path / f"{i}.png")
    return tmp_path


def table(folder, **columns):
    path = folder / "images.csv"
    pd.DataFrame({"file": [f"{i}.png" for i in range(24)], **columns}).to_csv(path, index=False)
    return str(path)


def joined(separator=","):
    return [separator.join(LABELS[row == 1]) for row in FLAGS]


def test_labels_with_a_separator_and_columns_of_zeros_and_ones_are_the_same(folder):
    first = image_table(table(folder, labels=joined()))
    second = image_table(table(folder, labels=joined(" ; ")), separator=";")
    third = image_table(table(folder, **dict(zip(LABELS, FLAGS.T, strict=True))))
    for target in (first, second, third):
        assert (target.target_kind, target.class_names) == ("multi_label", ("bird", "cat", "dog"))
        assert target.measure == "mean_average_precision"
        assert np.array_equal(target.train.targets, first.train.targets)
        assert np.array_equal(target.test.targets, first.test.targets)
    assert len(first.train) + len(first.test) == 24
    counts = FLAGS.sum(axis=0)
    assert np.abs(first.test.targets.sum(axis=0) - 0.3 * counts).max() <= 1.5, "about 30 % of each label are held out"


def test_numbers_are_predicted_as_they_are(folder):
    target = image_table(table(folder, target=NUMBERS))
    assert (target.target_kind, target.measure, target.n_outputs) == ("regression", "r2", 1)
    assert sorted([*target.train.targets[:, 0], *target.test.targets[:, 0]]) == sorted(NUMBERS)
    assert target.class_names[0].startswith("up to ")
    standardised = target.standardise_numbers().train.targets
    assert (standardised.mean(), standardised.std()) == (pytest.approx(0), pytest.approx(1))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"labels": [*joined()[:-1], ""]}, r"images.csv line 25: labels '' is empty"),
        ({"labels": [*joined()[:-1], " , "]}, r"images.csv line 25: labels ',' names no label"),
        ({"label": ["cat"] * 24, "labels": joined()}, "has the columns label and labels: keep the one to predict"),
        ({"cat": [1] * 23 + [0.5], "dog": [1] * 24}, "line 25: cat '0.5' is neither 0 nor 1"),
        ({"cat": [1] * 23 + [0], "dog": [1] * 23 + [0]}, "line 25: cat '0' is 0 like all labels"),
        ({"target": [*NUMBERS[:-1], np.nan]}, "line 25: target '' is empty"),
        ({"target": [*NUMBERS[:-1].astype(str), "old"]}, "line 25: target 'old' is not a finite number"),
        ({"target": [3.5] * 24}, "the number of every training image is 3.5"),
        ({"klass": ["cat", "dog"] * 12}, "lacks the column 'label'"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_by_line(folder, columns, message):
    with pytest.raises(InputError, match=message) as caught:
        image_table(table(folder, **columns))
    assert "\n" not in str(caught.value)


def test_a_label_needs_two_training_images(folder):
    flags = np.column_stack([np.ones(24, dtype=int), np.arange(24) == 0])
    with pytest.raises(InputError, match=r"class 'rare' has \d training and \d test images, and needs at least two"):
        image_table(table(folder, common=flags[:, 0], rare=flags[:, 1]))


def test_arrays_have_several_labels_or_numbers(tmp_path):
    several = arrays(convert_features(FEATURES, FLAGS))
    assert (several.target_kind, several.class_names) == ("multi_label", ("0", "1", "2"))
    assert np.array_equal(several.feature_set("features", "train").targets, FLAGS)
    numbers = arrays(convert_features(FEATURES, NUMBERS))
    assert (numbers.target_kind, numbers.n_outputs) == ("regression", 1)
    assert np.array_equal(numbers.feature_set("features", "scoring_set").targets[:, 0], NUMBERS)
    path = tmp_path / "m.npz"
    # The test part alone is one-hot, but the training part is not.
    np.savez(path, features=FEATURES, labels=FLAGS, test_features=FEATURES[:3], test_labels=np.eye(3))
    assert np.array_equal(arrays(str(path)).feature_set("m", "test").targets, np.eye(3))


def test_whole_numbers_are_predicted_if_they_are_stated(tmp_path):
    ages, path = np.arange(24) * 3, tmp_path / "m.npz"
    np.savez(path, features=FEATURES, target=ages, test_features=FEATURES[:3], test_target=ages[:3])
    for target in (arrays(str(path)), arrays(convert_features({"m": FEATURES}, numbers=ages.tolist()))):
        assert (target.target_kind, target.measure) == ("regression", "r2")
        assert target.feature_set("m", "train").targets[:, 0].tolist() == ages.tolist()
    assert arrays(str(path)).feature_set("m", "test").targets[:, 0].tolist() == ages[:3].tolist()
    np.savez(path, features=FEATURES, target=ages, labels=ages)
    with pytest.raises(InputError, match=r"m\.npz has the arrays labels and target: keep the one to predict"):
        arrays(str(path))


def test_the_kind_of_a_dataset_is_explained_before_anything_is_computed(folder, caplog):
    tables = {"a column target": {"target": NUMBERS}, "columns of 0 and 1": dict(zip(LABELS, FLAGS.T, strict=True))}
    for reason, columns in tables.items():
        assert image_table(table(folder, **columns)).kind_reason == f"images.csv has {reason}"
    arguments = {"the array target holds numbers": {"numbers": NUMBERS}}
    arguments |= {"the labels are floats that are not all whole": {"labels": NUMBERS}}
    arguments |= {"the labels are a matrix of zeros and ones": {"labels": FLAGS}}
    with caplog.at_level("INFO"):
        for reason, argument in arguments.items():
            dataset = arrays(convert_features(FEATURES, **argument))
            assert dataset.kind_reason == reason
            inspect_and_log(dataset, ("train",), Store(folder / "store"))
    assert "features: 3 labels, several for an image, because the labels are a matrix of zeros and ones" in caplog.text
    assert "features: numbers in 2 groups, because the array target holds numbers" in caplog.text


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (["a"] * 24, r"numbers hold objects of type str|numbers must be \(N,\) integers or floats"),
        (FLAGS, r"numbers must be \(N,\) integers or floats, not \(24, 3\)"),
        (np.where(np.arange(24) == 3, np.nan, 1.0), "numbers hold NaN, first at 3"),
        (np.ones(24, dtype=int), "number of every training image is 1"),
    ],
)
def test_stated_numbers_that_cannot_be_read_are_refused(numbers, message):
    with pytest.raises(InputError, match=message) as caught:
        arrays(convert_features(FEATURES, numbers=numbers))
    assert "\n" not in str(caught.value)


def test_a_label_of_one_sample_is_refused_in_arrays_too():
    flags = np.column_stack([np.ones(24, dtype=int), np.arange(24) == 0])
    with pytest.raises(InputError, match="labels of model features: label '1' has 1 training sample, and needs at"):
        arrays(convert_features(FEATURES, flags))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (FLAGS * 0.5, "labels hold 0.5 at sample .*, label 'column .*': use 0 and 1"),
        (FLAGS * [1, 1, 0], "labels give sample .* no label|labels give no sample the label 'column 2'"),
        (np.where(np.arange(24) == 3, np.nan, NUMBERS), "labels hold NaN, first at 3"),
        (np.where(np.arange(24) == 3, np.inf, NUMBERS), "labels hold infinity, first at 3: leave"),
        (np.where(np.arange(24) == 5, -np.inf, NUMBERS), "labels hold infinity, first at 5: leave"),
        (
            np.arange(24) * 1e300,
            r"labels hold whole numbers up to 2e\+301, too large for classes: numbers to predict are",
        ),
        (np.arange(24.0), r"labels must be \(N,\) integers or strings, .* numbers to predict are"),
    ],
)
def test_label_arrays_that_cannot_be_read_are_refused(labels, message):
    with pytest.raises(InputError, match=message):
        arrays(convert_features(FEATURES, labels))


def test_the_hub_has_lists_of_labels_and_floats(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets", reason="needs the huggingface extra")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    images = [Image.fromarray(picture(i % 2, i)) for i in range(24)]
    label_list = datasets.Sequence(datasets.ClassLabel(names=LABELS.tolist()))
    features = datasets.Features({"image": datasets.Image(), "tags": label_list, "age": datasets.Value("float32")})
    rows = {"image": images, "tags": [np.flatnonzero(row).tolist() for row in FLAGS], "age": NUMBERS}
    for split in ("train", "test"):
        path = tmp_path / "hub" / "data" / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        datasets.Dataset.from_dict(rows, features).to_parquet(path)
    several = huggingface(str(tmp_path / "hub"))
    assert (several.target_kind, several.class_names) == ("multi_label", tuple(LABELS))
    assert np.array_equal(several.test.targets, FLAGS)
    numbers = huggingface(str(tmp_path / "hub"), label_column="age")
    assert numbers.target_kind == "regression"
    assert np.allclose(numbers.train.targets[:, 0], NUMBERS)


def test_every_reader_names_the_kind_and_the_reason(tmp_path, ages, store, caplog, monkeypatch):
    monkeypatch.setattr("transfer_exp.dataset.inspection._logged", set())
    for name in ("a", "b"):
        for i in range(4):
            (tmp_path / "photos" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(i % 2, i)).save(tmp_path / "photos" / name / f"{i}.png")
    photos = str(tmp_path / "photos")
    sentences = {
        image_folder(photos): "photos: 2 classes, because its folders name the classes",
        unlabelled_images(photos): "photos: no labels, because names of folders are ignored",
        huggingface(str(ages), label_column="person"): "faces: 2 classes, because its column person holds one class",
        huggingface(str(ages), target_column="age"): "faces: numbers in 2 groups, because its column age holds numbers",
        replace(
            huggingface(str(ages), target_column="age"), measure="macro_mae"
        ): "; macro_mae compares them as grades",
    }
    with caplog.at_level("INFO", "transfer_exp"):
        for dataset, sentence in sentences.items():
            caplog.clear()
            inspect_and_log(dataset, ("train",), store)
            assert sentence in caplog.messages[0], "the first message"


@pytest.fixture
def ages(tmp_path, monkeypatch):
    """Return a folder as the Hub lays it out: images, and a table of their ages, ids and names in each split."""
    datasets = pytest.importorskip("datasets", reason="needs the huggingface extra")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    for split in ("train", "test"):
        folder = tmp_path / "faces" / split
        folder.mkdir(parents=True)
        lines = ["file_name,age,person"]
        for i in range(24):
            Image.fromarray(picture(i % 2, i)).save(folder / f"{i}.png")
            lines.append(f"{i}.png,{20 + 2 * i},p{i % 2}")
        (folder / "metadata.csv").write_text("\n".join(lines))
    return tmp_path / "faces"


def test_whole_numbers_of_the_hub_are_numbers_if_their_column_is_the_target(ages):
    target = huggingface(str(ages), target_column="age")
    assert target.target_kind == "regression"
    assert target.kind_reason == "its column age holds numbers to predict"
    assert target.test.targets[:, 0].tolist() == [20.0 + 2 * i for i in range(24)]
    classes = huggingface(str(ages), label_column="person")
    assert (classes.target_kind, classes.class_names) == ("single_label", ("p0", "p1"))
    with pytest.raises(
        InputError, match=r"class '20' has 1 training .*; for numbers to predict set dataset.target_col"
    ):
        huggingface(str(ages), label_column="age")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_column": "person"}, "column 'person' of .* holds no numbers: set dataset.label_column=person"),
        ({"target_column": "aeg"}, "has no column 'aeg': did you mean age"),
        ({"target_column": "image"}, "column 'image' of .* holds no numbers"),
        ({"target_column": "age", "label_column": "person"}, "label_column=person and target_column=age both name"),
        ({"target_column": "age", "image_column": "person"}, "column 'person' of .* holds no images"),
    ],
)
def test_a_target_column_without_numbers_or_next_to_labels_is_refused(ages, options, message):
    with pytest.raises(InputError, match=message):
        huggingface(str(ages), **options)


def test_a_missing_number_of_the_hub_is_named_with_its_row(ages):
    for table in ages.glob("*/metadata.csv"):
        table.write_text(table.read_text().replace("\n3.png,26,", "\n3.png,,"))
    with pytest.raises(InputError, match=r"train, row \d+: age=(nan|None) is not a number: leave it out"):
        huggingface(str(ages), target_column="age")


def test_a_split_holds_out_the_same_share_of_every_label():
    rng = np.random.default_rng(1)
    targets = (rng.random((400, 6)) < [0.5, 0.3, 0.2, 0.1, 0.05, 0.02]).astype(np.int64)
    targets[~targets.any(axis=1), 0] = 1
    remaining, held_out = multi_label_split(targets, 0.25, seed=0)
    assert sorted([*remaining, *held_out]) == list(range(400))
    assert np.abs(targets[held_out].sum(axis=0) - 0.25 * targets.sum(axis=0)).max() <= 1
    assert np.array_equal(multi_label_split(targets, 0.25, seed=0)[1], held_out)
    assert not np.array_equal(multi_label_split(targets, 0.25, seed=1)[1], held_out)


def test_groups_of_numbers_are_about_equal_and_cover_every_number():
    numbers = np.random.default_rng(0).exponential(size=200)
    bounds, names = number_groups(numbers)
    counts = np.bincount(group_numbers(numbers, bounds))
    assert len(names) == len(counts) == 10
    assert counts.min() >= 15
    assert group_numbers(np.array([-1.0, 1e9]), bounds).tolist() == [0, 9]
    assert number_groups(np.array([0.0] * 30 + [1.0]))[1] == ("up to 0", "over 0")


def test_an_image_stands_in_the_group_of_its_rarest_label():
    training = np.array([[1, 0, 1], [1, 1, 0], [1, 1, 0]])
    assert rarest_labels(np.array([[1, 1, 0], [1, 0, 1], [1, 0, 0]]), training).tolist() == [1, 2, 0]


def test_the_inspection_says_what_it_found(folder):
    several = inspect_dataset(image_table(table(folder, labels=joined())))
    assert "images: 3 labels, several for an image, 24 images" in several.lines[0]
    assert sum(int(cell) for line in several.lines[2:5] for cell in line.split()[1:]) == FLAGS.sum()
    numbers = inspect_dataset(image_table(table(folder, target=NUMBERS)))
    assert "images: numbers in 2 groups, 24 images" in numbers.lines[0]


@pytest.mark.parametrize("kind", MEASURES)
def test_a_measure_of_another_kind_of_dataset_is_refused(folder, kind):
    from dataclasses import replace

    target = image_table(table(folder, target=NUMBERS))
    for measure in MEASURES[kind]:
        if measure not in MEASURES["regression"]:
            with pytest.raises(InputError, match=f"measure={measure} is not for a regression dataset"):
                replace(target, measure=measure)
