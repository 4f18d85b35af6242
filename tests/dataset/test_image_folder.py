"""Image folders are read with or without splits, and every wrong layout is refused."""

from pathlib import Path

import numpy as np
import pytest
from example_datasets import image_folders, write_lines, write_picture

from transfer_exp.dataset.image_folder import image_folder
from transfer_exp.errors import InputError

ASSETS = Path(__file__).parents[2].parent / "shared" / "assets" / "datasets"


@pytest.fixture
def split_root(tmp_path):
    root = tmp_path / "birds"
    image_folders(root / "train", ["wren", "heron"], 4)
    image_folders(root / "test", ["wren", "heron"], 3, first=4)
    return root


def fingerprints(images):
    return [images.fingerprint(i) for i in range(len(images))]


def test_existing_splits_are_used(split_root):
    target = image_folder(str(split_root))
    assert (target.name, target.class_names, target.measure) == ("birds", ("heron", "wren"), "accuracy")
    assert target.train.labels.tolist() == [0] * 4 + [1] * 4
    assert target.test.labels.tolist() == [0] * 3 + [1] * 3
    assert target.validation is None
    assert target.train.fingerprint(5) == (split_root / "train" / "wren" / "001.jpg").read_bytes()
    assert target.train.read(5).size == (32, 32)


@pytest.mark.parametrize("name", ["val", "validation"])
def test_the_validation_folder_has_one_of_two_names(split_root, name):
    image_folders(split_root / name, ["wren", "heron"], 2, first=7)
    assert image_folder(str(split_root)).validation.labels.tolist() == [0, 0, 1, 1]


def test_unsplit_classes_are_split_by_the_seed(tmp_path):
    image_folders(tmp_path, ["a", "b"], 10)
    first, repeated, different = (image_folder(str(tmp_path), seed=seed) for seed in (0, 0, 1))
    assert np.bincount(first.test.labels).tolist() == [3, 3]
    assert not set(fingerprints(first.train)) & set(fingerprints(first.test))
    assert fingerprints(first.test) == fingerprints(repeated.test)
    assert fingerprints(first.test) != fingerprints(different.test)


def test_a_class_may_be_called_train(tmp_path):
    image_folders(tmp_path, ["train", "car"], 4)
    assert image_folder(str(tmp_path)).class_names == ("car", "train")


def test_the_scoring_set_is_a_stratified_part_of_the_training_split(split_root):
    target = image_folder(str(split_root), scoring_set_size=4)
    assert target.scoring_set.labels.tolist() == [0, 0, 1, 1]
    assert set(fingerprints(target.scoring_set)) < set(fingerprints(target.train))


def test_files_without_images_are_ignored_and_home_is_expanded(split_root, monkeypatch):
    write_lines(split_root / "train" / "wren" / "notes.txt", ["no image"])
    write_lines(split_root / "train" / "wren" / ".hidden.jpg", ["no image"])
    (split_root / "train" / ".cache").mkdir()
    (split_root / "train" / "wren" / "deeper").mkdir()
    (split_root / "train" / "wren" / "000.jpg").rename(split_root / "train" / "wren" / "000.JPG")
    monkeypatch.setenv("HOME", str(split_root.parent))
    assert len(image_folder("~/birds").train) == 8


def test_an_unreadable_image_is_reported_or_skipped(split_root, caplog):
    path = split_root / "train" / "wren" / "002.jpg"
    path.write_bytes(path.read_bytes()[:300])
    refused = image_folder(str(split_root))
    with pytest.raises(InputError, match=r"002\.jpg is not a readable image: remove it or set dataset\.on_unre"):
        refused.train.read(6)
    assert not caplog.messages
    skipped = image_folder(str(split_root), on_unreadable="skip")
    assert skipped.train.labels.tolist() == [0] * 4 + [1] * 3
    assert [skipped.train.read(i).mode for i in range(7)] == ["RGB"] * 7
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("left out 1 unreadable image(s)")
    assert "002.jpg" in caplog.messages[0]


def empty_class(root):
    (root / "train" / "wren").rename(root / "removed")
    (root / "train" / "wren").mkdir()


def one_sample(root):
    for number in (1, 2, 3):
        (root / "train" / "wren" / f"00{number}.jpg").unlink()


WRONG = {
    "no test": (lambda root: (root / "test").rename(root / "tset"), "has a train but no test folder"),
    "class missing": (
        lambda root: (root / "test" / "wren").rename(root / "removed"),
        "class folder 'wren' is in train but not in test",
    ),
    "class too many": (
        lambda root: write_picture(root / "test" / "owl" / "0.jpg", 0, 0),
        "class folder 'owl' is in test but not in train",
    ),
    "empty": (empty_class, "wren holds no image"),
    "one sample": (one_sample, "class 'wren' has 1 training and 3 test images"),
    "one class": (
        lambda root: (root / "train" / "wren").rename(root / "removed"),
        "only the class folder 'heron'",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_layout_is_refused_in_one_line(split_root, case):
    spoil, message = WRONG[case]
    spoil(split_root)
    with pytest.raises(InputError, match=message) as caught:
        image_folder(str(split_root))
    assert "\n" not in str(caught.value)


def test_a_missing_or_empty_folder_or_a_wrong_option_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"dataset\.root=/no/such is not a folder"):
        image_folder("/no/such")
    with pytest.raises(InputError, match="holds no class folders"):
        image_folder(str(tmp_path))
    with pytest.raises(InputError, match="on_unreadable=ignore must be refuse or skip"):
        image_folder(str(tmp_path), on_unreadable="ignore")


def test_a_class_with_one_image_cannot_be_split(tmp_path):
    image_folders(tmp_path, ["a", "b"], 5)
    write_picture(tmp_path / "single" / "0.jpg", 2, 0)
    with pytest.raises(InputError, match="class 'single' has 0 training and 1 test images"):
        image_folder(str(tmp_path))


@pytest.mark.assets
@pytest.mark.skipif(not ASSETS.is_dir(), reason=f"needs the real images of {ASSETS}")
@pytest.mark.parametrize(
    ("name", "classes", "train", "test"), [("cifar10", 10, 1800, 1200), ("steel_defects6", 6, 360, 240)]
)
def test_real_images_are_read(name, classes, train, test):
    target = image_folder(str(ASSETS / name), scoring_set_size=classes * 2)
    assert (len(target.class_names), len(target.train), len(target.test)) == (classes, train, test)
    assert {target.scoring_set.read(i).mode for i in range(len(target.scoring_set))} == {"RGB"}
