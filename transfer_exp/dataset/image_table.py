"""Images listed in a CSV with their labels, with or without splits."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from transfer_exp.dataset.image_decoding import BACKGROUND, ImageDecoder
from transfer_exp.dataset.image_file import REMEDY, check_inside, find_readable, is_skip, load_files
from transfer_exp.dataset.split_names import split_of, unlabelled
from transfer_exp.dataset.target_dataset import NOT_READABLE, LabelledImages, TargetDataset
from transfer_exp.errors import InputError
from transfer_exp.io.csv import read_table, require_columns
from transfer_exp.io.text import clean_name, expand_user

_REQUIRED = ("file", "label")


def image_table(
    path: str,
    root: str | None = None,
    test_fraction: float = 0.3,
    on_unreadable: str = "refuse",
    name: str | None = None,
    scoring_set_size: int | None = None,
    seed: int = 0,
    background: str = BACKGROUND,
    pixel_range: Sequence[Any] | None = None,
) -> TargetDataset:
    """Return the images listed in a CSV, with its labels in sorted order as classes.

    The columns are ``file``, ``label`` and optionally ``split`` (train, validation, test, or another of the names that
    `split_of` knows). Other columns are ignored. A validation or test split without any label is passed over. Files of
    other systems are found, too: with backslashes, or with accents as one or two characters.

    Args:
        path: The CSV in any dialect of `parse_table`; ``~`` is expanded.
        root: Folder that contains all files, and to which they are relative; the folder of the CSV if None. ``/``
            allows absolute paths of any folder.
        test_fraction: Fraction of every class to hold out, in (0, 1), if there are no test images.
        on_unreadable: ``refuse`` raises an error for missing files, and on reading a damaged image; ``skip`` leaves
            missing and damaged images out.
        name: The name in tables; the CSV's name without suffix if None.
        scoring_set_size: Number of training images to score on, stratified; None for all.
        seed: Seed of the test split and the scoring set.
        background, pixel_range: Colour behind transparent pixels, and range of deep pixels, see `ImageDecoder`.

    Raises:
        InputError: If the CSV, the folder, a column, an entry or a file is missing, a file is listed twice or outside
            the folder, a split is unknown, or a class is too small.
    """
    table = expand_user(path)
    if not table.is_file():
        raise InputError(f"no table dataset.path={path}: set it to a CSV with columns {', '.join(_REQUIRED)}")
    folder = (table.parent if root is None else expand_user(root)).resolve()
    if not folder.is_dir():
        raise InputError(f"dataset.root={root} is not a folder: set it to the one that files are relative to")
    labelled, passed_over = _read_rows(table)
    classes = sorted(set(labelled["label"]))
    rows = _add_paths(labelled, table, folder, is_skip(on_unreadable))
    for label in sorted(set(classes).difference(rows["label"])):
        raise InputError(f"{table} has no readable image of class '{label}': repair its images or remove its lines")
    if len(rows) < len(labelled):
        passed_over[NOT_READABLE] = tuple(labelled["file"].drop(rows.index))
    decoder = ImageDecoder(background, pixel_range)
    splits = {str(split): _load_images(part, classes, decoder) for split, part in rows.groupby("split")}
    if len(splits) == 1:
        splits = {"train": next(iter(splits.values()))}  # the only split, under any name
    if "train" not in splits:
        raise InputError(f"{table} has no line of split train: a ranking needs images to train on")
    train, test, validation = splits["train"], splits.get("test"), splits.get("validation")
    if test is None:
        train, test = train.split(test_fraction, seed)
    scoring_set = train.stratified_subset(scoring_set_size, seed)
    name = clean_name(name or table.stem)
    return TargetDataset(name, tuple(classes), train, test, scoring_set, validation, passed_over=passed_over)


def _read_rows(table: Path) -> tuple[pd.DataFrame, dict[str, tuple[str, ...]]]:
    """Return file, label and split of every row after checking them, and the files of splits without labels.

    The split is train if the CSV has none.
    """
    rows = read_table(table)
    require_columns(rows, _REQUIRED, table)
    if "split" not in rows:
        for name, values in rows.drop(columns=list(_REQUIRED)).items():
            if values.map(split_of).nunique() > 1 and values.map(split_of).notna().all():
                raise InputError(f"{table} has splits in its column '{name}': call the column split")
        rows["split"] = "train"
    splits = rows["split"].map(split_of)
    _check(splits.isna(), rows["split"], table, "is unknown: use train, validation or test")
    rows = rows[list(_REQUIRED)].assign(split=splits, label=rows["label"].map(clean_name))
    _check(rows["file"] == "", rows["file"], table, "is empty: fill it in, or remove the line")
    passed_over = {}
    for split, part in rows.groupby("split"):
        if split != "train" and (part["label"] == "").all():
            passed_over[unlabelled(str(split))] = tuple(part["file"])
            rows = rows.drop(part.index)
    _check(rows["label"] == "", rows["label"], table, "is empty: fill it in, or remove the line")
    return rows, passed_over


def _check(is_wrong: pd.Series, values: pd.Series, table: Path, reason: str) -> None:
    """Raise InputError with the line of the first wrong value of a column."""
    for line in values.index[is_wrong][:1]:
        raise InputError(f"{table} line {line}: {values.name} '{values[line]}' {reason}")


def _add_paths(rows: pd.DataFrame, table: Path, folder: Path, skip: bool) -> pd.DataFrame:
    """Return the rows with a column of paths; with ``skip``, rows with missing or damaged files are left out."""
    try:
        paths = [_find_file(folder, file) for file in rows["file"]]
        exists = np.array([path.is_file() for path in paths], dtype=bool)
    except PermissionError as error:
        raise InputError(f"cannot read {error.filename} ({error.strerror}): check the permissions") from error
    except OSError as error:  # a name that is too long
        raise InputError(f"{table} has an impossible file name ({error.strerror}): correct it") from error
    is_repeated = pd.Series([os.path.normpath(path) for path in paths], rows.index, dtype=str).duplicated()
    _check(is_repeated, rows["file"], table, "is in an earlier line too: keep one, with one label and one split")
    try:
        check_inside(folder, [paths[i] for i in np.flatnonzero(exists)])
    except InputError as error:
        raise InputError(f"{error}; for absolute paths set dataset.root=/") from error
    rows = rows.assign(path=pd.Series(paths, rows.index, dtype=object))
    if skip:
        images = load_files(paths, np.zeros(len(paths), dtype=np.int64), REMEDY)
        return rows[find_readable(images, str(folder))]
    remedy = "correct it, or set dataset.root or dataset.on_unreadable=skip"
    is_windows = rows["file"].str.match(r"[A-Za-z]:[\\/]") & ~exists
    _check(is_windows, rows["file"], table, f"is a path of Windows: write it relative to {folder}")
    _check(pd.Series(~exists, rows.index), rows["file"], table, f"is not in {folder}: {remedy}")
    return rows


def _find_file(folder: Path, file: str) -> Path:
    """Return the path of a listed file: as written if it exists, else as another system would write its name."""
    path = folder / file
    if path.is_file():
        return path
    variants = (unicodedata.normalize(form, file.replace("\\", "/")) for form in ("NFC", "NFD"))
    return next((folder / variant for variant in variants if (folder / variant).is_file()), path)


def _load_images(rows: pd.DataFrame, classes: list[str], decoder: ImageDecoder) -> LabelledImages:
    """Return the images of one split, in the order of the CSV."""
    labels = np.searchsorted(classes, rows["label"].to_list())
    return load_files(rows["path"].to_list(), labels, REMEDY, decoder=decoder)
