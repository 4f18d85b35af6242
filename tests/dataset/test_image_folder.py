"""Image folders are read with or without splits, and every wrong layout is refused."""

import os
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


@pytest.mark.parametrize("fraction", [0.0, 2.0, float("nan"), "0.3", None, [0.3]])
def test_a_fraction_out_of_range_is_named(untyped, tmp_path, fraction):
    image_folders(tmp_path / "birds", ["wren", "heron"], 4)
    with pytest.raises(InputError, match=r"^dataset\.test_fraction=\S+: need a number between 0 and 1"):
        image_folder(str(tmp_path / "birds"), test_fraction=fraction)


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [("Train", "val", "TEST"), ("training", "valid", "Testing"), ("TRAIN", "dev", "eval")],
)
def test_splits_have_the_usual_names_in_any_capitals(split_root, train, validation, test):
    image_folders(split_root / validation, ["wren", "heron"], 2, first=7)
    for old, new in (("train", train), ("test", test)):
        (split_root / old).rename(split_root / new)
    target = image_folder(str(split_root))
    assert target.validation.labels.tolist() == [0, 0, 1, 1]
    assert (len(target.train), len(target.test)) == (8, 6)


def test_test_images_are_held_out_where_there_is_no_test_folder(split_root):
    (split_root / "test").rename(split_root / "valid")
    target = image_folder(str(split_root))
    assert (len(target.train), len(target.validation), len(target.test)) == (6, 6, 2)


def test_a_flat_test_folder_is_passed_over_by_name(split_root):
    for number, path in enumerate((split_root / "test").rglob("*.jpg")):
        path.rename(split_root / "test" / f"{number}.jpg")
    for path in ("wren", "heron"):
        (split_root / "test" / path).rmdir()
    target = image_folder(str(split_root))
    assert (len(target.train), len(target.test)) == (6, 2)
    assert target.passed_over == {"test images without a label": tuple(f"test/{i}.jpg" for i in range(6))}


def test_a_class_without_test_images_is_allowed(split_root):
    (split_root / "test" / "wren").rename(split_root.parent / "removed")
    target = image_folder(str(split_root))
    assert target.test.labels.tolist() == [0, 0, 0]
    assert len(target.class_names) == 2


def test_folders_inside_a_class_belong_to_it_in_the_order_of_their_names(tmp_path):
    for name in ("a/1/x.jpg", "a/0.jpg", "a/2.jpg", "a/1/y/z.jpg", "b/0/0.jpg", "b/0/1.jpg", "b/1.jpg"):
        write_picture(tmp_path / name, 0, len(name))
    (tmp_path / "a" / "1" / "loop").symlink_to(tmp_path / "b")
    target = image_folder(str(tmp_path), test_fraction=0.01)
    names = [images.name(i) for images in (target.train, target.test) for i in range(len(images))]
    assert sorted(Path(name).relative_to(tmp_path).as_posix() for name in names) == [
        *("a/0.jpg", "a/1/x.jpg", "a/1/y/z.jpg", "a/2.jpg"),
        *("b/0/0.jpg", "b/0/1.jpg", "b/1.jpg"),
    ]
    assert target.passed_over == {"links to folders": ("a/1/loop",)}


@pytest.mark.parametrize(("target", "other"), [("gull", "gull"), ("gull/young", "gull"), (".", "gull")])
@pytest.mark.parametrize("split", ["", "train"])
def test_a_class_folder_that_is_a_link_to_another_class_is_refused(tmp_path, split, target, other):
    image_folders(tmp_path / split, ["gull", "owl"], 3)
    image_folders(tmp_path / split / "gull", ["young"], 2)
    (tmp_path / split / "wren").symlink_to(tmp_path / split / target)
    with pytest.raises(InputError, match=rf"class folder \S*wren is a link to .* of the class {other}: remove one"):
        image_folder(str(tmp_path))


def test_a_class_folder_may_be_a_link_to_a_folder_that_is_no_class(tmp_path):
    image_folders(tmp_path, ["gull", ".more/owl"], 3)
    (tmp_path / "owl").symlink_to(tmp_path / ".more" / "owl")
    assert image_folder(str(tmp_path)).class_names == ("gull", "owl")


