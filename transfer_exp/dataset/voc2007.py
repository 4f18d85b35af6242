"""PASCAL VOC 2007 classification: several classes may be in one image."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Int

from transfer_exp.dataset.image_file import labelled_files
from transfer_exp.dataset.target_dataset import LabelledImages, TargetDataset
from transfer_exp.dataset.torchvision_files import REMEDY, PublishedSet, inside
from transfer_exp.errors import InputError
from transfer_exp.io.text import read_text

_LARGEST = 1 << 20
"""Bytes of an annotation."""

CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *(
        "diningtable",
        "dog",
        "horse",
        "motorbike",
        "person",
        "pottedplant",
        "sheep",
        "sofa",
        "train",
        "tvmonitor",
    ),
)


def voc2007(root: str, download: bool = False, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return PASCAL VOC 2007 (Everingham et al., 2010): 2,501 / 2,510 / 4,952 images of 20 classes.

    ``targets`` marks every class in an image, for the 11-point mean average precision. ``labels`` is the
    first of them in alphabetical order, which is what the lineage scores. Objects flagged "difficult" do not
    count, as in the challenge, except in an image that shows no other.

    Parameters
    ----------
    root
        The folder that holds ``VOCdevkit``; ``~`` is expanded.
    download
        Fetch what is missing.
    scoring_set_size
        Training images to score on, stratified by label; None for all.
    seed
        Decides the scoring set.

    Raises
    ------
    InputError
        When the data are missing, or an annotation cannot be read.
    """
    source = PublishedSet("voc2007", "VOCDetection", len(CLASSES), root, download)
    splits = [_images(source.open(year="2007", image_set=split)) for split in ("train", "test", "val")]
    return source.assemble([CLASSES], splits, "map_11point", scoring_set_size, seed)


def _images(dataset: Any) -> LabelledImages:
    """Images and annotations of one split."""
    targets = np.array([_present(Path(path)) for path in dataset.annotations], dtype=np.int64)
    return labelled_files(inside(dataset, dataset.images), targets.argmax(axis=1), REMEDY, targets)


def _present(annotation: Path) -> Int[np.ndarray, " classes"]:
    """Ones for the classes an annotation names, (20,)."""
    try:
        objects = ElementTree.fromstring(read_text(annotation, _LARGEST)).findall("object")
        seen = [(CLASSES.index(item.findtext("name", "")), item.findtext("difficult") == "1") for item in objects]
    except (OSError, ElementTree.ParseError, ValueError) as error:
        raise InputError(f"{annotation} is not an annotation of VOC 2007 ({error}): fetch the dataset again") from error
    classes = [label for label, difficult in seen if not difficult] or [label for label, _ in seen]
    if not classes:
        raise InputError(f"{annotation} names no object: fetch the dataset again")
    present = np.zeros(len(CLASSES), dtype=np.int64)
    present[classes] = 1
    return present
