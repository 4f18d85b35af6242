"""The eleven targets of the paper, as torchvision reads them, with the literature's splits and measures.

Every function takes ``root`` (the folder torchvision gets), ``download`` (fetch what is missing),
``scoring_set_size`` (training images to score on, stratified; None for all) and ``seed`` (decides the scoring set, and
the split where none is published); and raises `InputError` in one line when the data are missing. Counts
below are train / validation / test. The fingerprint of an image is the bytes of its file (CIFAR: of its
pixels).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from transfer_exp.dataset.image_file import labelled_files
from transfer_exp.dataset.stratification import take_per_class
from transfer_exp.dataset.target_dataset import LabelledImages, TargetDataset
from transfer_exp.dataset.torchvision_files import REMEDY, PublishedSet, inside, listed_images

_SUN_PER_CLASS = 50
_CALTECH_PER_CLASS = 30
_CARS_BY_HAND = (
    "torchvision can no longer download it, so lay out stanford_cars/ by hand, with devkit/, cars_train/, "
    "cars_test/ and cars_test_annos_withlabels.mat"
)


def aircraft(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return FGVC Aircraft (Maji et al., 2013) by variant: 3,334 / 3,333 / 3,333 images of 100 classes."""
    source = PublishedSet("aircraft", "FGVCAircraft", 100, root, download)
    return source.published(("train", "test", "val"), "mean_per_class_accuracy", scoring_set_size, seed)


def cars(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return Stanford Cars (Krause et al., 2013): 8,144 / none / 8,041 images of 196 classes."""
    source = PublishedSet("cars", "StanfordCars", 196, root, download, _CARS_BY_HAND)
    return source.published(("train", "test"), "accuracy", scoring_set_size, seed)


def dtd(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return Describable Textures (Cimpoi et al., 2014), partition 1 of 10: 1,880 each of 47 classes."""
    source = PublishedSet("dtd", "DTD", 47, root, download)
    return source.published(("train", "test", "val"), "accuracy", scoring_set_size, seed)


def food(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return Food-101 (Bossard et al., 2014): 75,750 / none / 25,250 images of 101 classes."""
    source = PublishedSet("food", "Food101", 101, root, download)
    return source.published(("train", "test"), "accuracy", scoring_set_size, seed)


def pets(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return Oxford-IIIT Pets (Parkhi et al., 2012): 3,680 / none / 3,669 images of 37 breeds."""
    source = PublishedSet("pets", "OxfordIIITPet", 37, root, download)
    return source.published(("trainval", "test"), "mean_per_class_accuracy", scoring_set_size, seed)


def flowers(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return Oxford Flowers (Nilsback and Zisserman, 2008): 1,020 / 1,020 / 6,149 images of 102 classes."""
    source = PublishedSet("flowers", "Flowers102", 102, root, download)
    opened = [source.open(split=split) for split in ("train", "test", "val")]
    # Older torchvision knows no names of the flowers.
    names = [str(name) for name in getattr(opened[0], "classes", range(1, 103))]
    images = [listed_images(dataset) for dataset in opened]
    return source.assemble([names], images, "mean_per_class_accuracy", scoring_set_size, seed)


def cifar10(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return CIFAR-10 (Krizhevsky, 2009): 50,000 / none / 10,000 images of 10 classes, 32 x 32 pixels."""
    return _cifar(PublishedSet("cifar10", "CIFAR10", 10, root, download), scoring_set_size, seed)


def cifar100(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return CIFAR-100 (Krizhevsky, 2009): 50,000 / none / 10,000 images of 100 classes, 32 x 32 pixels."""
    return _cifar(PublishedSet("cifar100", "CIFAR100", 100, root, download), scoring_set_size, seed)


def _cifar(source: PublishedSet, scoring_set_size: int | None, seed: int) -> TargetDataset:
    """Both CIFARs. torchvision unpickles only files with the published md5, so nothing else can run."""
    opened = [source.open(train=True), source.open(train=False)]
    images = [_pixel_images(dataset.data, dataset.targets) for dataset in opened]
    return source.assemble([dataset.classes for dataset in opened], images, "accuracy", scoring_set_size, seed)


def _pixel_images(pixels: np.ndarray, labels: list[int]) -> LabelledImages:
    """Images held in memory, (N, 32, 32, 3)."""
    codes = np.array(labels, dtype=np.int64)
    return LabelledImages(codes, lambda i: Image.fromarray(pixels[i]), lambda i: pixels[i].tobytes())


def caltech101(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return Caltech-101 (Fei-Fei et al., 2004): 30 training images a class by ``seed``, the rest to test.

    That is the usual protocol, which publishes no lists. torchvision leaves out the background folder, so
    there are 101 classes and 3,030 / none / 5,647 images, where tables that keep it count 102.
    """
    source = PublishedSet("caltech101", "Caltech101", 101, root, download)
    dataset = source.open()
    folder = Path(dataset.root) / "101_ObjectCategories"
    paths = [
        folder / dataset.categories[label] / f"image_{number:04d}.jpg"
        for label, number in zip(dataset.y, dataset.index, strict=True)
    ]
    images = labelled_files(inside(dataset, paths), np.array(dataset.y, dtype=np.int64), REMEDY)
    counts = np.unique(images.labels, return_counts=True)[1]
    chosen, rest = take_per_class(images.labels, np.minimum(_CALTECH_PER_CLASS, counts - 1), seed)
    splits = [images.subset(chosen), images.subset(rest)]
    return source.assemble([dataset.categories], splits, "mean_per_class_accuracy", scoring_set_size, seed)


def sun397(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return SUN397 (Xiao et al., 2010): 50 training and 50 test images a class, drawn by ``seed``.

    The published partitions have these sizes, 19,850 each, but are not part of what torchvision downloads.
    The code of the lineage tested on its training images; here the splits are disjoint, so its accuracies are
    not comparable. A class with fewer than 100 images, which the real set does not have, is halved.
    """
    source = PublishedSet("sun397", "SUN397", 397, root, download)
    dataset = source.open()
    # torchvision lists files as the file system does: sort, or the same seed splits differently elsewhere.
    order = np.argsort([Path(file).as_posix() for file in dataset._image_files], kind="stable")
    images = listed_images(dataset).subset(order)
    counts = np.unique(images.labels, return_counts=True)[1]
    take = np.minimum(_SUN_PER_CLASS, counts // 2)
    train, rest = take_per_class(images.labels, take, seed)
    test = rest[take_per_class(images.labels[rest], take, seed)[0]]
    splits = [images.subset(train), images.subset(test)]
    return source.assemble([dataset.classes], splits, "accuracy", scoring_set_size, seed)
