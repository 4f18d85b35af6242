"""Image folders: one folder per class, with or without splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from transfer_exp.dataset.image_file import REMEDY, check_inside, find_readable, is_image, is_skip, load_files
from transfer_exp.dataset.target_dataset import LabelledImages, TargetDataset
from transfer_exp.errors import InputError


def image_folder(
    root: str,
    test_fraction: float = 0.3,
    on_unreadable: str = "refuse",
    name: str | None = None,
    scoring_set_size: int | None = None,
    seed: int = 0,
) -> TargetDataset:
    """Return the images below ``root``, with its folders in sorted order as classes.

    The layout is ``root/train/CLASS/*`` and ``root/test/CLASS/*``, optionally with ``root/val`` or
    ``root/validation``; or ``root/CLASS/*``, where ``test_fraction`` of every class is held out. Hidden files, files
    that are not images by `is_image` and folders inside a class are ignored.

    Args:
        root: The folder; ``~`` is expanded.
        test_fraction: Fraction of every class to hold out, in (0, 1); unused if a test split exists.
        on_unreadable: ``refuse`` raises an error on reading a damaged image; ``skip`` leaves damaged images out.
        name: The name in tables; the folder's name if None.
        scoring_set_size: Number of training images to score on, stratified; None for all.
        seed: Seed of the test split and the scoring set.

    Raises:
        InputError: If the folder is missing or has fewer than two classes, a class is empty or too small, the splits
            have different classes, or a link leads out of the folder.
    """
    folder = Path(root).expanduser().resolve()
    if not folder.is_dir():
        raise InputError(f"dataset.root={root} is not a folder: set it to one of images")
    skip = is_skip(on_unreadable)
    validation = None
    if _list_folders(folder / "train"):
        classes, train, test, validation = _read_splits(folder, skip)
    else:
        classes = _read_classes(folder)
        train, test = _load_images(folder, folder, classes, skip).split(test_fraction, seed)
    scoring_set = train.stratified_subset(scoring_set_size, seed)
    return TargetDataset(name or folder.name, tuple(classes), train, test, scoring_set, validation)


def _list_folders(folder: Path) -> list[Path]:
    """Return the visible folders directly below ``folder``, sorted; none if it does not exist."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _read_splits(folder: Path, skip: bool) -> tuple[list[str], LabelledImages, LabelledImages, LabelledImages | None]:
    """Read ``train``, ``test`` and, if it exists, ``val`` or ``validation``."""
    if not (folder / "test").is_dir():
        raise InputError(
            f"{folder} has a train but no test folder: add one, or let dataset.root={folder}/train be split"
        )
    classes = _read_classes(folder / "train")
    train = _load_images(folder, folder / "train", classes, skip)
    validations = [path for path in (folder / "val", folder / "validation") if path.is_dir()]
    for path in (folder / "test", *validations):
        _check_classes(classes, path)
    validation = _load_images(folder, validations[0], classes, skip) if validations else None
    return classes, train, _load_images(folder, folder / "test", classes, skip), validation


def _read_classes(folder: Path) -> list[str]:
    """Return the names of the class folders, sorted."""
    names = [path.name for path in _list_folders(folder)]
    if len(names) < 2:
        content = f"only the class folder {names[0]!r}" if names else "no class folders"
        raise InputError(f"{folder} holds {content}: put the images into one folder per class, at least two")
    return names


def _check_classes(classes: list[str], split: Path) -> None:
    """Refuse a split with other class folders than the training split."""
    names = {path.name for path in _list_folders(split)}
    for name in sorted(names.symmetric_difference(classes)):
        present, absent = (split.name, "train") if name in names else ("train", split.name)
        location = f"in {present} but not in {absent} of {split.parent}"
        raise InputError(f"class folder {name!r} is {location}: add or remove it")


def _load_images(root: Path, folder: Path, classes: list[str], skip: bool) -> LabelledImages:
    """Return the images of a split, sorted by class and file name; all must be inside ``root``."""
    files = [_list_images(folder / name) for name in classes]
    paths = [path for class_files in files for path in class_files]
    labels = np.repeat(np.arange(len(classes)), [len(class_files) for class_files in files])
    check_inside(root, paths)
    mask = find_readable(paths, folder) if skip else np.ones(len(paths), dtype=bool)
    for label in np.flatnonzero(np.bincount(labels[mask], minlength=len(classes)) == 0):
        kind = "readable image" if skip else "image"
        raise InputError(f"class folder {folder / classes[label]} holds no {kind}: fill or remove it")
    return load_files([paths[i] for i in np.flatnonzero(mask)], labels[mask], REMEDY)


def _list_images(folder: Path) -> list[Path]:
    visible = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path for path in visible if is_image(path))
