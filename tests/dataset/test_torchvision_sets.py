"""The paper's eleven datasets are read by torchvision from small examples with the real layout."""

import numpy as np
import pytest
from example_datasets import EXAMPLES, picture, trust_examples, voc_object, write_lines

from transfer_exp.dataset import torchvision_sets
from transfer_exp.errors import InputError

pytestmark = pytest.mark.slow

PER_CLASS = "mean_per_class_accuracy"
# For examples with three images per class and split: classes; training, validation and test images; measure.
EXPECTED = {
    "aircraft": (3, 9, 9, 9, PER_CLASS),
    "caltech101": (3, 15, None, 3, PER_CLASS),
    "cars": (3, 9, None, 9, "accuracy"),
    "cifar10": (3, 45, None, 9, "accuracy"),
    "cifar100": (4, 12, None, 12, "accuracy"),
    "dtd": (3, 9, 9, 9, "accuracy"),
    "flowers": (3, 9, 9, 9, PER_CLASS),
    "food": (3, 9, None, 9, "accuracy"),
    "pets": (3, 9, None, 9, PER_CLASS),
    "sun397": (3, 9, None, 9, "accuracy"),
    "voc2007": (3, 9, 9, 9, "map_11point"),
}


def function(name):
    return getattr(torchvision_sets, name)


@pytest.fixture
def read_example(tmp_path, monkeypatch):
    """Return a function that writes an example dataset and reads it."""

    def read(name, per_class=3, **options):
        EXAMPLES[name](tmp_path, per_class)
        trust_examples(monkeypatch, tmp_path)
        return function(name)(str(tmp_path), **options)

    return read


def is_nearest_label(image, label):
    """Return True if a picture is more similar to pictures of its class than to those of other classes."""
    pixels = np.asarray(image, dtype=float).mean(axis=(0, 1))
    distance = [np.abs(pixels - picture(c, 0).mean(axis=(0, 1))).sum() for c in range(4)]
    return int(np.argmin(distance)) == label


@pytest.mark.parametrize("name", EXPECTED)
def test_every_dataset_has_its_splits_measure_and_images(read_example, name):
    classes, train, validation, test, measure = EXPECTED[name]
    target = read_example(name, seed=1)
    assert (target.name, target.measure) == (name, measure)
    assert len(np.unique(target.train.labels)) == classes
    assert (len(target.train), len(target.test)) == (train, test)
    assert (target.validation and len(target.validation)) == validation
    splits = [target.train, target.test, *([target.validation] if validation else [])]
    fingerprints = [split.fingerprint(i) for split in splits for i in range(len(split))]
    assert len(set(fingerprints)) == len(fingerprints), "splits share images"
    assert all(split.read(len(split) - 1).mode == "RGB" for split in splits)


@pytest.mark.parametrize("name", sorted(set(EXPECTED) - {"voc2007", "caltech101"}))
def test_labels_belong_to_their_images(read_example, name):
    target = read_example(name)
    for split in (target.train, target.test):
        assert all(is_nearest_label(split.read(i), split.labels[i]) for i in range(len(split)))


@pytest.mark.parametrize("name", ["caltech101", "sun397"])
def test_sets_without_published_lists_are_split_by_the_seed(read_example, tmp_path, name):
    first = read_example(name, per_class=6)
    repeated, different = (function(name)(str(tmp_path), seed=seed) for seed in (0, 1))
    assert first.train.digest == repeated.train.digest != different.train.digest


def test_caltech101_has_thirty_training_images_and_no_background_class(read_example):
    target = read_example("caltech101", per_class=16)
    assert target.class_names == ("Faces", "ant", "wrench")
    assert np.bincount(target.train.labels).tolist() == [30] * 3
    assert np.bincount(target.test.labels).tolist() == [2] * 3


def test_sun397_has_fifty_training_and_fifty_test_images(read_example):
    target = read_example("sun397", per_class=52)
    assert target.class_names == ("abbey", "apse/indoor", "bakery/shop")
    assert np.bincount(target.train.labels).tolist() == np.bincount(target.test.labels).tolist() == [50] * 3