@pytest.mark.parametrize("direct", [True, False])
def test_a_class_called_train_may_have_folders(tmp_path, direct):
    image_folders(tmp_path, ["bus", "car"], 4)
    image_folders(tmp_path / "train", ["steam", "diesel"], 2)
    if direct:
        image_folders(tmp_path, ["train", "test"], 4)
    names = ("bus", "car", "train")
    assert image_folder(str(tmp_path)).class_names == ((*names[:2], "test", "train") if direct else names)


def test_classes_may_have_names_like_splits(tmp_path):
    names = ["test tube", "train station"]
    image_folders(tmp_path, names, 4)
    write_picture(tmp_path / "test tube" / "small" / "0.jpg", 3, 9)
    assert list(image_folder(str(tmp_path)).class_names) == names


def test_composed_and_decomposed_accents_are_one_class(tmp_path):
    image_folders(tmp_path, ["caf\u00e9", "cafe\u0301", "tea"], 4)
    target = image_folder(str(tmp_path))
    assert target.class_names == ("caf\u00e9", "tea")
    assert sorted([*target.train.labels, *target.test.labels]) == [0] * 8 + [1] * 4


def test_a_folder_name_that_is_not_utf_8_is_escaped(tmp_path):
    image_folders(tmp_path / "s\udce9t", ["caf\udce9", "tea"], 4)
    target = image_folder(str(tmp_path / "s\udce9t"))
    assert (target.name, target.class_names) == (r"s\udce9t", (r"caf\udce9", "tea"))


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


def test_other_files_are_passed_over_by_name_and_home_is_expanded(split_root, monkeypatch):
    wren = split_root / "train" / "wren"
    write_lines(wren / "notes.txt", ["no image"])
    write_lines(wren / "Thumbs.db", ["no image"])
    write_lines(wren / "._000.jpg", ["no image"])
    write_picture(wren / ".hidden.jpg", 0, 0)
    write_picture(wren / ".ipynb_checkpoints" / "0.jpg", 0, 0)
    write_picture(split_root / "__MACOSX" / "wren" / "._0.jpg", 0, 0)
    write_picture(split_root / "train" / "loose.jpg", 0, 0)
    write_picture(split_root / "extra" / "0" / "0.jpg", 0, 0)
    os.mkfifo(wren / "pipe.jpg")
    (wren / "deeper").mkdir()
    (wren / "000.jpg").rename(wren / "000.JPG")
    monkeypatch.setenv("HOME", str(split_root.parent))
    target = image_folder("~/birds")
    assert len(target.train) == 8
    assert {reason: sorted(names) for reason, names in target.passed_over.items()} == {
        "not images": [
            "__MACOSX",
            *(f"train/wren/{name}" for name in ("._000.jpg", ".ipynb_checkpoints", "Thumbs.db", "notes.txt")),
        ],
        "hidden files": ["train/wren/.hidden.jpg"],
        "not regular files": ["train/wren/pipe.jpg"],
        "images outside the class folders": ["train/loose.jpg"],
        "images outside the splits": ["extra/0/0.jpg"],
    }


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
    assert skipped.passed_over == {"not readable": ("train/wren/002.jpg",)}


@pytest.mark.parametrize("inner", ["wren", "wren/2023"])
def test_a_class_without_a_readable_image_is_named_by_its_folder(tmp_path, inner):
    image_folders(tmp_path, ["heron"], 4)
    write_lines(tmp_path / inner / "0.jpg", ["no image"])
    with pytest.raises(InputError, match=rf"class folder {tmp_path}/wren holds no readable image: fill or remove it"):
        image_folder(str(tmp_path), on_unreadable="skip")


def test_images_next_to_split_folders_are_outside_the_splits(split_root):
    write_picture(split_root / "loose.jpg", 0, 0)
    assert image_folder(str(split_root)).passed_over == {"images outside the splits": ("loose.jpg",)}


def test_a_hidden_folder_in_a_flat_split_is_passed_over_once(split_root):
    image_folders(split_root / "valid", [".thumbnails"], 1)
    write_picture(split_root / "valid" / "0.jpg", 0, 0)
    assert image_folder(str(split_root)).passed_over == {
        "not images": ("valid/.thumbnails",),
        "validation images without a label": ("valid/0.jpg",),
    }


def empty_class(root):
    (root / "train" / "wren").rename(root / "removed")
    (root / "train" / "wren").mkdir()


def one_sample(root):
    for number in (1, 2, 3):
        (root / "train" / "wren" / f"00{number}.jpg").unlink()


