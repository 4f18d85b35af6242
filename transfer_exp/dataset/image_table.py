"""Images listed in a CSV with their labels, with or without splits."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from transfer_exp.dataset.image_file import REMEDY, check_inside, find_readable, is_skip, load_files
from transfer_exp.dataset.target_dataset import LabelledImages, TargetDataset
from transfer_exp.errors import InputError, suggestion
from transfer_exp.io.csv import read_table

_REQUIRED = ("file", "label")
_SPLITS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}


def image_table(
    path: str,
    root: str | None = None,
    test_fraction: float = 0.3,
    on_unreadable: str = "refuse",
    name: str | None = None,
    scoring_set_size: int | None = None,
    seed: int = 0,
) -> TargetDataset:
    """Return the images listed in a CSV, with its labels in sorted order as classes.

    The columns are ``file``, ``label`` and optionally ``split`` (train, validation or val, test). Blanks around entries
    and other columns are ignored.

    Args:
        path: The CSV; ``~`` is expanded.
        root: Folder that contains all files, and to which they are relative; the folder of the CSV if None.
        test_fraction: Fraction of every class to hold out, in (0, 1), if there are no test images.
        on_unreadable: ``refuse`` raises an error for missing files, and on reading a damaged image; ``skip`` leaves
            missing and damaged images out.
        name: The name in tables; the CSV's name without suffix if None.
        scoring_set_size: Number of training images to score on, stratified; None for all.
        seed: Seed of the test split and the scoring set.

    Raises:
        InputError: If the CSV, the folder, a column, an entry or a file is missing, a file is listed twice or outside
            the folder, a split is unknown, or a class is too small.
    """
    table = Path(path).expanduser()
    if not table.is_file():
        raise InputError(f"no table dataset.path={path}: set it to a CSV with columns {', '.join(_REQUIRED)}")
    folder = (table.parent if root is None else Path(root).expanduser()).resolve()
    if not folder.is_dir():
        raise InputError(f"dataset.root={root} is not a folder: set it to the one that files are relative to")
    rows = _read_rows(table)
    classes = sorted(set(rows["label"]))
    rows = _add_paths(rows, table, folder, is_skip(on_unreadable))
    for label in sorted(set(classes).difference(rows["label"])):
        raise InputError(f"{table} has no readable image of class '{label}': repair its images or remove its lines")
    splits = {str(split): _load_images(part, classes) for split, part in rows.groupby("split")}
    if "train" not in splits:
        raise InputError(f"{table} has no line of split train: a ranking needs images to train on")
    train, test = splits["train"], splits.get("test")
    if test is None:
        train, test = train.split(test_fraction, seed)
    scoring_set = train.stratified_subset(scoring_set_size, seed)
    return TargetDataset(name or table.stem, tuple(classes), train, test, scoring_set, splits.get("validation"))


def _read_rows(table: Path) -> pd.DataFrame:
    """Return file, label and split of every row after checking them; the split is train if the CSV has none."""
    rows = read_table(table, dtype=str, keep_default_na=False)
    for column in _REQUIRED:
        if column not in rows:
            raise InputError(f"{table} lacks the column '{column}': {suggestion(column, rows.columns)}")
    if "split" not in rows:
        rows["split"] = "train"
    rows = rows[[*_REQUIRED, "split"]].apply(lambda column: column.str.strip())
    for column in _REQUIRED:
        _check(rows[column] == "", rows[column], table, "is empty: fill it in, or remove the line")
    _check(~rows["split"].isin(list(_SPLITS)), rows["split"], table, "is unknown: use train, validation or test")
    is_repeated = rows["file"].map(os.path.normpath).duplicated()
    _check(is_repeated, rows["file"], table, "is in an earlier line too: keep one, with one label and one split")
    rows["split"] = rows["split"].map(_SPLITS)
    return rows


def _check(is_wrong: pd.Series, values: pd.Series, table: Path, reason: str) -> None:
    """Raise InputError with the line of the first wrong value of a column."""
    for i in values.index[is_wrong][:1]:
        raise InputError(f"{table} line {i + 2}: {values.name} '{values[i]}' {reason}")


def _add_paths(rows: pd.DataFrame, table: Path, folder: Path, skip: bool) -> pd.DataFrame:
    """Return the rows with a column of paths; with ``skip``, rows with missing or damaged files are left out."""
    paths = [folder / file for file in rows["file"]]
    try:
        exists = np.array([path.is_file() for path in paths], dtype=bool)
    except OSError as error:  # a name that is too long
        raise InputError(f"{table} has an impossible file name ({error.strerror}): correct it") from error
    check_inside(folder, [paths[i] for i in np.flatnonzero(exists)])
    if skip:
        return rows.assign(path=paths)[find_readable(paths, folder)]
    remedy = "correct it, or set dataset.root or dataset.on_unreadable=skip"
    _check(pd.Series(~exists), rows["file"], table, f"is not in {folder}: {remedy}")
    return rows.assign(path=paths)


def _load_images(rows: pd.DataFrame, classes: list[str]) -> LabelledImages:
    """Return the images of one split, in the order of the CSV."""
    labels = np.searchsorted(classes, rows["label"].to_list())
    return load_files(rows["path"].to_list(), labels, REMEDY)
