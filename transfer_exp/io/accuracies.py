"""Tables of ground-truth accuracies in CSV files: read, checked and converted to [0, 1]."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from transfer_exp.errors import InputError, suggestion
from transfer_exp.io.csv import MAX_BYTES, parse_numbers, parse_table, require_columns
from transfer_exp.io.measures import ERRORS, SIGNED, measure_name
from transfer_exp.io.text import clean_name, read_text

PUBLISHED = Path(__file__).parents[1] / "ground_truth" / "tables" / "published.csv"
_NO, _YES = ("no", "false", "0"), ("", "yes", "true", "1")
_PERFECT = {"fraction": 1.0, "percent": 100.0}
_RESULTS = frozenset(
    {"accuracy", "source", "sound", "seed", "chosen", "steps", "seconds", "trainable_parameters", "device", "versions"}
    | {"data", "key"}
)
"""Columns that may differ between seeds: results of a training and remarks on it. All others are settings."""


def read_accuracy_text(path: Path, required: Sequence[str]) -> str:
    """Return the text of a CSV; raises InputError, which names the required columns, if it does not exist."""
    if not path.is_file():
        raise InputError(f"no table {path}: give a CSV with columns {', '.join(required)}")
    return read_text(path, MAX_BYTES)


def parse_accuracy_rows(text: str, path: Path, required: Sequence[str]) -> pd.DataFrame:
    """Return the rows of a CSV as text; raises InputError if it is not a table or lacks a required column."""
    rows = parse_table(text, path)
    require_columns(rows, required, path)
    if "sound" in rows:
        for line in rows.index[~rows["sound"].str.casefold().isin((*_NO, *_YES))][:1]:
            raise InputError(f"{path} line {line}: sound '{rows['sound'][line]}' is neither yes nor no: correct it")
    return clean_names(rows, path)


def clean_names(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return rows with names of models and datasets, and seeds, in one form; raises InputError for an empty model."""
    for line in rows.index[rows["model"] == ""][:1]:
        raise InputError(f"{path} line {line} has no model: name it, or leave the line out")
    names = [name for name in ("model", "dataset") if name in rows]
    seed = {"seed": rows["seed"].map(_clean_seed)} if "seed" in rows else {}
    return rows.assign(**{name: rows[name].map(clean_name) for name in names}, **seed)


def _clean_seed(seed: str) -> str:
    """Return a seed without the zeros that a table of floats adds to it, such as ``0`` for ``0.0``."""
    return str(int(seed.partition(".")[0])) if re.fullmatch(r"\d+(\.0*)?", seed, re.ASCII) else seed


def unequal_seeds(rows: pd.DataFrame, path: Path) -> tuple[str, ...]:
    """Return a note if the models of a dataset have accuracies of different numbers of seeds, else nothing."""
    counts: dict[str, Counter[str]] = {}
    for dataset, model in zip(rows["dataset"], rows["model"], strict=True):
        counts.setdefault(dataset, Counter())[model] += 1
    for dataset, of_models in counts.items():
        ordered = of_models.most_common()
        (most, highest), (fewest, lowest) = ordered[0], ordered[-1]
        if lowest < highest:
            on_dataset = f" on dataset '{dataset}'" if dataset else ""
            return (
                f"{path}: model {fewest} has {lowest} seed(s){on_dataset}, and {most} has {highest}: each accuracy is "
                "the mean over the seeds of its model",
            )
    return ()


def select_rows(rows: pd.DataFrame, column: str, value: str | None, path: Path, option: str) -> pd.DataFrame:
    """Return the rows with one value in a column.

    Args:
        rows: A table of `read_table`.
        column, value: The column and its value. None selects all rows, and requires that they agree in the column.
        path, option: The file and the option that sets the value, for messages.

    Raises:
        InputError: If the column or value does not exist, or several values exist and None is given.
    """
    if column not in rows:
        if value is not None:
            raise InputError(f"{path} has no column {column}: leave {option} out")
        return rows
    values = sorted(set(rows[column]) - {""})
    if value is None and len(values) > 1:
        raise InputError(f"{path} has several values of {column}: set {option} to one of {', '.join(values[:20])}")
    if value is not None and value not in values:
        raise InputError(f"{path} has no {column} '{value}': {suggestion(value, values)}")
    return rows if value is None else rows[rows[column] == value]