def flat_splits(root):
    for path in list(root.rglob("*.jpg")):
        path.rename(path.parent.parent / f"{path.parent.name}{path.name}")
        if not list(path.parent.iterdir()):
            path.parent.rmdir()


WRONG = {
    "no train": (
        lambda root: (root / "train").rename(root / "val"),
        "has the splits test, val, but no train folder with one folder per class",
    ),
    "two trains": (lambda root: image_folders(root / "Train", ["a"], 1), "two train splits, Train and train: keep one"),
    "unknown split": (
        lambda root: (root / "test").rename(root / "tset"),
        "holds train next to tset: rename train if it is a class, or set dataset.root=.*/train if it is the training",
    ),
    "test next to a folder of another name": (
        lambda root: (root / "train").rename(root / "birds"),
        "holds test, with folders inside, next to birds: rename test if it is a class, or call",
    ),
    "names like splits": (
        lambda root: [(root / name).rename(root / new) for name, new in (("train", "train_2017"), ("test", "my-test"))],
        "the folders my-test and train_2017 of .* look like splits: call them train, validation and test",
    ),
    **{
        f"{train} and {test}": (
            lambda root, train=train, test=test: [
                (root / a).rename(root / b) for a, b in (("train", train), ("test", test))
            ],
            f"the folders .*{train}.* look like splits: call them train.*, or rename them if they are classes",
        )
        for train, test in (("trn", "tst"), ("TrainSet", "TestSet"), ("train_images", "test_images"), ("trn", "test"))
    },
    **{
        f"{name}s": (
            lambda root, name=name: [(root / a).rename(root / name.format(b)) for a, b in (("train", 0), ("test", 1))],
            f"the folders {name.format(0)}, {name.format(1)} of .* look like parts of one dataset, because each holds "
            r"heron: call one train and one test, set dataset.root=.*, or rename them if they are classes",
        )
        for name in ("fold{}", "Fold_{}", "cv{}", "split-{}", "k-fold {}", "part{}")
    },
    "flat names like splits": (
        lambda root: (flat_splits(root), [(root / a).rename(root / f"{a}_images") for a in ("train", "test")]),
        "the folders test_images and train_images of .* look like splits",
    ),
    "flat": (flat_splits, "has the splits test, train, but no train folder with one folder per class"),
    "empty test": (lambda root: [path.unlink() for path in (root / "test").rglob("*.jpg")], "test holds no image"),
    "class only in test": (
        lambda root: write_picture(root / "test" / "owl" / "0.jpg", 0, 0),
        "class 'owl' has 0 training and 1 test images",
    ),
    "class only in validation": (
        lambda root: write_picture(root / "valid" / "owl" / "0.jpg", 0, 0),
        "class 'owl' has 0 training, 1 validation and 0 test images",
    ),
    "empty": (empty_class, "wren holds no image"),
    "one sample": (one_sample, "class 'wren' has 1 training and 3 test images"),
    "one class": (
        lambda root: (root / "train" / "wren").rename(root.parent / "removed"),
        "only the class folder 'heron'",
    ),
}


@pytest.mark.parametrize("name", ["fold{}", "part {}", "train{}"])
def test_numbered_classes_hold_images_or_different_folders(tmp_path, name):
    image_folders(tmp_path / name.format(1), ["thick"], 3)
    image_folders(tmp_path / name.format(2), ["thin"], 3)
    assert image_folder(str(tmp_path)).class_names == (name.format(1), name.format(2))


def test_a_class_may_be_called_test_and_have_folders_inside(tmp_path):
    image_folders(tmp_path, ["other", "test"], 3)
    image_folders(tmp_path / "test", ["inner"], 3)
    assert image_folder(str(tmp_path)).class_names == ("other", "test")


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
    image_folders(tmp_path / "inner", ["a", "b"], 2)
    with pytest.raises(InputError, match=r"only the class folder 'inner': .*, or set dataset\.root=.*inner$"):
        image_folder(str(tmp_path))


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


def test_splits_inside_classes_are_refused(tmp_path):
    for label in ("wren", "heron"):
        image_folders(tmp_path / "usual" / label, ["train", "test"], 3)
        image_folders(tmp_path / "short" / label, ["trn", "tst"], 3)
    with pytest.raises(InputError, match=r"every folder in .* has the splits test, train: put"):
        image_folder(str(tmp_path / "usual"))
    with pytest.raises(InputError, match=r"every folder in .* has the splits trn, tst: put"):
        image_folder(str(tmp_path / "short"))