def test_sun397_does_not_depend_on_the_order_of_the_file_system(read_example, tmp_path, monkeypatch):
    from transfer_exp.vision import torchvision

    class Reversed(torchvision.datasets.SUN397):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self._image_files, self._labels = self._image_files[::-1], self._labels[::-1]

    target = read_example("sun397")
    monkeypatch.setattr(torchvision.datasets, "SUN397", Reversed)
    assert torchvision_sets.sun397(str(tmp_path)).train.digest == target.train.digest


def test_voc2007_has_all_classes_of_an_image_and_the_released_reading_the_first(read_example):
    classes = list(torchvision_sets.VOC_CLASSES)
    aeroplane, dog, person = (classes.index(name) for name in ("aeroplane", "dog", "person"))
    several, released = (read_example("voc2007", first_class_only=first) for first in (False, True))
    assert (several.target_kind, released.target_kind) == ("multi_label", "single_label")
    assert several.name == released.name == "voc2007", "published accuracies have this name"
    assert several.measure == released.measure == "map_11point"
    assert released.train.labels.tolist() == [aeroplane] * 3 + [dog] * 3 + [person] * 3
    for target in (several, released):
        assert [np.flatnonzero(row).tolist() for row in target.test.targets[::3]] == [
            [aeroplane, person],
            [dog, person],
            [person],
        ]


def test_voc2007_counts_difficult_objects_only_if_an_image_has_no_other(tmp_path, read_example):
    read_example("voc2007")
    annotation = tmp_path / "VOCdevkit" / "VOC2007" / "Annotations" / "000000.xml"
    write_lines(annotation, [f"<annotation>{voc_object('aeroplane', difficult=True)}</annotation>"])
    assert torchvision_sets.voc2007(str(tmp_path)).train.targets[0].sum() == 1
    for invalid in ("<annotation></annotation>", "<annotation>", f"<a>{voc_object('unicorn')}</a>"):
        write_lines(annotation, [invalid])
        with pytest.raises(InputError, match=r"000000\.xml"):
            torchvision_sets.voc2007(str(tmp_path))


@pytest.mark.parametrize("name", EXPECTED)
def test_missing_data_are_reported_in_one_line(tmp_path, name):
    for root in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(InputError, match=f"{name} is missing or incomplete under dataset.root=") as caught:
            function(name)(str(root))
        remedy = "torchvision can no longer download" if name == "cars" else "dataset.download=true"
        assert remedy in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "nowhere").exists()


def test_incomplete_data_are_reported_with_the_missing_file(tmp_path, read_example):
    read_example("dtd")
    (tmp_path / "dtd" / "dtd" / "labels" / "val1.txt").unlink()
    with pytest.raises(InputError, match=r"dtd is missing or incomplete .*val1\.txt"):
        torchvision_sets.dtd(str(tmp_path))


def test_only_missing_data_are_downloaded(tmp_path, read_example, monkeypatch):
    from transfer_exp.vision import torchvision

    roots = []

    def fetch(self):
        roots.append(self.root)
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.datasets.DTD, "_download", fetch)
    with pytest.raises(InputError, match=r"dtd is missing .*\(no route to host\)"):
        torchvision_sets.dtd(str(tmp_path / "new"), download=True)
    assert roots == [str(tmp_path / "new")]
    read_example("dtd", download=True)
    assert len(roots) == 1


def test_fewer_classes_than_published_are_reported(read_example, caplog):
    read_example("pets")
    assert [message for message in caplog.messages if "pets has 3 classes" in message and "37" in message]


def test_splits_with_different_class_names_are_refused(tmp_path, read_example):
    read_example("food")
    write_lines(tmp_path / "food-101" / "meta" / "test.json", ['{"ramen": [], "waffles": []}'])
    with pytest.raises(InputError, match=r"the splits of food .* name different classes"):
        torchvision_sets.food(str(tmp_path))


def test_cifar_with_other_digests_is_not_unpickled(tmp_path):
    EXAMPLES["cifar10"](tmp_path)
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(InputError, match="cifar10 is missing or incomplete"):
        torchvision_sets.cifar10(str(tmp_path))
