"""Reader of untrusted CSV files of any common dialect, and writer of CSV files that spreadsheets read as text.

The reader guesses nothing from values, and its errors name the line.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from transfer_exp.errors import InputError, escape_controls, suggestion
from transfer_exp.io.atomic import resolve_target, write_atomically
from transfer_exp.io.text import open_regular, read_text

MAX_BYTES = 1 << 28
"""Largest table: some million rows."""
_LONGEST_HEADER = 1 << 20
_SEPARATORS = ",;\t|"
_SEPARATOR_LINE = re.compile(r'"?sep=([^\s"\']|\t)"?[ \t,;|]*(?:\r\n|\r|\n|$)', re.IGNORECASE)
"""First line with which Excel names the separator."""
_INDEX_NAME = re.compile(r"Unnamed: \d+(\.\d+)*")
"""Column name of row numbers that pandas read from a column without a name and wrote again."""
_FORMULA = re.compile(r"'*[=+\-@\s]")
"""Start of an entry that a spreadsheet may take for a formula, after the quotes that say that it is text."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_Rows = list[tuple[int, list[str]]]
"""Lines of a file and the entries that start there; the first one names the columns."""


def write_table(path: Path, table: pd.DataFrame) -> Path:
    """Write a table in one step, so that no spreadsheet runs a name as a formula, and return its path.

    `read_table` returns the same names. Raises `InputError` if `write_atomically` refuses the path.
    """
    text = table.assign(**{str(n): c.map(to_entry) for n, c in table.items() if not pd.api.types.is_numeric_dtype(c)})
    text = text.rename(columns=to_entry)
    write_atomically(path, lambda temporary: text.to_csv(temporary, index=False, lineterminator="\n"))
    return path


def check_target(path: Path, inputs: Iterable[Path], columns: Collection[str], contents: str) -> None:
    """Refuse to write a table over a file that a user may still need.

    Args:
        path: File to write, which need not exist.
        inputs: Files that the table is computed from.
        columns: Columns of every earlier table of this kind, which may be replaced.
        contents: What such a table holds, for the message.

    Raises:
        InputError: If the file is one of the inputs, is neither empty nor such a table, or is not a regular file.
    """
    target = resolve_target(path)
    if not target.exists():
        return
    if any(file.exists() and target.samefile(file) for file in inputs):
        raise InputError(f"{path} is an input of this command: name another file to write")
    with open_regular(target) as file:
        header = file.readline(_LONGEST_HEADER).decode("utf-8-sig", errors="replace")
    try:
        is_earlier = not header or set(columns) <= set(parse_table(header, path))
    except InputError:
        is_earlier = False
    if not is_earlier:
        raise InputError(f"{path} is not an earlier table of {contents}: name another file to write, or remove it")


def to_entry(value: Any) -> Any:
    """Return a text as an entry of a CSV file: formulas start with a quote, and control characters are escaped."""
    if not isinstance(value, str):
        return value
    entry = escape_controls(value)
    return f"'{entry}" if _FORMULA.match(entry) and not _NUMBER.fullmatch(entry) else entry


def _from_entry(entry: str) -> str:
    """Return the text of an entry, without the quote of `to_entry`."""
    return entry[1:] if entry.startswith("'") and _FORMULA.match(entry) else entry


def read_table(path: Path) -> pd.DataFrame:
    """Return the table in a file, see `parse_table`.

    Raises:
        InputError: If `read_text` refuses the file or `parse_table` refuses its text.
    """
    return parse_table(read_text(path, MAX_BYTES), path)


def parse_table(text: str, path: Path) -> pd.DataFrame:
    """Return a CSV table as text without blanks around entries; its index is the line in the file where a row starts.

    The separator is a comma, semicolon, tab or ``|``, or the one that a line ``sep=;`` before the header names. Rows
    without any entry are left out, like a column of row numbers as ``DataFrame.to_csv`` writes it, comments (see
    `_is_comment`), and empty entries at the end of a row that is longer than the header.

    Args:
        text: Content of the file. A cache of what is derived from a table should depend on it, not on the path alone.
        path: The file, for messages.

    Raises:
        InputError: If a line has too few or too many entries or a huge one, a column has no name or a duplicate one, or
            a quote is not closed.
    """
    separator_line = _SEPARATOR_LINE.match(text)
    body = text[separator_line.end() :] if separator_line else text
    first_line = 1 + bool(separator_line)
    lines = body.lstrip().splitlines()
    header_line = next((line for line in lines if not line.startswith("#")), "".join(lines[:1]))
    separators = [separator_line[1]] if separator_line else [s for s in _SEPARATORS if s in header_line] or [","]
    parsed = [(separator, *_split(body, separator, first_line)) for separator in separators]
    # A character of several is the separator if all rows have the same number of entries; else the most frequent one.
    _separator, rows, error = min(parsed, key=lambda p: (bool(p[2]), -len(p[1][0][1]) if p[1] else 0))
    if error or not rows:
        raise InputError(
            f"{path} {error}" if error else f"{path} is not a CSV table: its first line must name the columns"
        )
    (_, header), *rows = rows
    table = pd.DataFrame(
        [row for _, row in rows], index=[line for line, _ in rows], columns=range(len(header)), dtype=str
    )
    used = [i for i, name in enumerate(header) if not _is_row_number(i, name, table[i])]
    _check_header([(i + 1, header[i]) for i in used], path)
    return table[used].set_axis([header[i] for i in used], axis=1)


