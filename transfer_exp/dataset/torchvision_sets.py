"""The eleven target datasets of the paper, read by torchvision, with the splits and measures of the literature.

All functions have the same parameters: ``root`` is the folder passed to torchvision, ``download`` downloads missing
data, ``scoring_set_size`` is the number of training images to score on (stratified; None for all), and ``seed`` draws
the scoring set, and the splits if none are published. They raise `InputError` if the data are missing. Counts are those
of train / validation / test. The fingerprint of an image is the content of its file (CIFAR: its pixels).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Int
from PIL import Image

from transfer_exp.dataset.image_file import load_files
from transfer_exp.dataset.stratification import take_per_class
from transfer_exp.dataset.target_dataset import LabelledImages, TargetDataset
from transfer_exp.dataset.torchvision_files import REMEDY, PublishedSet, check_paths, load_listed_images
from transfer_exp.errors import InputError
from transfer_exp.io.text import read_text

_SUN_PER_CLASS = 50
_CALTECH_PER_CLASS = 30
_MAX_ANNOTATION_BYTES = 1 << 20
VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
_CARS_INSTRUCTIONS = (
    "torchvision can no longer download it, so lay out stanford_cars/ by hand, with devkit/, cars_train/, "
    "cars_test/ and cars_test_annos_withlabels.mat"
)


def aircraft(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return FGVC Aircraft (Maji et al., 2013) by variant: 3,334 / 3,333 / 3,333 images of 100 classes."""
    source = PublishedSet("aircraft", "FGVCAircraft", 100, root, download)
    return source.load(("train", "test", "val"), "mean_per_class_accuracy", scoring_set_size, seed)


