"""Small datasets of generated images in the disk layout of each torchvision dataset of the paper.

``EXAMPLES[name](root, per_class)`` writes the dataset ``name`` below ``root``, with ``per_class`` images of each class
in each published split. torchvision checks published digests of CIFAR and Flowers; `trust_examples` replaces them by
the digests of the examples.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

SIDE = 32


def picture(label: int, number: int) -> np.ndarray:
    """Return the colour and stripes of a class with noise, (32, 32, 3); every number gives a different picture."""
    rng = np.random.default_rng([label, number])
    colour = np.random.default_rng(label).uniform(40, 215, 3)
    stripes = 40 * np.sin(np.arange(SIDE) * (1 + label % 7) * np.pi / 8)
    noise = rng.normal(0, 20, (SIDE, SIDE, 3))
    return (colour + stripes[None, :, None] + noise).clip(0, 255).astype(np.uint8)


def write_picture(path: Path, label: int, number: int) -> None:
    """Save a picture as a JPEG and create its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(label, number)).save(path, quality=90)


def image_folders(root: Path, classes: Sequence[str], per_class: int, first: int = 0) -> None:
    """Write ``root/CLASS/NUMBER.jpg``."""
    for label, name in enumerate(classes):
        for number in range(first, first + per_class):
            write_picture(root / name / f"{number:03d}.jpg", label, number)


