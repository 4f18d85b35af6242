"""One's own images, named in a CSV with their labels: already split or to be split here."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from transfer_exp.dataset.image_file import REMEDY, labelled_files, leaves_out, readable, refuse_outside
from transfer_exp.dataset.stratification import stratified_split
from transfer_exp.dataset.target_dataset import LabelledImages, TargetDataset
from transfer_exp.errors import InputError, suggestion
from transfer_exp.io.csv import read_table

_NEEDED = ("file", "label")
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
    """Return the images that a CSV names, classes being its labels in sorted order.

    Columns are ``file``, ``label`` and, where the images are split already, ``split``: train, validation (or val)
    and test. Without test images ``test_fraction`` of every class of the training images is held out by ``seed``.
    Labels and splits are text, without the blanks around them; other columns are ignored.

    Parameters
    ----------
    path
        The CSV; ``~`` is expanded.
    root
        Folder that files are relative to, and that none may lie outside; the CSV's own folder if None.
    test_fraction
        In (0, 1); unused where there are test images.
    on_unreadable
        ``refuse`` raises for a file that is not there, and when a damaged image is met; ``skip`` decodes every image
        first and leaves both out.
    name
        In tables; the CSV's name without its ending if None.
    scoring_set_size
        Training images to score on, stratified; None for all.
    seed
        Decides the draws.

    Raises
    ------
    InputError
        When the CSV or the folder is missing, a column, an entry or a file is missing, a file is named twice or leads
        out of the folder, a split is unknown, or a class is too small.
    """
    table = Path(path).expanduser()
    if not table.is_file():
        raise InputError(f"no table dataset.path={path}: set it to a CSV with columns {', '.join(_NEEDED)}")
    folder = (table.parent if root is None else Path(root).expanduser()).resolve()
    if not folder.is_dir():
        raise InputError(f"dataset.root={root} is not a folder: set it to the one that files are relative to")
    rows = _rows(table)
    classes = sorted(set(rows["label"]))
    rows = _present(rows, table, folder, leaves_out(on_unreadable))
    for gone in sorted(set(classes).difference(rows["label"])):
        raise InputError(f"{table} names no readable image of class '{gone}': mend its images or remove its lines")
    splits = {str(split): _images(part, classes) for split, part in rows.groupby("split")}
    if "train" not in splits:
        raise InputError(f"{table} has no line of split train: a ranking needs images to train on")
    train, test = splits["train"], splits.get("test")
    if test is None:
        kept, held_out = stratified_split(train.labels, test_fraction, seed)
        train, test = train.subset(kept), train.subset(held_out)
    scoring_set = train.stratified(scoring_set_size, seed)
    return TargetDataset(name or table.stem, tuple(classes), train, test, scoring_set, splits.get("validation"))


def _rows(table: Path) -> pd.DataFrame:
    """Return file, label and split of every row, checked; all are of the training split where the CSV has none."""
    rows = read_table(table, dtype=str, keep_default_na=False)
    for column in _NEEDED:
        if column not in rows:
            raise InputError(f"{table} lacks the column '{column}': {suggestion(column, rows.columns)}")
    if "split" not in rows:
        rows["split"] = "train"
    rows = rows[[*_NEEDED, "split"]].apply(lambda column: column.str.strip())
    for column in _NEEDED:
        _refuse(rows[column] == "", rows[column], table, "is empty: fill it in, or remove the line")
    _refuse(~rows["split"].isin(list(_SPLITS)), rows["split"], table, "is unknown: use train, validation or test")
    again = rows["file"].map(os.path.normpath).duplicated()
    _refuse(again, rows["file"], table, "stands in an earlier line too: keep one, with one label and one split")
    rows["split"] = rows["split"].map(_SPLITS)
    return rows


def _refuse(bad: pd.Series, values: pd.Series, table: Path, reason: str) -> None:
    """Refuse the first bad value of a column, with its line."""
    for i in values.index[bad][:1]:
        raise InputError(f"{table} line {i + 2}: {values.name} '{values[i]}' {reason}")


def _present(rows: pd.DataFrame, table: Path, folder: Path, skip: bool) -> pd.DataFrame:
    """Return the rows with their paths; those whose file is not there or does not decode are left out if ``skip``."""
    paths = [folder / file for file in rows["file"]]
    try:
        there = np.array([path.is_file() for path in paths], dtype=bool)
    except OSError as error:  # of a name that is too long
        raise InputError(f"{table} names a file that cannot be looked for ({error.strerror}): mend it") from error
    refuse_outside(folder, [paths[i] for i in np.flatnonzero(there)])
    if skip:
        return rows.assign(path=paths)[readable(paths, folder)]
    remedy = "mend it, or set dataset.root or dataset.on_unreadable=skip"
    _refuse(pd.Series(~there), rows["file"], table, f"is not in {folder}: {remedy}")
    return rows.assign(path=paths)


def _images(rows: pd.DataFrame, classes: list[str]) -> LabelledImages:
    """Return the images of one split, in the order of the CSV."""
    labels = np.searchsorted(classes, rows["label"].to_list())
    return labelled_files(rows["path"].to_list(), labels, REMEDY)
