"""Hypothesis strategies for damaged files, JSON objects and tables."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st


def truncated(*files: bytes) -> st.SearchStrategy[bytes]:
    """Return valid files without their end."""
    return st.builds(lambda content, end: content[: int(end * len(content))], st.sampled_from(files), st.floats(0, 1))


def with_flipped_bit(file: bytes) -> st.SearchStrategy[bytes]:
    """Return a valid file with one bit flipped."""

    def flip(bit: int) -> bytes:
        content = bytearray(file)
        content[bit // 8] ^= 1 << bit % 8
        return bytes(content)

    return st.integers(0, 8 * len(file) - 1).map(flip)


def damaged(*files: bytes) -> st.SearchStrategy[bytes]:
    """Return valid files with bytes replaced, removed or inserted, or random bytes."""
    edit = st.tuples(st.floats(0, 1), st.integers(0, 3), st.binary(max_size=4))

    def apply(file_and_edits: tuple[bytes, list[tuple[float, int, bytes]]]) -> bytes:
        content, edits = file_and_edits
        for position, n_removed, inserted in edits:
            start = int(position * len(content))
            content = content[:start] + inserted + content[start + n_removed :]
        return content

    edited = st.tuples(st.sampled_from(files), st.lists(edit, max_size=4)).map(apply)
    return edited | truncated(*files) | st.binary(max_size=64)


CHARACTERS = st.text(st.sampled_from("knn logme(=),k3[]{}${:}'\"~+.!\\\n"), max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
ODD = (
    *("", "a", "b", "1", "0.5", "-1", "nan", "inf", "1e999"),
    *("1,2", '"', '""', "\n", "\r", "\0", "é", "a b", "None"),
)
"""Entries that users and attackers write into tables."""


def json_of(**valid: Any) -> st.SearchStrategy[bytes]:
    """Return JSON of an object in which some values are replaced by random ones."""
    values = st.fixed_dictionaries({name: st.just(value) | ANYTHING for name, value in valid.items()})
    return values.map(lambda value: json.dumps(value).encode())


def table_of(*head: str) -> st.SearchStrategy[bytes]:
    """Return a CSV with these columns and random entries, or a damaged one."""
    entry = st.sampled_from(ODD) | st.text(max_size=3)
    rows = st.lists(st.lists(entry, min_size=len(head), max_size=len(head)), max_size=4)
    random_table = rows.map(
        lambda lines: "\n".join(",".join(line) for line in [list(head), *lines]).encode("utf-8", "replace")
    )
    valid = ",".join(head) + "\n" + "".join(",".join([f"{i}"] * len(head)) + "\n" for i in range(3))
    return random_table | damaged(valid.encode())