def write_lines(path: Path, lines: Sequence[str]) -> None:
    """Write a text file and create its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def aircraft(root: Path, per_class: int = 3) -> None:
    """Write lists in which a space separates the image from a name that has spaces."""
    data = root / "fgvc-aircraft-2013b" / "data"
    names = ["707-320", "Boeing 717", "DC-10"]
    write_lines(data / "variants.txt", names)
    for s, split in enumerate(("train", "val", "test")):
        lines = []
        for label, name in enumerate(names):
            for number in range(per_class):
                image = f"{s}{label}{number:05d}"
                write_picture(data / "images" / f"{image}.jpg", label, s * per_class + number)
                lines.append(f"{image} {name}")
        write_lines(data / f"images_variant_{split}.txt", lines)


def caltech101(root: Path, per_class: int = 3) -> None:
    """Write twice ``per_class`` images of each class and of the background folder, which is not a class."""
    folder = root / "caltech101" / "101_ObjectCategories"
    for label, name in enumerate(("BACKGROUND_Google", "Faces", "ant", "wrench")):
        for number in range(1, 2 * per_class + 1):
            write_picture(folder / name / f"image_{number:04d}.jpg", label, number)


def cars(root: Path, per_class: int = 3) -> None:
    """Write annotations as arrays of structures, with classes counted from one."""
    folder = root / "stanford_cars"
    (folder / "devkit").mkdir(parents=True)
    names = ["AM General Hummer SUV 2000", "Acura RL Sedan 2012", "Volvo 240 Sedan 1993"]
    savemat(folder / "devkit" / "cars_meta.mat", {"class_names": np.array([names], dtype=object)})
    annotations = {"train": folder / "devkit" / "cars_train_annos.mat"}
    annotations["test"] = folder / "cars_test_annos_withlabels.mat"
    for s, split in enumerate(("train", "test")):
        rows = [(f"{label}{i:04d}.jpg", label + 1) for i in range(per_class) for label in range(len(names))]
        for i, (file, label) in enumerate(rows):
            write_picture(folder / f"cars_{split}" / file, label - 1, s * len(rows) + i)
        table = np.array([rows], dtype=[("fname", object), ("class", object)])
        savemat(annotations[split], {"annotations": table})


def _cifar(folder: Path, files: Sequence[str], per_class: int, key: str, classes: Sequence[str]) -> None:
    """Write one pickled batch per file: rows of 3,072 bytes, first red, then green, then blue."""
    for f, file in enumerate(files):
        labels = [label for label in range(len(classes)) for _ in range(per_class)]
        pictures = [picture(label, f * len(labels) + i) for i, label in enumerate(labels)]
        data = np.stack(pictures).transpose(0, 3, 1, 2).reshape(len(labels), -1)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(pickle.dumps({"data": data, key: labels}))


def cifar10(root: Path, per_class: int = 3) -> None:
    """Write five training batches, one test batch and the names."""
    folder, names = root / "cifar-10-batches-py", ["airplane", "automobile", "bird"]
    files = [f"data_batch_{i}" for i in range(1, 6)]
    _cifar(folder, [*files, "test_batch"], per_class, "labels", names)
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))


def cifar100(root: Path, per_class: int = 3) -> None:
    """Write one training file, one test file and the names."""
    folder, names = root / "cifar-100-python", ["apple", "aquarium_fish", "baby", "bear"]
    _cifar(folder, ["train", "test"], per_class, "fine_labels", names)
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": names}))


def dtd(root: Path, per_class: int = 3) -> None:
    """Write lists of CLASS/FILE for partition 1."""
    folder = root / "dtd" / "dtd"
    for s, split in enumerate(("train", "val", "test")):
        lines = []
        for label, name in enumerate(("banded", "dotted", "woven")):
            for number in range(s * per_class, (s + 1) * per_class):
                lines.append(f"{name}/{name}_{number:04d}.jpg")
                write_picture(folder / "images" / lines[-1], label, number)
        write_lines(folder / "labels" / f"{split}1.txt", lines)


def flowers(root: Path, per_class: int = 3) -> None:
    """Write three of the 102 species, with images and splits counted from one."""
    folder = root / "flowers-102"
    labels = [1 + i % 3 for i in range(9 * per_class)]
    for number, label in enumerate(labels, 1):
        write_picture(folder / "jpg" / f"image_{number:05d}.jpg", label - 1, number)
    ids = np.arange(1, len(labels) + 1).reshape(3, -1)
    savemat(folder / "imagelabels.mat", {"labels": np.array([labels])})
    savemat(folder / "setid.mat", {"trnid": ids[:1], "valid": ids[1:2], "tstid": ids[2:]})


def food(root: Path, per_class: int = 3) -> None:
    """Write JSON lists of CLASS/NUMBER."""
    folder = root / "food-101"
    for s, split in enumerate(("train", "test")):
        images = {}
        for label, name in enumerate(("apple_pie", "ramen", "waffles")):
            images[name] = [f"{name}/{number}" for number in range(s * per_class, (s + 1) * per_class)]
            for number, image in enumerate(images[name]):
                write_picture(folder / "images" / f"{image}.jpg", label, s * per_class + number)
        write_lines(folder / "meta" / f"{split}.json", [json.dumps(images)])


def pets(root: Path, per_class: int = 3) -> None:
    """Write lists of image, breed, species and rank, with breeds counted from one."""
    folder = root / "oxford-iiit-pet"
    for s, split in enumerate(("trainval", "test")):
        lines = []
        for label, name in enumerate(("Abyssinian", "american_bulldog", "yorkshire_terrier")):
            for number in range(s * per_class, (s + 1) * per_class):
                write_picture(folder / "images" / f"{name}_{number}.jpg", label, number)
                lines.append(f"{name}_{number} {label + 1} {1 + (label > 0)} 1")
        write_lines(folder / "annotations" / f"{split}.txt", lines)


def sun397(root: Path, per_class: int = 3) -> None:
    """Write twice ``per_class`` images of each scene, some of them one folder deeper."""
    folder, names = root / "SUN397", ["abbey", "apse/indoor", "bakery/shop"]
    write_lines(folder / "ClassName.txt", [f"/{name[0]}/{name}" for name in names])
    for label, name in enumerate(names):
        for number in range(2 * per_class):
            write_picture(folder / name[0] / name / f"sun_{label}{number:03d}.jpg", label, number)


def voc_object(name: str, difficult: bool = False) -> str:
    """Return one object of an annotation."""
    return f"<object><name>{name}</name><difficult>{int(difficult)}</difficult></object>"


def voc2007(root: Path, per_class: int = 3) -> None:
    """Write images of a class and a person; their difficult bicycles do not count."""
    folder = root / "VOCdevkit" / "VOC2007"
    for s, split in enumerate(("train", "val", "test")):
        lines = []
        for label, name in enumerate(("aeroplane", "dog", "person")):
            for number in range(per_class):
                image = f"{s}{label}{number:04d}"
                lines.append(image)
                write_picture(folder / "JPEGImages" / f"{image}.jpg", label, s * per_class + number)
                objects = voc_object("person") + voc_object("bicycle", difficult=True) + voc_object(name)
                write_lines(folder / "Annotations" / f"{image}.xml", [f"<annotation>{objects}</annotation>"])
        write_lines(folder / "ImageSets" / "Main" / f"{split}.txt", lines)


EXAMPLES: dict[str, Callable[..., None]] = {
    write.__name__: write
    for write in (aircraft, caltech101, cars, cifar10, cifar100, dtd, flowers, food, pets, sun397, voc2007)
}


def trust_examples(monkeypatch, root: Path) -> None:
    """Replace the published digests in torchvision by those of the examples below ``root``."""
    from transfer_exp.vision import torchvision

    def digest(path: Path) -> str:
        return hashlib.md5(path.read_bytes()).hexdigest() if path.exists() else ""

    sets = torchvision.datasets
    for cifar in (sets.CIFAR10, sets.CIFAR100):
        folder = root / cifar.base_folder
        for lists in ("train_list", "test_list"):
            files = [[file, digest(folder / file)] for file, _ in getattr(cifar, lists)]
            monkeypatch.setattr(cifar, lists, files)
        monkeypatch.setitem(cifar.meta, "md5", digest(folder / cifar.meta["filename"]))
    for key in ("label", "setid"):
        file = sets.Flowers102._file_dict[key][0]
        monkeypatch.setitem(sets.Flowers102._file_dict, key, (file, digest(root / "flowers-102" / file)))


def parquet(root, splits, label=None, column="label", extra=()):
    """Write ``root/data/SPLIT-....parquet`` with images, the layout of hub datasets."""
    import datasets

    label = label or datasets.ClassLabel(names=["cat", "dog"])
    (root / "data").mkdir(parents=True)
    for start, (name, labels) in enumerate(splits.items()):
        images = [picture(int(i % 2), 100 * start + i) for i in range(len(labels))]
        features = {"image": datasets.Image(), column: label, **{name: datasets.Image() for name in extra}}
        rows = {"image": images, column: labels, **dict.fromkeys(extra, images)}
        table = datasets.Dataset.from_dict(rows, features=datasets.Features(features))
        table.to_parquet(str(root / "data" / f"{name}-00000-of-00001.parquet"))
    return str(root)
