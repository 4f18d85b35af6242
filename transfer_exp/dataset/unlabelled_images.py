"""Folders of images without labels, or whose labels are not to be used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from transfer_exp.dataset.image_decoding import BACKGROUND, ImageDecoder
from transfer_exp.dataset.image_file import is_skip
from transfer_exp.dataset.image_folder import FolderScan
from transfer_exp.dataset.target_dataset import TargetDataset
from transfer_exp.errors import InputError
from transfer_exp.io.text import clean_name, expand_user

_ONLY_CLASS = "no label"


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
        on_unreadable, background, pixel_range: Arguments of `image_folder`.
        name: The name in tables; the folder's name if None.
        scoring_set_size: Number of images to score on; None for all.
        seed: Seed of the scoring set.

    Raises:
        InputError: If the folder is missing, cannot be read or has fewer than two images, or a link leads out of it.
    """
    folder = expand_user(root).resolve()
    if not folder.is_dir():
        raise InputError(f"dataset.root={root} is not a folder: set it to one of images")
    scan = FolderScan(folder, is_skip(on_unreadable), ImageDecoder(background, pixel_range))
    paths = scan.list_images(folder)
    if len(paths) < 2:
        count = "one image" if paths else "no image"
        raise InputError(f"{folder} holds {count} in it or in its folders: a ranking needs at least two")
    images = scan.load_images({_ONLY_CLASS: paths}, [_ONLY_CLASS])
    return TargetDataset(
        clean_name(name or folder.name),
        (_ONLY_CLASS,),
        images,
        images.subset(np.arange(0)),
        images.stratified_subset(scoring_set_size, seed),
        target_kind="unlabelled",
        passed_over={reason: tuple(names) for reason, names in scan.passed_over.items()},
    )