def require_columns(table: pd.DataFrame, columns: Iterable[str], path: Path) -> None:
    """Raise `InputError` for the first of some columns that a table lacks; the message names a similar one."""
    for column in columns:
        if column not in table:
            names = [str(name) for name in table]
            close = get_close_matches(column, names, n=1, cutoff=0.5)
            advice = f"rename '{close[0]}' to '{column}'" if close else suggestion(column, names)
            if len(names) == 1:
                advice += " (separate columns by a comma, semicolon, tab or |)"
            raise InputError(f"{path} lacks the column '{column}': {advice}")


def parse_numbers(column: pd.Series, path: Path) -> pd.Series:
    """Return a text column of `read_table` as finite numbers; empty entries become NaN.

    Raises:
        InputError: If an entry is not a finite number. The message names the first such line.
    """
    numbers = pd.to_numeric(column, errors="coerce").astype(np.float64)
    invalid = column[~np.isfinite(numbers) & (column != "")]
    if len(invalid):
        line, entry = invalid.index[0], str(invalid.iloc[0])
        remedy = "correct or empty it"
        if re.fullmatch(r"[+-]?\d*,\d+", entry):
            remedy = f"write a decimal point, {entry.replace(',', '.')}"
        elif entry.endswith("%"):
            remedy = "write the number alone"
        raise InputError(f"{path} line {line}: {column.name} '{entry}' is not a finite number: {remedy}")
    return numbers


def _split(text: str, separator: str, first_line: int) -> tuple[_Rows, str]:
    """Return the rows that are not blank or comments, without blanks around entries, and the first error or ""."""
    reader = csv.reader(StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    rows: _Rows = []
    line, error = first_line, ""
    try:
        for entries in reader:
            row = [_from_entry(entry.strip()) for entry in entries]
            rows += [(line, row)] if any(row) else []
            line = first_line + reader.line_num
    except csv.Error as problem:
        error = f"line {line} is not CSV ({problem}): correct it"
    header = next((row for _, row in rows if not row[0].startswith("#")), rows[0][1] if rows else [])
    rows = [(line, _fit(row, header)) for line, row in rows if len(row) == len(header) or not _is_comment(row)]
    for i, (line, row) in enumerate(rows):
        if len(row) != len(header):
            expected = f"{len(header)} columns (separated by {separator!r})"
            advice = ", or quote entries with commas" if separator == "," and len(row) > len(header) else ""
            return rows[:i], f"line {line} has {len(row)} entries for {expected}: correct it{advice}"
    return rows, error


def _is_comment(row: list[str]) -> bool:
    """Return whether a row that does not fit the header is a comment: ``#`` and a blank, or no separator."""
    return row[0].startswith("#") and (len(row) == 1 or row[0][1:2] in ("", " ", "#"))


def _fit(row: list[str], header: list[str]) -> list[str]:
    """Return a row without empty entries after the last column, or with those that belong to columns without a name."""
    while len(row) > len(header) and not row[-1]:
        row = row[:-1]
    return row if any(header[len(row) :]) else [*row, *header[len(row) :]]


def _is_row_number(position: int, name: str, column: pd.Series) -> bool:
    """Return whether a column is one of row numbers, or has neither a name nor an entry."""
    if not name and (column == "").all():
        return True
    is_index = (not name and position == 0) or bool(_INDEX_NAME.fullmatch(name))
    return is_index and bool(column.str.fullmatch(r"\d+").all())


def _check_header(header: Iterable[tuple[int, str]], path: Path) -> None:
    names = set()
    for number, name in header:
        if not name:
            raise InputError(f"{path} has no name for column {number}: name it in the first line")
        if name in names:
            raise InputError(f"{path} has two columns '{name}': keep one")
        names.add(name)