def to_fractions(rows: pd.DataFrame, unit: str, path: Path, option: str) -> pd.DataFrame:
    """Return the rows that have an accuracy, as a number in [0, 1]; a measure of `SIGNED` may be negative.

    A measure of `ERRORS` is in the unit of the numbers that are predicted, so that ``unit`` does not concern it. The
    names of measures are those of `measure_name`; no name stays empty and stands for ``accuracy``.

    Raises:
        InputError: If ``unit`` is neither ``fraction`` nor ``percent``, an accuracy is out of its range, or a measure
            does not exist. The message names the line, and the ``option`` that sets the unit.
    """
    if unit not in _PERFECT:
        raise InputError(f"{option}={unit}: choose fraction or percent")
    for line in rows.index[rows["accuracy"].str.endswith("%")][:1]:
        entry = rows["accuracy"][line]
        raise InputError(f"{path} line {line}: accuracy '{entry}': write the number alone, and set {option}=percent")
    if "measure" in rows:
        lines = rows["measure"].drop_duplicates().items()
        names = {name: measure_name(name, f"{path} line {line}") if name else "" for line, name in lines}
        rows = rows.assign(measure=rows["measure"].map(names))
    accuracies = parse_numbers(rows["accuracy"], path).dropna()
    measures = rows["measure"][accuracies.index] if "measure" in rows else pd.Series("", accuracies.index)
    is_error = measures.isin(ERRORS)
    accuracies = accuracies.where(is_error, accuracies / _PERFECT[unit])
    invalid = accuracies[((accuracies < 0) & ~measures.isin(SIGNED)) | ((accuracies > 1) & ~is_error)]
    if len(invalid):
        line = invalid.index[0]
        if is_error[line]:
            raise InputError(f"{path} line {line}: {measures[line]} {rows['accuracy'][line]} is negative: correct it")
        advice = f", or set {option}=percent" if unit == "fraction" and 1 < invalid[line] <= 100 else ""
        raise InputError(f"{path} line {line}: accuracy {rows['accuracy'][line]} is not a {unit}: correct it{advice}")
    if unit == "percent" and (~is_error).any() and 0 < accuracies[~is_error].max() <= 0.01:
        raise InputError(f"{path} has no accuracy above 1 %: set {option}=fraction")
    return rows.loc[accuracies.index].assign(accuracy=accuracies)


def check_repetitions(rows: pd.DataFrame, path: Path) -> None:
    """Refuse rows of one model and dataset that differ in a setting, or do not differ in the seed.

    Args:
        rows: Rows of one regime with the columns ``model`` and ``dataset``.
        path: The file, for messages.

    Raises:
        InputError: If there are such rows. The message names two lines.
    """
    keys = ["dataset", "model"]
    settings = [str(name) for name in rows if name not in _RESULTS]
    for (dataset, model), group in rows[rows.duplicated(keys, keep=False)].groupby(keys, sort=False):
        lines: dict[str, object] = {}
        for line, row in group.iterrows():
            differing = [name for name in settings if row[name] != group.iloc[0][name]]
            earlier = group.index[0] if differing else lines.setdefault(row.get("seed", ""), line)
            if earlier != line:
                reason = f" and differ in {', '.join(differing)}, not only in the seed" if differing else ""
                raise InputError(
                    f"{path} lines {earlier} and {line} both give the accuracy of model {model} on dataset "
                    f"'{dataset}'{reason}: keep one, or number repetitions in a column seed"
                )


def is_unsound(rows: pd.DataFrame) -> pd.Series:
    """Return which rows have ``no``, or a word of `_NO`, in the optional column ``sound``."""
    return rows["sound"].str.casefold().isin(_NO) if "sound" in rows else pd.Series(False, index=rows.index)
