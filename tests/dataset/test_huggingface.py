"""Hub datasets are read from local folders with the hub's layout."""

import sys

import numpy as np
import pytest
from example_datasets import image_folders, parquet, picture
from huggingface_hub import constants
from PIL import Image

from transfer_exp.dataset.huggingface import huggingface
from transfer_exp.errors import InputError
from transfer_exp.io import hub

pytestmark = pytest.mark.slow

datasets = pytest.importorskip("datasets", reason="needs the huggingface extra")


@pytest.fixture(autouse=True)
def temporary_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def test_all_splits_are_read(tmp_path):
    root = parquet(tmp_path / "pets2", {"train": [0, 1] * 4, "validation": [0, 1] * 2, "test": [1, 0] * 3})
    target = huggingface(root, scoring_set_size=4)
    assert (target.name, target.class_names) == ("pets2", ("cat", "dog"))
    assert target.train.labels.tolist() == [0, 1] * 4
    assert target.test.labels.tolist() == [1, 0] * 3
    assert len(target.validation) == 4
    assert np.bincount(target.scoring_set.labels).tolist() == [2, 2]
    image = target.train.read(1)
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), picture(1, 1)), "read(1) must be the image of row 1"
    assert target.train.fingerprint(1) != target.train.fingerprint(3)


def test_a_folder_of_images_without_a_test_split_is_split(tmp_path):
    image_folders(tmp_path / "leaves" / "train", ["oak", "elm"], 10)
    target = huggingface(str(tmp_path / "leaves"))
    assert target.class_names == ("elm", "oak")
    assert np.bincount(target.test.labels).tolist() == [3, 3]
    assert len(target.train) == 14
    assert target.train.read(0).size == (32, 32)


def test_split_folders_may_have_capitals(tmp_path):
    for split, first, count in (("Train", 0, 5), ("Test", 5, 3), ("VALID", 8, 2)):
        image_folders(tmp_path / "leaves" / split, ["oak", "elm"], count, first)
    target = huggingface(str(tmp_path / "leaves"))
    assert [len(split) for split in (target.train, target.validation, target.test)] == [10, 4, 6]
    assert target.class_names == ("elm", "oak")


@pytest.mark.parametrize("names", [("trn", "tst"), ("fold0", "fold1")])
def test_folders_and_splits_with_names_like_splits_are_refused(tmp_path, names):
    for first, name in zip((0, 5), names, strict=True):
        image_folders(tmp_path / "leaves" / name, ["oak", "elm"], 4, first)
    with pytest.raises(InputError, match=f"the folders {names[0]}.* {names[1]} of .* look like "):
        huggingface(str(tmp_path / "leaves"))
    root = parquet(tmp_path / "x", {name: [0, 1] * 3 for name in names})
    with pytest.raises(InputError, match=f"none of the splits {', '.join(names)} is called train: set dataset.train"):
        huggingface(root)
    assert len(huggingface(root, train=names[0], test=names[1]).test) == 6


def test_string_labels_and_a_single_split_are_read(tmp_path):
    root = parquet(tmp_path / "x", {"full": ["b", "a"] * 5}, datasets.Value("string"), "kind")
    target = huggingface(root, label_column="kind")
    assert target.class_names == ("a", "b")
    assert len(target.train) + len(target.test) == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test": "tset"}, "has no split 'tset': did you mean test"),
        ({"label_column": "lable"}, "has no column 'lable': did you mean label"),
        ({"label_column": "image"}, "column 'image' of .* holds no labels"),
        ({"image_column": "label"}, "column 'label' of .* holds no images"),
        ({}, "has 2 columns of type Image: set dataset.image_column to one of image, mask"),
    ],
)
def test_a_wrong_or_ambiguous_name_is_reported(tmp_path, options, message):
    root = parquet(tmp_path / "x", {"train": [0, 1] * 3, "test": [0, 1]}, extra=["mask"])
    with pytest.raises(InputError, match=message):
        huggingface(root, **{"image_column": "image", **options} if options else {})


def test_withheld_labels_of_a_chosen_split_or_of_some_images_are_refused(tmp_path):
    root = parquet(tmp_path / "x", {"train": [0, 1] * 3, "test": [-1, -1]})
    with pytest.raises(InputError, match=r"x, test: labels are withheld \(label=-1\)"):
        huggingface(root, test="test")
    root = parquet(tmp_path / "y", {"train": [0, 1] * 3, "test": [-1, 1]})
    with pytest.raises(InputError, match=r"y, test: labels are withheld \(label=-1\)"):
        huggingface(root)


def test_a_test_split_without_labels_is_passed_over_by_name(tmp_path):
    root = parquet(tmp_path / "x", {"train": [0, 1] * 5, "test": [-1, -1]})
    target = huggingface(root)
    assert (len(target.train), len(target.test)) == (6, 4)
    assert target.passed_over == {"test images without a label": ("test, row 0", "test, row 1")}


