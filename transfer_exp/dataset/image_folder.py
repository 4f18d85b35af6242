"""One's own images: a folder per class, already split or to be split here."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from transfer_exp.dataset.image_file import REMEDY, SUFFIXES, labelled_files, leaves_out, readable, refuse_outside
from transfer_exp.dataset.stratification import stratified_split
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
    """Return the images below ``root``, classes being its folders in sorted order.

    Either ``root/train/CLASS/*`` and ``root/test/CLASS/*``, with ``root/val`` or ``root/validation`` if there
    is one; or ``root/CLASS/*``, of which ``test_fraction`` of every class is held out by ``seed``. Hidden
    files and files without an image's suffix are ignored, and folders inside a class are not searched.

    Parameters
    ----------
    root
        The folder; ``~`` is expanded.
    test_fraction
        In (0, 1); unused where a test split exists.
    on_unreadable
        ``refuse`` raises when a damaged image is met; ``skip`` decodes every image first and leaves those
        out.
    name
        In tables; the folder's name if None.
    scoring_set_size
        Training images to score on, stratified; None for all.
    seed
        Decides the draws.

    Raises
    ------
    InputError
        When the folder is missing, has no or one class, a class is empty or too small, the splits' classes
        differ, or a link leads out of it.
    """
    folder = Path(root).expanduser().resolve()
    if not folder.is_dir():
        raise InputError(f"dataset.root={root} is not a folder: set it to one of images")
    skip = leaves_out(on_unreadable)
    validation = None
    if _folders(folder / "train"):
        classes, train, test, validation = _read_splits(folder, skip)
    else:
        classes = _classes(folder)
        images = _images(folder, folder, classes, skip)
        kept, held_out = stratified_split(images.labels, test_fraction, seed)
        train, test = images.subset(kept), images.subset(held_out)
    scoring_set = train.stratified(scoring_set_size, seed)
    return TargetDataset(name or folder.name, tuple(classes), train, test, scoring_set, validation)


def _folders(folder: Path) -> list[Path]:
    """Visible folders directly below ``folder``, sorted; none if it does not exist."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _read_splits(folder: Path, skip: bool) -> tuple[list[str], LabelledImages, LabelledImages, LabelledImages | None]:
    """Read ``train``, ``test`` and, if there is one, ``val`` or ``validation``."""
    if not (folder / "test").is_dir():
        raise InputError(
            f"{folder} has a train but no test folder: add one, or let dataset.root={folder}/train be split"
        )
    classes = _classes(folder / "train")
    train = _images(folder, folder / "train", classes, skip)
    held_out = [path for path in (folder / "val", folder / "validation") if path.is_dir()]
    for path in (folder / "test", *held_out):
        _same_classes(classes, path)
    validation = _images(folder, held_out[0], classes, skip) if held_out else None
    return classes, train, _images(folder, folder / "test", classes, skip), validation


def _classes(folder: Path) -> list[str]:
    """Names of the class folders, sorted."""
    names = [path.name for path in _folders(folder)]
    if len(names) < 2:
        found = f"only the class folder {names[0]!r}" if names else "no class folders"
        raise InputError(f"{folder} holds {found}: put the images into one folder per class, at least two")
    return names


def _same_classes(classes: list[str], split: Path) -> None:
    """Refuse a split whose class folders are not those of the training split."""
    found = {path.name for path in _folders(split)}
    for name in sorted(found.symmetric_difference(classes)):
        here, there = (split.name, "train") if name in found else ("train", split.name)
        raise InputError(f"class folder {name!r} is in {here} but not in {there} of {split.parent}: add or remove it")


def _images(root: Path, folder: Path, classes: list[str], skip: bool) -> LabelledImages:
    """Read the image files of each class of a split, sorted by name; none may lie outside ``root``."""
    files = [_image_files(folder / name) for name in classes]
    paths = [path for found in files for path in found]
    labels = np.repeat(np.arange(len(classes)), [len(found) for found in files])
    refuse_outside(root, paths)
    kept = readable(paths, folder) if skip else np.ones(len(paths), dtype=bool)
    for label in np.flatnonzero(np.bincount(labels[kept], minlength=len(classes)) == 0):
        kind = "readable image" if skip else "image"
        raise InputError(f"class folder {folder / classes[label]} holds no {kind}: fill or remove it")
    return labelled_files([paths[i] for i in np.flatnonzero(kept)], labels[kept], REMEDY)


def _image_files(folder: Path) -> list[Path]:
    """Image files directly below ``folder``, sorted."""
    visible = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path for path in visible if path.suffix.lower() in SUFFIXES and path.is_file())
