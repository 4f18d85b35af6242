"""The eleven target datasets of the paper, read by torchvision, with the splits and measures of the literature.

All functions have the same parameters: ``root`` is the folder passed to torchvision, ``download`` downloads missing
data, ``scoring_set_size`` is the number of training images to score on (stratified; None for all), and ``seed`` draws
the scoring set, and the splits if none are published. They raise `InputError` if the data are missing. Their docstrings
give the number of images as train / validation / test. The fingerprint in `LabelledImages` is the content of the image
file (CIFAR: its pixels). No image is decoded before it is read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Int
from PIL import Image

from transfer_exp.dataset.image_file import check_inside, load_files
from transfer_exp.dataset.stratification import take_per_class
from transfer_exp.dataset.target_dataset import LabelledImages, Measure, TargetDataset
from transfer_exp.dataset.targets import rarest_labels
from transfer_exp.errors import InputError
from transfer_exp.io.text import expand_user, read_text
from transfer_exp.statistics.feature_set import TargetKind

logger = logging.getLogger(__name__)

REMEDY = "fetch the dataset again"
"""Advice in messages about damaged files."""
_PER_CLASS: Measure = "mean_per_class_accuracy"
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


@dataclass(frozen=True)
class PublishedSet:
    """A published dataset and its location on disk.

    Attributes:
        name: The name in tables of accuracies.
        torchvision_class: Name of its class in ``torchvision.datasets``.
        n_classes: Published number of classes; another number on disk is logged, because results do not compare.
        measure: The measure of accuracy in the literature.
        root, download, scoring_set_size, seed: The parameters of all functions in this module.
        instructions: Instructions for a dataset that torchvision cannot download; empty for all others.
    """

    name: str
    torchvision_class: str
    n_classes: int
    measure: Measure
    root: str
    download: bool
    scoring_set_size: int | None
    seed: int
    instructions: str = ""

    def load(self, train: str = "train", test: str = "test", validation: str | None = None) -> TargetDataset:
        """Return the dataset; the arguments are torchvision's names of the splits."""
        datasets = [self.open(split=split) for split in (train, test, validation) if split is not None]
        return self.assemble([dataset.classes for dataset in datasets], *map(load_listed_images, datasets))

    def open(self, **arguments: Any) -> Any:
        """Return the torchvision dataset, downloading it only if it is missing.

        Raises:
            InputError: If the dataset is missing or incomplete; the message has instructions.
        """
        folder = expand_user(self.root)
        error: Exception | None = None
        for download in (False, True) if self.download and not self.instructions else (False,):
            try:
                if download:
                    folder.mkdir(parents=True, exist_ok=True)
                # Each dataset is a folder in the root. A root without any must not wait for torch.
                if download or (folder.is_dir() and any(entry.is_dir() for entry in folder.iterdir())):
                    from transfer_exp.vision import torchvision

                    dataset_class = getattr(torchvision.datasets, self.torchvision_class)
                    return dataset_class(str(folder), **arguments, **({"download": True} if download else {}))
            # torchvision's constructors raise many types for a partly extracted archive.
            except Exception as failure:
                error = failure
        lines = str(error or "").splitlines()
        # torchvision's "Dataset not found" adds nothing and mentions arguments that the user does not see.
        cause = f" ({lines[0]})" if lines and not lines[0].startswith("Dataset not found") else ""
        fix = "remove what is there and fetch it again" if self.download else "dataset.download=true fetches it"
        if isinstance(error, URLError):
            fix = "the download failed: connect to the network, or copy the dataset there"
        raise InputError(
            f"{self.name} is missing or incomplete under dataset.root={self.root}{cause}: {self.instructions or fix}"
        ) from error

    def assemble(
        self,
        class_names: Sequence[Sequence[str]],
        train: LabelledImages,
        test: LabelledImages,
        validation: LabelledImages | None = None,
        *,
        kind: TargetKind = "single_label",
    ) -> TargetDataset:
        """Return the dataset of these splits with a random scoring set.

        Raises:
            InputError: If the splits differ in ``class_names`` (one list each), or `TargetDataset` refuses them.
        """
        names = tuple(str(name) for name in class_names[0])
        if any(tuple(map(str, split_names)) != names for split_names in class_names):
            raise InputError(f"the splits of {self.name} under {self.root} name different classes: {REMEDY}")
        if len(names) != self.n_classes:
            logger.warning(
                "%s has %d classes under %s, and %d where it is published: results do not compare",
                *(self.name, len(names), self.root, self.n_classes),
            )
        scoring_set = train.stratified_subset(self.scoring_set_size, self.seed)
        return TargetDataset(self.name, names, train, test, scoring_set, validation, self.measure, kind)