def load_in_memory(monkeypatch, splits, names=None):
    """Let the hub return splits with these string labels, or class numbers and names."""
    label = datasets.Value("string") if names is None else datasets.ClassLabel(names=names)
    features = datasets.Features({"image": datasets.Image(), "label": label})
    rows = {
        split: datasets.Dataset.from_dict(
            {"image": [Image.fromarray(picture(0, i)) for i in range(len(labels))], "label": labels}, features=features
        )
        for split, labels in splits.items()
    }
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: datasets.DatasetDict(rows))


@pytest.mark.parametrize(
    "names", [("Training", "valid", "TEST"), ("train", "dev", "testing"), ("TRAIN", "val", "eval")]
)
def test_splits_have_the_usual_names_in_any_capitals(monkeypatch, names):
    load_in_memory(monkeypatch, dict(zip(names, (["a", "b"] * 4, ["a", "b"], ["b", "a", "a"]), strict=True)))
    target = huggingface("owner/name", label_column="label")
    assert [len(split) for split in (target.train, target.validation, target.test)] == [8, 2, 3]


@pytest.mark.parametrize("numbered", [False, True])
def test_class_names_that_differ_in_the_form_of_an_accent_are_one_class(monkeypatch, numbered):
    labels, names = ["\u00e9", "b", "e\u0301"] * 3, ["\u00e9", "b", "e\u0301"]
    load_in_memory(monkeypatch, {"train": [0, 1, 2] * 3 if numbered else labels}, names if numbered else None)
    target = huggingface("owner/name", label_column="label")
    assert sorted(target.class_names) == ["b", "\u00e9"]
    assert sorted(np.bincount([*target.train.labels, *target.test.labels])) == [3, 6]


def test_a_class_only_in_test_is_refused_like_in_folders(monkeypatch):
    load_in_memory(monkeypatch, {"train": ["a", "b"] * 3, "test": ["a", "owl"]})
    with pytest.raises(InputError, match="class 'owl' has 0 training and 1 test images"):
        huggingface("owner/name", label_column="label")


def test_a_damaged_image_is_reported_by_its_row(tmp_path):
    root = tmp_path / "x"
    image_folders(root / "train", ["a", "b"], 3)
    image_folders(root / "test", ["a", "b"], 1)
    (root / "train" / "b" / "000.jpg").write_bytes(b"not an image")
    target = huggingface(str(root))
    with pytest.raises(InputError, match=r"x, train, row 3 is not a readable image"):
        target.train.read(3)


def test_no_split_is_used_twice(tmp_path):
    root = parquet(tmp_path / "x", {"train": [0, 1] * 3, "test": [0, 1] * 3})
    for options in ({"test": "train"}, {"train": "test", "test": "test"}, {"validation": "train"}):
        with pytest.raises(InputError, match="must be different splits"):
            huggingface(root, **options)
    single = huggingface(parquet(tmp_path / "y", {"test": [0, 1] * 5}))
    assert (len(single.train), len(single.test)) == (6, 4)


def test_a_revision_can_follow_the_id(monkeypatch):
    arguments = {}

    def load(path, **options):
        arguments.update(options, path=path)
        raise ConnectionError("offline")

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(InputError, match="offline"):
        huggingface("owner/name@abc", config="small")
    assert arguments == {"path": "owner/name", "name": "small", "revision": "abc", "trust_remote_code": False}


def test_a_dataset_that_cannot_be_downloaded_is_reported_in_one_line():
    with pytest.raises(InputError, match=r"cannot load dataset\.id=no-such-owner/no-such-set") as caught:
        huggingface("no-such-owner/no-such-set")
    assert "\n" not in str(caught.value)


def test_without_a_connection_only_the_cache_is_read(monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "check_connection", lambda url: "not reached (no such name)")
    hub.go_offline_if_unreachable.cache_clear()
    with pytest.raises(InputError, match=r"cannot load dataset\.id=owner/name"):
        huggingface("owner/name")
    assert datasets.config.HF_HUB_OFFLINE
    hub.go_offline_if_unreachable.cache_clear()


def test_code_of_a_dataset_is_never_run(tmp_path):
    root = tmp_path / "script"
    root.mkdir()
    (root / "script.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    with pytest.raises(InputError, match=r"cannot load dataset\.id="):
        huggingface(str(root))
    assert not (tmp_path / "ran").exists()


def test_a_missing_extra_is_reported(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"pip install 'transfer-exp\[huggingface\]'"):
        huggingface("owner/name")


def test_a_row_cannot_name_a_file_outside_the_dataset(tmp_path):
    rows = {"image": [{"bytes": None, "path": str(tmp_path / f"{i}.png")} for i in range(8)], "label": [0, 1] * 4}
    for i in range(8):
        Image.fromarray(np.asarray(picture(i % 2, i))).save(tmp_path / f"{i}.png")
    features = datasets.Features(
        {"image": datasets.Image(decode=False), "label": datasets.ClassLabel(names=["a", "b"])}
    )
    (tmp_path / "set" / "data").mkdir(parents=True)
    table = datasets.Dataset.from_dict(rows, features=features)
    table.cast_column("image", datasets.Image()).to_parquet(str(tmp_path / "set" / "data" / "train.parquet"))
    target = huggingface(str(tmp_path / "set"))
    with pytest.raises(InputError, match=r"row \d names a file outside the dataset, .*\.png"):
        target.train.read(0)
