"""Image folders: one folder per class, with or without splits, or images without labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from transfer_exp.dataset.image_decoding import BACKGROUND, ImageDecoder
from transfer_exp.dataset.image_file import (
    NOT_IMAGES,
    REMEDY,
    check_inside,
    find_readable,
    is_image,
    is_skip,
    load_files,
    passed_over_reason,
)
from transfer_exp.dataset.split_names import Split, guess_split, is_numbered_part, is_split_like, split_of
from transfer_exp.dataset.target_dataset import NOT_READABLE, LabelledImages, TargetDataset, assemble, no_label_reason
from transfer_exp.errors import InputError
from transfer_exp.io.text import clean_name, expand_user
from transfer_exp.statistics.feature_set import Labels

_SYSTEM_FOLDERS = frozenset({"__macosx", "__pycache__", "@eadir", "$recycle.bin", "system volume information"})
_OUTSIDE_CLASSES, _OUTSIDE_SPLITS = "images outside the class folders", "images outside the splits"
_ClassFiles = Mapping[str, list[Path]]
"""Images of each class by its name."""


def image_folder(
    root: str,
    test_fraction: float = 0.3,
    on_unreadable: str = "refuse",
    name: str | None = None,
    scoring_set_size: int | None = None,
    seed: int = 0,
    background: str = BACKGROUND,
    pixel_range: Sequence[Any] | None = None,
) -> TargetDataset:
    """Return the images of a folder with one folder per class, or with such class folders inside each split.

    The layout is ``root/CLASS/**`` or ``root/SPLIT/CLASS/**``, where ``SPLIT`` is any name that `split_of` accepts:

    - Classes are in sorted order. Images in folders inside a class belong to the class. Folder names that differ only
      in the Unicode form of their accents are one class.
    - A training split is required, except that a single split is read as the training split, whatever its name.
      Without a test split, ``test_fraction`` of every class of the training images is held out.
    - A folder called ``train`` or ``test`` next to a folder of another name is a class if both hold images directly. If
      it has folders inside only, it could also be a split, and is refused unless another split has folders, too.
    - Passed over are a validation or test split without class folders, images outside the classes or splits, files that
      `is_image` rejects, hidden files and folders, and links to folders inside a class.

    Args:
        root: The folder; ``~`` is expanded.
        test_fraction: Fraction of every class to hold out, in (0, 1); unused if a test split exists.
        on_unreadable: ``refuse`` raises an error on reading a damaged image; ``skip`` passes over damaged images.
        name: The name in tables; the folder's name if None.
        scoring_set_size: Number of training images to score on, stratified; None for all.
        seed: Seed of the test split and the scoring set.
        background, pixel_range: Colour behind transparent pixels, and pixel range of images above 8 bits, see
            `ImageDecoder`.

    Raises:
        InputError: If the folder is missing or cannot be read, if it is unclear whether its folders are classes or
            splits, if a split or class is missing, empty, too small or there twice, if a link leads out of the folder
            or from one class folder to another, or if an option is out of range.
    """
    folder = _resolve_root(root)
    scan = FolderScan(folder, is_skip(on_unreadable), ImageDecoder(background, pixel_range))
    folders = _find_splits(folder)
    if not folders:
        _refuse_splits_inside_classes(folder)
    files: dict[Split, _ClassFiles] = scan.list_splits(folders) if folders else {"train": scan.list_classes(folder)}
    classes = sorted({label for part in files.values() for label in part})
    splits = {split: scan.load_classes(folders.get(split, folder), part, classes) for split, part in files.items()}
    sampling = (test_fraction, scoring_set_size, seed)
    reason = "its folders name the classes"
    return assemble(name or folder.name, classes, splits, *sampling, passed_over=scan.passed_over, kind_reason=reason)


def unlabelled_images(
    root: str,
    on_unreadable: str = "refuse",
    name: str | None = None,
    scoring_set_size: int | None = None,
    seed: int = 0,
    background: str = BACKGROUND,
    pixel_range: Sequence[Any] | None = None,
) -> TargetDataset:
    """Return all images at any depth below ``root`` as one class; names of folders and splits mean nothing.

    The test split is empty, so that only metrics without labels apply. Hidden files, links to folders and files that
    are not images are passed over, as in `image_folder`.

    Args:
        root: The folder; ``~`` is expanded.
        on_unreadable, name, scoring_set_size, seed, background, pixel_range: Arguments of `image_folder`.

    Raises:
        InputError: If the folder is missing, cannot be read or has fewer than two readable images, or a link
            leads out of it.
    """
    folder = _resolve_root(root)
    scan = FolderScan(folder, is_skip(on_unreadable), ImageDecoder(background, pixel_range))
    paths = scan.list_images(folder)
    images = scan.load_images(paths, np.zeros(len(paths), dtype=np.int64))
    if len(images) < 2:
        count = "one readable image" if len(images) else "no readable image"
        raise InputError(f"{folder} holds {count} in it or in its folders: a ranking needs at least two")
    return TargetDataset(
        clean_name(name or folder.name),
        ("no label",),
        images,
        images.subset(np.arange(0)),
        images.stratified_subset(scoring_set_size, seed),
        target_kind="unlabelled",
        passed_over={reason: tuple(names) for reason, names in scan.passed_over.items()},
        kind_reason="names of folders are ignored",
    )


def _resolve_root(root: str) -> Path:
    """Return the absolute path of the folder ``root``; raises `InputError` if it is not a folder."""
    folder = expand_user(root).resolve()
    if not folder.is_dir():
        raise InputError(f"dataset.root={root} is not a folder: set it to a folder of images")
    return folder


def _refuse_splits_inside_classes(folder: Path) -> None:
    """Refuse classes that each consist of the same two or more splits."""
    names = [tuple(path.name for path in _list_folders(path)) for path in _list_folders(folder)]
    if len(names) > 1 and len(set(names)) == 1 and len(names[0]) > 1 and all(map(is_split_like, names[0])):
        raise InputError(
            f"every folder in {folder} has the splits {', '.join(names[0])}: put the folders of the splits first, and "
            "one folder per class inside each"
        )


def _entries(folder: Path) -> list[Path]:
    """Return what lies directly in a folder, sorted."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"cannot read {folder} ({error.strerror}): check its permissions") from error


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name.casefold() in _SYSTEM_FOLDERS


def _list_folders(folder: Path) -> list[Path]:
    """Return the visible folders directly below ``folder``, sorted."""
    return [path for path in _entries(folder) if path.is_dir() and not _is_hidden(path)]


def _has_images(folder: Path) -> bool:
    """Return whether visible images lie directly in a folder."""
    return any(is_image(path) for path in _entries(folder) if not _is_hidden(path))


def _find_splits(root: Path) -> dict[Split, Path]:
    """Return the folder of each split, or an empty dictionary if the folders of ``root`` are classes.

    Raises:
        InputError: If the folders may be classes or splits, no training split has class folders, or two folders are
            the same split.
    """
    folders = _list_folders(root)
    split_folders = {path: split for path in folders if (split := split_of(path.name)) is not None}
    other_folders = [path for path in folders if path not in split_folders]
    with_inner_folders = [path for path in split_folders if _list_folders(path)]
    if len(folders) == len(with_inner_folders) == 1:
        return {"train": folders[0]}
    one_split_name = len(set(split_folders.values())) == 1
    train = next((path for path in with_inner_folders if split_folders[path] == "train"), None)
    if train is None:
        # Two names of splits, or one with class folders inside, can only be splits if nothing lies next to them.
        if split_folders and not other_folders and (with_inner_folders or not one_split_name):
            names = ", ".join(path.name for path in split_folders)
            raise InputError(
                f"{root} has the splits {names}, but no train folder with one folder per class: add one, or set "
                "dataset.root to a folder of classes, and a part is held out"
            )
        refuse_similar(root)
        unclear = next((path for path in with_inner_folders if other_folders and not _has_images(path)), None)
        if unclear is not None:
            raise InputError(
                f"{root} holds {unclear.name}, with folders inside, next to {other_folders[0].name}: rename "
                f"{unclear.name} if it is a class, or call the training images train if it is the "
                f"{split_folders[unclear]} split"
            )
        return {}
    only_train_has_folders = all(split_folders[path] == "train" for path in with_inner_folders)
    if other_folders and only_train_has_folders and _is_class(train, other_folders, one_split_name):
        return {}
    splits: dict[Split, Path] = {}
    for path, split in split_folders.items():
        if splits.setdefault(split, path) != path:
            raise InputError(f"{root} has two {split} splits, {splits[split].name} and {path.name}: keep one")
    return splits


def refuse_similar(root: Path) -> None:
    """Refuse a folder whose folders would be read as classes, but are named like splits or parts of one dataset.

    Folders such as ``test tube`` and ``train station`` are accepted as classes if one of them holds images directly.

    Raises:
        InputError: If folders are named like several splits, such as ``training_set`` and ``tst``, or numbered parts
            have the same folders inside, such as ``fold0`` and ``fold1``.
    """
    folders = _list_folders(root)
    similar = {path: split for path in folders if (split := guess_split(path.name))}
    are_splits = all(is_split_like(path.name) for path in similar) or not any(map(_has_images, similar))
    if are_splits and len(set(similar.values())) > 1:
        names = " and ".join(path.name for path in similar)
        raise InputError(
            f"the folders {names} of {root} look like splits: call them train, validation and test, with one folder "
            "per class inside each, or rename them if they are classes"
        )
    parts = [path for path in folders if is_numbered_part(path.name)]
    inner = [{path.name for path in _list_folders(part)} for part in parts]
    if shared := sorted(set.intersection(*inner) if len(inner) > 1 else ()):
        names = ", ".join(path.name for path in parts[:5])
        raise InputError(
            f"the folders {names} of {root} look like parts of one dataset, because each holds {shared[0]}: call one "
            f"train and one test, set dataset.root={parts[0]}, or rename them if they are classes"
        )


def _is_class(train: Path, other_folders: list[Path], one_split_name: bool) -> bool:
    """Return whether ``train``, which has inner folders, is a class next to other classes instead of a split.

    Classes usually hold images directly, and splits hold folders only. If ``one_split_name``, no folder next to
    ``train`` is named like another split.

    Raises:
        InputError: If ``train`` may be a class or a split.
    """
    others_with_images = [path for path in other_folders if _has_images(path)]
    if others_with_images == other_folders and (_has_images(train) or (one_split_name and len(other_folders) > 1)):
        return True
    if others_with_images or one_split_name:
        raise InputError(
            f"{train.parent} holds {train.name} next to {other_folders[0].name}: rename {train.name} if it is a class, "
            f"or set dataset.root={train} if it is the training split"
        )
    return False


def _refuse_linked_classes(folders: Sequence[Path]) -> None:
    """Refuse a class folder that is a link to another one, or to a folder inside or around it."""
    resolved = {path: path.resolve() for path in folders}
    for link in (path for path in folders if path.is_symlink()):
        target = resolved[link]
        for other in (path for path in folders if path != link):
            if target.is_relative_to(resolved[other]) or resolved[other].is_relative_to(target):
                raise InputError(
                    f"class folder {link} is a link to {target}, so its images would also be of the class "
                    f"{other.name}: remove one of the two"
                )


class FolderScan:
    """Lists and loads the images below a root, and records what it passes over.

    Attributes:
        passed_over: Names relative to the root by reason.
    """

    def __init__(self, root: Path, skip_unreadable: bool, decoder: ImageDecoder) -> None:
        self._root, self._skip_unreadable, self._decoder = root, skip_unreadable, decoder
        self.passed_over: dict[str, list[str]] = defaultdict(list)

    def list_splits(self, folders: Mapping[Split, Path]) -> dict[Split, _ClassFiles]:
        """Return the images of each split that has class folders; refuse a split without images."""
        for path in self._visible_folders(self._root, _OUTSIDE_SPLITS):
            if path not in folders.values():
                self._pass_over(_OUTSIDE_SPLITS, self.list_images(path))
        files: dict[Split, _ClassFiles] = {}
        for split, folder in folders.items():
            if split == "train":
                files[split] = self.list_classes(folder)
                continue
            has_classes = bool(_list_folders(folder))
            unlabelled = [] if has_classes else self.list_images(folder)
            labelled = self._images_by_class(folder) if has_classes else {}
            # An empty class folder is a class without an image in this split.
            part = {label: images for label, images in labelled.items() if images}
            if not part and not unlabelled:
                raise InputError(f"{folder} holds no image: fill or remove it")
            self._pass_over(no_label_reason(split), unlabelled)
            if part:
                files[split] = part
        return files

    def list_classes(self, folder: Path) -> _ClassFiles:
        """Return the images of each class folder; refuse fewer than two, and empty ones."""
        files = self._images_by_class(folder)
        if len(files) < 2:
            content = f"only the class folder {next(iter(files))!r}" if files else "no class folders"
            inner = next((path for path in _list_folders(folder) if len(_list_folders(path)) > 1), None)
            advice = f", or set dataset.root={inner}" if inner else ""
            raise InputError(
                f"{folder} holds {content}: put the images into one folder per class, at least two{advice}"
            )
        for label, images in files.items():
            if not images:
                raise InputError(f"class folder {folder / label} holds no image: fill or remove it")
        return files

    def load_classes(self, folder: Path, files: _ClassFiles, classes: list[str]) -> LabelledImages:
        """Return the images of the class folders in ``folder``, sorted by class and file name."""
        paths = [path for label in classes for path in files.get(label, [])]
        labels = np.repeat(np.arange(len(classes)), [len(files.get(label, [])) for label in classes])
        images = self.load_images(paths, labels)
        counts = np.bincount(images.labels, minlength=len(classes))
        for label, count in zip(classes, counts, strict=True):
            if label in files and count == 0:
                raise InputError(f"class folder {folder / label} holds no readable image: fill or remove it")
        return images

    def load_images(self, paths: Sequence[Path], labels: Labels) -> LabelledImages:
        """Return images in the given order, without damaged ones if they are skipped; all must be inside the root."""
        check_inside(self._root, paths)
        images = load_files(paths, labels, REMEDY, decoder=self._decoder)
        is_kept = find_readable(images, str(self._root)) if self._skip_unreadable else np.ones(len(paths), dtype=bool)
        self._pass_over(NOT_READABLE, [paths[i] for i in np.flatnonzero(~is_kept).tolist()])
        return images.subset(np.flatnonzero(is_kept))

    def _images_by_class(self, folder: Path) -> dict[str, list[Path]]:
        """Return the images below each class folder by the name of the class, which two folders may share."""
        files: dict[str, list[Path]] = {}
        folders = self._visible_folders(folder, _OUTSIDE_CLASSES)
        _refuse_linked_classes(folders)
        for path in folders:
            files.setdefault(clean_name(path.name), []).extend(self.list_images(path))
        return files

    def _visible_folders(self, folder: Path, loose_images_reason: str) -> list[Path]:
        """Return the visible folders in a folder; pass over the images next to them, and hidden folders."""
        entries, folders = _entries(folder), _list_folders(folder)
        if folders:
            images = [path for path in entries if is_image(path) and not _is_hidden(path)]
            self._pass_over(loose_images_reason, images)
        self._pass_over(NOT_IMAGES, [path for path in entries if path.is_dir() and _is_hidden(path)])
        return folders

    def list_images(self, folder: Path) -> list[Path]:
        """Return the visible images at any depth below a folder, sorted; pass over everything else."""
        images, folders = [], [folder]
        while folders:
            for path in _entries(folders.pop()):
                if path.is_dir():
                    if _is_hidden(path):
                        self._pass_over(NOT_IMAGES, [path])
                    elif path.is_symlink():
                        self._pass_over("links to folders", [path])
                    else:
                        folders.append(path)
                elif path.name.startswith("._"):  # macOS puts remarks on x.png into ._x.png
                    self._pass_over(NOT_IMAGES, [path])
                elif not is_image(path):
                    self._pass_over(passed_over_reason(path), [path])
                elif _is_hidden(path):
                    self._pass_over("hidden files", [path])
                else:
                    images.append(path)
        return sorted(images)

    def _pass_over(self, reason: str, paths: list[Path]) -> None:
        if paths:
            names = (clean_name(str(path.relative_to(self._root))) for path in paths)
            self.passed_over[reason].extend(names)