def load_listed_images(dataset: Any) -> LabelledImages:
    """Return the images of a torchvision dataset that has lists of its files and labels.

    The lists are private attributes, because torchvision's public access decodes an image to return its label.
    """
    if hasattr(dataset, "_samples"):
        files, labels = zip(*dataset._samples, strict=True)
    else:
        files = dataset._images if hasattr(dataset, "_images") else dataset._image_files
        labels = dataset._labels
    return load_files(check_paths(dataset, files), np.array(labels, dtype=np.int64), REMEDY)


def check_paths(dataset: Any, files: Iterable[str | Path]) -> list[Path]:
    """Return the paths of the images of a torchvision dataset; raises InputError if one leads out of it.

    The folders directly in the root may be links, so that the user can store a dataset elsewhere.
    """
    root, paths = Path(dataset.root), [Path(file) for file in files]
    folders = {path: root / path.relative_to(root).parts[0] if path.is_relative_to(root) else root for path in paths}
    for folder in dict.fromkeys(folders.values()):
        check_inside(folder, [path for path in paths if folders[path] == folder])
    return paths


def aircraft(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return FGVC Aircraft (Maji et al., 2013) by variant: 3,334 / 3,333 / 3,333 images of 100 classes."""
    source = PublishedSet("aircraft", "FGVCAircraft", 100, _PER_CLASS, root, download, scoring_set_size, seed)
    return source.load(validation="val")


def cars(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return Stanford Cars (Krause et al., 2013): 8,144 / none / 8,041 images of 196 classes."""
    settings = (root, download, scoring_set_size, seed, _CARS_INSTRUCTIONS)
    return PublishedSet("cars", "StanfordCars", 196, "accuracy", *settings).load()


def dtd(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return Describable Textures (Cimpoi et al., 2014), partition 1 of 10: 1,880 images per split, 47 classes."""
    return PublishedSet("dtd", "DTD", 47, "accuracy", root, download, scoring_set_size, seed).load(validation="val")


def food(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return Food-101 (Bossard et al., 2014): 75,750 / none / 25,250 images of 101 classes."""
    return PublishedSet("food", "Food101", 101, "accuracy", root, download, scoring_set_size, seed).load()


def pets(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return Oxford-IIIT Pets (Parkhi et al., 2012): 3,680 / none / 3,669 images of 37 breeds."""
    source = PublishedSet("pets", "OxfordIIITPet", 37, _PER_CLASS, root, download, scoring_set_size, seed)
    return source.load(train="trainval")


def flowers(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return Oxford Flowers (Nilsback and Zisserman, 2008): 1,020 / 1,020 / 6,149 images of 102 classes."""
    source = PublishedSet("flowers", "Flowers102", 102, _PER_CLASS, root, download, scoring_set_size, seed)
    datasets = [source.open(split=split) for split in ("train", "test", "val")]
    # Older versions of torchvision do not have the names of the flowers.
    names = getattr(datasets[0], "classes", [str(number) for number in range(1, 103)])
    return source.assemble([names], *map(load_listed_images, datasets))


def cifar10(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return CIFAR-10 (Krizhevsky, 2009): 50,000 / none / 10,000 images of 10 classes, 32 x 32 pixels."""
    return _load_cifar(PublishedSet("cifar10", "CIFAR10", 10, "accuracy", root, download, scoring_set_size, seed))


def cifar100(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return CIFAR-100 (Krizhevsky, 2009): 50,000 / none / 10,000 images of 100 classes, 32 x 32 pixels."""
    return _load_cifar(PublishedSet("cifar100", "CIFAR100", 100, "accuracy", root, download, scoring_set_size, seed))


def _load_cifar(source: PublishedSet) -> TargetDataset:
    """Load a CIFAR dataset. Its files are pickles, but torchvision opens only those with the published md5."""
    datasets = [source.open(train=True), source.open(train=False)]
    train, test = (_wrap_pixels(dataset.data, dataset.targets) for dataset in datasets)
    return source.assemble([dataset.classes for dataset in datasets], train, test)


def _wrap_pixels(pixels: np.ndarray, labels: list[int]) -> LabelledImages:
    """Return the images with these pixels, (N, 32, 32, 3), and labels."""
    return LabelledImages(np.array(labels), lambda i: Image.fromarray(pixels[i]), lambda i: pixels[i].tobytes())


def caltech101(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return Caltech-101 (Fei-Fei et al., 2004) with 30 random training images per class; all others are test images.

    This is the usual protocol, for which no lists are published. A class of at most 30 images, which the real dataset
    does not have, has one test image. torchvision leaves out the background folder, so there are 101 classes and 3,030
    / none / 5,647 images; tables that include it count 102 classes.
    """
    source = PublishedSet("caltech101", "Caltech101", 101, _PER_CLASS, root, download, scoring_set_size, seed)
    dataset = source.open()
    folder = Path(dataset.root) / "101_ObjectCategories"
    paths = [
        folder / dataset.categories[label] / f"image_{number:04d}.jpg"
        for label, number in zip(dataset.y, dataset.index, strict=True)
    ]
    images = load_files(check_paths(dataset, paths), np.array(dataset.y, dtype=np.int64), REMEDY)
    counts = np.unique(images.labels, return_counts=True)[1]
    selected, rest = take_per_class(images.labels, np.minimum(_CALTECH_PER_CLASS, counts - 1), seed)
    return source.assemble([dataset.categories], images.subset(selected), images.subset(rest))


def sun397(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return SUN397 (Xiao et al., 2010) with 50 training and 50 test images per class, drawn by ``seed``.

    The published partitions have the same sizes, 19,850 images each, but torchvision does not download them. The code
    of earlier papers tested on its training images; here the splits are disjoint, so accuracies are not comparable. A
    class with fewer than 100 images, which the real dataset does not have, is divided in half.
    """
    source = PublishedSet("sun397", "SUN397", 397, "accuracy", root, download, scoring_set_size, seed)
    dataset = source.open()
    # torchvision lists files in the order of the file system; sorted, the same seed gives the same splits everywhere.
    order = np.argsort([Path(file).as_posix() for file in dataset._image_files], kind="stable")
    images = load_listed_images(dataset).subset(order)
    counts = np.unique(images.labels, return_counts=True)[1]
    sizes = np.minimum(_SUN_PER_CLASS, counts // 2)
    train, rest = take_per_class(images.labels, sizes, seed)
    test = rest[take_per_class(images.labels[rest], sizes, seed)[0]]
    return source.assemble([dataset.classes], images.subset(train), images.subset(test))


def voc2007(
    root: str,
    download: bool = False,
    scoring_set_size: int | None = None,
    seed: int = 0,
    first_class_only: bool = False,
) -> TargetDataset:
    """Return PASCAL VOC 2007 (Everingham et al., 2010): 2,501 / 2,510 / 4,952 images of 20 classes, several per image.

    Objects flagged "difficult" do not count, as in the challenge, unless an image has no other object. The measure is
    the challenge's 11-point mean average precision.

    Args:
        root, download, scoring_set_size, seed: See `PublishedSet`.
        first_class_only: Whether ``labels`` is the first class of an image in alphabetical order, on which the release
            of Spread-Attract computes scores. ``targets`` marks every class either way.
    """
    source = PublishedSet("voc2007", "VOCDetection", 20, "map_11point", root, download, scoring_set_size, seed)
    datasets = [source.open(year="2007", image_set=split) for split in ("train", "test", "val")]
    targets = [np.stack([_read_annotation(Path(path)) for path in dataset.annotations]) for dataset in datasets]
    labels = [part.argmax(axis=1) if first_class_only else rarest_labels(part, targets[0]) for part in targets]
    splits = [
        load_files(check_paths(dataset, dataset.images), part_labels, REMEDY, part)
        for dataset, part_labels, part in zip(datasets, labels, targets, strict=True)
    ]
    return source.assemble([VOC_CLASSES], *splits, kind="single_label" if first_class_only else "multi_label")


def _read_annotation(annotation: Path) -> Int[np.ndarray, " classes"]:
    """Return 1 for every class in an annotation and 0 for the others, (20,)."""
    try:
        objects = ElementTree.fromstring(read_text(annotation, _MAX_ANNOTATION_BYTES)).findall("object")
        items = [(VOC_CLASSES.index(item.findtext("name", "")), item.findtext("difficult") == "1") for item in objects]
    except (OSError, ElementTree.ParseError, ValueError) as error:
        raise InputError(f"{annotation} is not an annotation of VOC 2007 ({error}): {REMEDY}") from error
    classes = [label for label, is_difficult in items if not is_difficult] or [label for label, _ in items]
    if not classes:
        raise InputError(f"{annotation} has no object: {REMEDY}")
    targets = np.zeros(len(VOC_CLASSES), dtype=np.int64)
    targets[classes] = 1
    return targets
