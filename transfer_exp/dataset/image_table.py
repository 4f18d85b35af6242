"""Images listed in a CSV with a class, several labels or a number each, with or without splits."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from transfer_exp.dataset.image_decoding import BACKGROUND, ImageDecoder
from transfer_exp.dataset.image_file import REMEDY, check_inside, find_readable, is_skip, load_files
from transfer_exp.dataset.split_names import split_of
from transfer_exp.dataset.target_dataset import NOT_READABLE, TargetDataset, assemble, no_label_reason
from transfer_exp.dataset.targets import group_numbers, number_groups, rarest_labels
from transfer_exp.errors import InputError
from transfer_exp.io.csv import parse_numbers, read_table, require_columns
from transfer_exp.io.text import clean_name, expand_user
from transfer_exp.statistics.feature_set import Labels, TargetKind

_KINDS: Mapping[str, TargetKind] = {"label": "single_label", "labels": "multi_label", "target": "regression"}
"""Kind of dataset by the name of the column to predict."""


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
    separator: str = ",",
) -> TargetDataset:
    """Return the images listed in a CSV, with its labels in sorted order as classes.

    The columns are ``file``, what to predict, and optionally ``split`` (train, validation, test, or another of the
    names that `split_of` knows). What to predict is in the column ``label`` (one class), ``labels`` (several labels),
    or ``target`` (a number); other columns are then ignored. Without these, every other column is a label, and holds 1
    for the images that have it and 0 for the others. A validation or test split without any label is passed over. Files
    of other systems are found, too: with backslashes, or with accents as one or two characters.

    Args:
        path: The CSV in any dialect of `parse_table`; ``~`` is expanded.
        root: Folder that contains all files, and to which they are relative; the folder of the CSV if None. ``/``
            allows absolute paths of any folder.
        test_fraction, scoring_set_size, seed, background, pixel_range: Arguments of `image_folder`.
        on_unreadable: Argument of `image_folder`, also for missing files.
        name: The name in tables; the CSV's name without suffix if None.
        separator: Text between the labels of an image in the column ``labels``.

    Raises:
        InputError: If the CSV, the folder, a column, an entry or a file is missing, a file is listed twice or outside
            the folder, a split is unknown, a target is not a number, or a class is too small.
    """
    table = expand_user(path)
    if not table.is_file():
        raise InputError(f"no table dataset.path={path}: set it to a CSV with columns file, label")
    folder = (table.parent if root is None else expand_user(root)).resolve()
    if not folder.is_dir():
        raise InputError(f"dataset.root={root} is not a folder: set it to the one that files are relative to")
    if not separator:
        raise InputError("dataset.separator is empty: set it to the text between labels, such as ','")
    labelled, passed_over, columns, kind = _read_rows(table, separator)
    rows = _add_paths(labelled, table, folder, is_skip(on_unreadable))
    if len(rows) < len(labelled):
        passed_over[NOT_READABLE] = tuple(labelled["file"].drop(rows.index))
    if not (rows["split"] == "train").any():
        rows = rows.assign(split="train") if rows["split"].nunique() == 1 else rows  # the only split, under any name
    if not (rows["split"] == "train").any():
        raise InputError(f"{table} has no line of split train: a ranking needs images to train on")
    class_names, labels, targets = _encode(labelled, rows, kind, table)
    decoder = ImageDecoder(background, pixel_range)
    images = load_files(rows["path"].to_list(), labels, REMEDY, targets, decoder=decoder)
    splits = {split: images.subset(np.flatnonzero(rows["split"] == split)) for split in sorted(set(rows["split"]))}
    sampling = (test_fraction, scoring_set_size, seed)
    reason = f"{table.name} has " + (f"a column {columns[0]}" if columns[0] in _KINDS else "columns of 0 and 1")
    return assemble(name or table.stem, class_names, splits, *sampling, kind, passed_over, reason)


def _read_rows(table: Path, separator: str) -> tuple[pd.DataFrame, dict[str, tuple[str, ...]], list[str], TargetKind]:
    """Return file, split and answer of every row after checking them, and the files of splits without answers.

    Also return the columns with the answers, and the kind of dataset that they make.

    The answer is what to predict: a class, a tuple of labels or a number. The split is train if the CSV has none.
    """
    rows = read_table(table)
    require_columns(rows, ("file",), table)
    columns, kind = _answer_columns(rows, table)
    if "split" not in rows:
        for name, values in rows.drop(columns=["file", *columns]).items():
            if values.map(split_of).nunique() > 1 and values.map(split_of).notna().all():
                raise InputError(f"{table} has splits in its column '{name}': call the column split")
        rows["split"] = "train"
    splits = rows["split"].map(split_of)
    _check(splits.isna(), rows["split"], table, "is unknown: use train, validation or test")
    rows = rows[["file", *columns]].assign(split=splits)
    _check(rows["file"] == "", rows["file"], table, "is empty: fill it in, or remove the line")
    passed_over, is_empty = {}, (rows[columns] == "").all(axis=1)
    for split, part in rows.groupby("split"):
        if split != "train" and is_empty[part.index].all():
            passed_over[no_label_reason(str(split))] = tuple(part["file"])
            rows = rows.drop(part.index)
    _check(is_empty[rows.index], rows[columns[0]], table, "is empty: fill it in, or remove the line")
    answers = _read_answers(rows[columns], kind, table, separator)
    return rows[["file", "split"]].assign(answer=answers), passed_over, columns, kind


def _answer_columns(rows: pd.DataFrame, table: Path) -> tuple[list[str], TargetKind]:
    """Return the columns to predict and the kind of dataset that they make."""
    named = [name for name in _KINDS if name in rows]
    if len(named) > 1:
        raise InputError(f"{table} has the columns {' and '.join(named)}: keep the one to predict")
    if named:
        return named, _KINDS[named[0]]
    columns = [str(name) for name in rows if name not in ("file", "split")]
    if len(columns) < 2 or rows[columns].apply(_to_flags).isna().all(axis=None):
        require_columns(rows, ("label",), table)
    return columns, "multi_label"


def _read_answers(entries: pd.DataFrame, kind: TargetKind, table: Path, separator: str) -> pd.Series:
    """Return the answer of every row: a class, a tuple of labels or a number."""
    first = entries.iloc[:, 0]
    if kind == "single_label":
        return first.map(clean_name)
    if kind == "regression":
        return parse_numbers(first, table)
    if list(entries) == ["labels"]:
        answers = [tuple(filter(None, (clean_name(part.strip()) for part in cell.split(separator)))) for cell in first]
        _check(pd.Series([not answer for answer in answers], first.index), first, table, "names no label: add one")
        return pd.Series(answers, first.index, dtype=object)
    for _, column in entries.items():
        reason = "is neither 0 nor 1: correct it, or call the column of one class label"
        _check(~_to_flags(column).isin([0, 1]), column, table, reason)
    has_label = entries.apply(_to_flags).to_numpy() == 1
    names = [clean_name(str(name)) for name in entries]
    answers = [tuple(compress(names, row)) for row in has_label]
    no_label = "is 0 like all labels: remove the line, or add a label such as none"
    _check(pd.Series(~has_label.any(axis=1), entries.index), first, table, no_label)
    return pd.Series(answers, entries.index, dtype=object)


def _to_flags(entries: pd.Series) -> pd.Series:
    """Return entries as numbers, with 1 and 0 for true and false, and NaN for other texts."""
    return pd.to_numeric(entries.str.lower().replace({"true": "1", "false": "0"}), errors="coerce")


def _encode(
    labelled: pd.DataFrame, rows: pd.DataFrame, kind: TargetKind, table: Path
) -> tuple[tuple[str, ...], Labels, np.ndarray | None]:
    """Return the names of the classes, and the labels and targets of the rows.

    Args:
        labelled: All rows of the CSV.
        rows: Those with a readable image; those of split train decide on groups.
        kind, table: Kind of dataset, and the CSV for messages.
    """
    is_train = (rows["split"] == "train").to_numpy()
    if kind == "regression":
        numbers = rows["answer"].to_numpy(dtype=np.float64)
        bounds, names = number_groups(numbers[is_train])
        return names, group_numbers(numbers, bounds), numbers[:, None]
    answers = [answer if kind == "multi_label" else (answer,) for answer in rows["answer"]]
    present = {name for answer in answers for name in answer}
    all_answers = labelled["answer"] if kind == "multi_label" else labelled["answer"].map(lambda name: (name,))
    classes = sorted({name for answer in all_answers for name in answer})
    for name in sorted(set(classes) - present):
        raise InputError(f"{table} has no readable image of class '{name}': repair its images or remove its lines")
    targets = np.zeros((len(rows), len(classes)), dtype=np.int64)
    for i, answer in enumerate(answers):
        targets[i, np.searchsorted(classes, answer)] = 1
    if kind == "single_label":
        return tuple(classes), targets.argmax(axis=1), None
    return tuple(classes), rarest_labels(targets, targets[is_train]), targets


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
