"""Reader of untrusted CSV files: every line has every column, nothing is guessed, and errors name the line."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from transfer_exp.errors import InputError
from transfer_exp.io.text import read_text

_MAX_BYTES = 1 << 28
"""Largest table: some million rows."""
_MAX_ENTRY = 1 << 16
"""Most characters of one entry."""


def read_table(path: Path, **options: Any) -> pd.DataFrame:
    """Return ``pandas.read_csv`` of a file with these options, after checking its form.

    pandas alone would use an extra column as the index, complete short lines, and rename duplicate columns: each gives
    other numbers than the file contains.

    Raises:
        InputError: If `read_text` refuses the file, a line has too few or too many entries or a huge one, a column has
            no name or a duplicate one, or a quote is not closed.
        ValueError: If the options do not fit the columns.
    """
    text = read_text(path, _MAX_BYTES)
    _check_form(text, path)
    try:
        return pd.read_csv(StringIO(text), **options)
    except pd.errors.ParserError as error:
        raise InputError(f"{path} is not a CSV table: {error}") from error


def parse_numbers(column: pd.Series, path: Path) -> pd.Series:
    """Return a text column of `read_table` as finite numbers; empty entries become NaN.

    Raises:
        InputError: If an entry is not a finite number. The message names the first such line.
    """
    text = column.astype(str).str.strip()
    numbers = pd.to_numeric(text, errors="coerce").astype(np.float64)
    invalid = text[~np.isfinite(numbers) & (text != "")]
    if len(invalid):
        line, entry = int(invalid.index[0]) + 2, invalid.iloc[0]
        raise InputError(f"{path} line {line}: {column.name} '{entry}' is not a finite number: correct or empty it")
    return numbers


def _check_form(text: str, path: Path) -> None:
    """Refuse what pandas would repair by guessing."""
    rows = csv.reader(StringIO(text, newline=""), strict=True)
    previous_limit = csv.field_size_limit(_MAX_ENTRY)
    try:
        header = next(rows, [])
        if not header:
            raise InputError(f"{path} is not a CSV table: its first line must name the columns")
        _check_header(header, path)
        for row in rows:
            if row and len(row) != len(header):
                line = f"{path} line {rows.line_num}"
                raise InputError(f"{line} has {len(row)} entries for {len(header)} columns: correct it")
    except csv.Error as error:
        raise InputError(f"{path} line {rows.line_num} is not CSV ({error}): correct it") from error
    finally:
        csv.field_size_limit(previous_limit)


def _check_header(header: list[str], path: Path) -> None:
    names = set()
    for number, name in enumerate(header, 1):
        if not name.strip():
            raise InputError(f"{path} has no name for column {number}: name it in the first line")
        if name in names:
            raise InputError(f"{path} has two columns '{name}': keep one")
        names.add(name)
