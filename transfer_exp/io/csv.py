"""CSV files of strangers: every line has every column, nothing is guessed, and errors name the line."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from transfer_exp.errors import InputError
from transfer_exp.io.text import read_text

LARGEST = 1 << 28
"""Bytes of a table: some million rows."""
_FIELD = 1 << 16
"""Characters of one entry."""


def read_table(path: Path, **options: Any) -> pd.DataFrame:
    """Return the rows of a CSV as ``pandas.read_csv`` does with these options, once its form is found sound.

    pandas alone would take a column too many for an index, fill lines that are cut short, and rename a column that
    stands twice: each gives other numbers than the file holds.

    Raises
    ------
    InputError
        As `read_text`; when a line has too few or too many entries or a huge one, a column has no name or stands twice,
        or quotes are not closed.
    ValueError
        When the options do not fit the columns.
    """
    text = read_text(path, LARGEST)
    _check_form(text, path)
    try:
        return pd.read_csv(StringIO(text), **options)
    except pd.errors.ParserError as error:
        raise InputError(f"{path} is not a CSV table: {error}") from error


def numbers(values: pd.Series, path: Path) -> pd.Series:
    """Return a column that `read_table` read as text as finite numbers, NaN where it is empty.

    Raises
    ------
    InputError
        For the first entry that is no finite number, with its line.
    """
    text = values.astype(str).str.strip()
    found = pd.to_numeric(text, errors="coerce").astype(np.float64)
    odd = text[~np.isfinite(found) & (text != "")]
    if len(odd):
        line = int(odd.index[0]) + 2
        raise InputError(f"{path} line {line}: {values.name} '{odd.iloc[0]}' is no finite number: correct or empty it")
    return found


def _check_form(text: str, path: Path) -> None:
    """Refuse what pandas would repair by guessing."""
    rows = csv.reader(StringIO(text, newline=""), strict=True)
    limit = csv.field_size_limit(_FIELD)
    try:
        head = next(rows, [])
        if not head:
            raise InputError(f"{path} is not a CSV table: its first line must name the columns")
        _check_names(head, path)
        for row in rows:
            if row and len(row) != len(head):
                raise InputError(f"{path} line {rows.line_num} has {len(row)} entries for {len(head)} columns: mend it")
    except csv.Error as error:
        raise InputError(f"{path} line {rows.line_num} is not CSV ({error}): mend it") from error
    finally:
        csv.field_size_limit(limit)


def _check_names(head: list[str], path: Path) -> None:
    seen = set()
    for place, name in enumerate(head, 1):
        if not name.strip():
            raise InputError(f"{path} has no name for column {place}: name it in the first line")
        if name in seen:
            raise InputError(f"{path} has two columns '{name}': keep one")
        seen.add(name)