def cars(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return Stanford Cars (Krause et al., 2013): 8,144 / none / 8,041 images of 196 classes."""
    source = PublishedSet("cars", "StanfordCars", 196, root, download, _CARS_INSTRUCTIONS)
    return source.load(("train", "test"), "accuracy", scoring_set_size, seed)


def dtd(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return Describable Textures (Cimpoi et al., 2014), partition 1 of 10: 1,880 each of 47 classes."""
    source = PublishedSet("dtd", "DTD", 47, root, download)
    return source.load(("train", "test", "val"), "accuracy", scoring_set_size, seed)


def food(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return Food-101 (Bossard et al., 2014): 75,750 / none / 25,250 images of 101 classes."""
    source = PublishedSet("food", "Food101", 101, root, download)
    return source.load(("train", "test"), "accuracy", scoring_set_size, seed)


def pets(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return Oxford-IIIT Pets (Parkhi et al., 2012): 3,680 / none / 3,669 images of 37 breeds."""
    source = PublishedSet("pets", "OxfordIIITPet", 37, root, download)
    return source.load(("trainval", "test"), "mean_per_class_accuracy", scoring_set_size, seed)


def flowers(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return Oxford Flowers (Nilsback and Zisserman, 2008): 1,020 / 1,020 / 6,149 images of 102 classes."""
    source = PublishedSet("flowers", "Flowers102", 102, root, download)
    datasets = [source.open(split=split) for split in ("train", "test", "val")]
    # Older versions of torchvision do not have the names of the flowers.
    names = [str(name) for name in getattr(datasets[0], "classes", range(1, 103))]
    images = [load_listed_images(dataset) for dataset in datasets]
    return source.assemble([names], images, "mean_per_class_accuracy", scoring_set_size, seed)


def cifar10(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return CIFAR-10 (Krizhevsky, 2009): 50,000 / none / 10,000 images of 10 classes, 32 x 32 pixels."""
    return _load_cifar(PublishedSet("cifar10", "CIFAR10", 10, root, download), scoring_set_size, seed)


def cifar100(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return CIFAR-100 (Krizhevsky, 2009): 50,000 / none / 10,000 images of 100 classes, 32 x 32 pixels."""
    return _load_cifar(PublishedSet("cifar100", "CIFAR100", 100, root, download), scoring_set_size, seed)


def _load_cifar(source: PublishedSet, scoring_set_size: int | None, seed: int) -> TargetDataset:
    """Load a CIFAR dataset; torchvision unpickles only files with the published md5, so no other code can run."""
    datasets = [source.open(train=True), source.open(train=False)]
    images = [_images_from_pixels(dataset.data, dataset.targets) for dataset in datasets]
    return source.assemble([dataset.classes for dataset in datasets], images, "accuracy", scoring_set_size, seed)


def _images_from_pixels(pixels: np.ndarray, labels: list[int]) -> LabelledImages:
    """Return the images of pixels (N, 32, 32, 3)."""
    codes = np.array(labels, dtype=np.int64)
    return LabelledImages(codes, lambda i: Image.fromarray(pixels[i]), lambda i: pixels[i].tobytes())


def caltech101(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return Caltech-101 (Fei-Fei et al., 2004) with 30 random training images per class; all others are test images.

    This is the usual protocol, for which no lists are published. torchvision leaves out the background folder, so there
    are 101 classes and 3,030 / none / 5,647 images; tables that include it count 102 classes.
    """
    source = PublishedSet("caltech101", "Caltech101", 101, root, download)
    dataset = source.open()
    folder = Path(dataset.root) / "101_ObjectCategories"
    paths = [
        folder / dataset.categories[label] / f"image_{number:04d}.jpg"
        for label, number in zip(dataset.y, dataset.index, strict=True)
    ]
    images = load_files(check_paths(dataset, paths), np.array(dataset.y, dtype=np.int64), REMEDY)
    counts = np.unique(images.labels, return_counts=True)[1]
    selected, rest = take_per_class(images.labels, np.minimum(_CALTECH_PER_CLASS, counts - 1), seed)
    splits = [images.subset(selected), images.subset(rest)]
    return source.assemble([dataset.categories], splits, "mean_per_class_accuracy", scoring_set_size, seed)


def sun397(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return SUN397 (Xiao et al., 2010) with 50 training and 50 test images per class, drawn by ``seed``.

    The published partitions have the same sizes, 19,850 images each, but torchvision does not download them. The code
    of earlier papers tested on its training images; here the splits are disjoint, so accuracies are not comparable. A
    class with fewer than 100 images, which the real dataset does not have, is divided in half.
    """
    source = PublishedSet("sun397", "SUN397", 397, root, download)
    dataset = source.open()
    # torchvision lists files in the order of the file system; sorted, the same seed gives the same splits everywhere.
    order = np.argsort([Path(file).as_posix() for file in dataset._image_files], kind="stable")
    images = load_listed_images(dataset).subset(order)
    counts = np.unique(images.labels, return_counts=True)[1]
    sizes = np.minimum(_SUN_PER_CLASS, counts // 2)
    train, rest = take_per_class(images.labels, sizes, seed)
    test = rest[take_per_class(images.labels[rest], sizes, seed)[0]]
    splits = [images.subset(train), images.subset(test)]
    return source.assemble([dataset.classes], splits, "accuracy", scoring_set_size, seed)


def voc2007(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return PASCAL VOC 2007 (Everingham et al., 2010): 2,501 / 2,510 / 4,952 images of 20 classes.

    ``targets`` marks every class in an image, for the 11-point mean average precision. ``labels`` is the first of
    these classes in alphabetical order, on which earlier papers compute scores. Objects flagged "difficult" do not
    count, as in the challenge, unless an image has no other object.
    """
    source = PublishedSet("voc2007", "VOCDetection", len(VOC_CLASSES), root, download)
    splits = [_load_voc(source.open(year="2007", image_set=split)) for split in ("train", "test", "val")]
    return source.assemble([VOC_CLASSES], splits, "map_11point", scoring_set_size, seed)


def _load_voc(dataset: Any) -> LabelledImages:
    targets = np.array([_read_voc_classes(Path(path)) for path in dataset.annotations], dtype=np.int64)
    return load_files(check_paths(dataset, dataset.images), targets.argmax(axis=1), REMEDY, targets)


def _read_voc_classes(annotation: Path) -> Int[np.ndarray, " classes"]:
    """Return ones for the classes of the objects in an annotation, (20,)."""
    try:
        objects = ElementTree.fromstring(read_text(annotation, _MAX_ANNOTATION_BYTES)).findall("object")
        labels = [(VOC_CLASSES.index(item.findtext("name", "")), item.findtext("difficult") == "1") for item in objects]
    except (OSError, ElementTree.ParseError, ValueError) as error:
        raise InputError(f"{annotation} is not an annotation of VOC 2007 ({error}): {REMEDY}") from error
    classes = [label for label, is_difficult in labels if not is_difficult] or [label for label, _ in labels]
    if not classes:
        raise InputError(f"{annotation} has no object: {REMEDY}")
    targets = np.zeros(len(VOC_CLASSES), dtype=np.int64)
    targets[classes] = 1
    return targets
