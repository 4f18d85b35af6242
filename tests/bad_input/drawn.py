"""Spoiled files, drawn at random: of sound ones, of objects, and of tables."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st


def cut_off(*sound: bytes) -> st.SearchStrategy[bytes]:
    """Return sound files of which the end is missing."""
    return st.builds(lambda content, end: content[: int(end * len(content))], st.sampled_from(sound), st.floats(0, 1))


def flipped(sound: bytes) -> st.SearchStrategy[bytes]:
    """Return a sound file in which one bit is another."""

    def flip(bit: int) -> bytes:
        content = bytearray(sound)
        content[bit // 8] ^= 1 << bit % 8
        return bytes(content)

    return st.integers(0, 8 * len(sound) - 1).map(flip)


def spoiled(*sound: bytes) -> st.SearchStrategy[bytes]:
    """Return sound files of which some bytes are others, some are missing, or others are put in."""
    edit = st.tuples(st.floats(0, 1), st.integers(0, 3), st.binary(max_size=4))

    def spoil(drawn: tuple[bytes, list[tuple[float, int, bytes]]]) -> bytes:
        content, edits = drawn
        for place, gone, new in edits:
            at = int(place * len(content))
            content = content[:at] + new + content[at + gone :]
        return content

    edited = st.tuples(st.sampled_from(sound), st.lists(edit, max_size=4)).map(spoil)
    return edited | cut_off(*sound) | st.binary(max_size=64)


CHARACTERS = st.text(st.sampled_from("knn logme(=),k3[]{}${:}'\"~+.!\\\n"), max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
ODD = (
    *("", "a", "b", "1", "0.5", "-1", "nan", "inf", "1e999"),
    *("1,2", '"', '""', "\n", "\r", "\0", "é", "a b", "None"),
)
"""Entries of tables that people, and attackers, write."""


def json_of(**sound: Any) -> st.SearchStrategy[bytes]:
    """Return an object some of whose values are anything, as JSON."""
    values = st.fixed_dictionaries({name: st.just(value) | ANYTHING for name, value in sound.items()})
    return values.map(lambda value: json.dumps(value).encode())


def table_of(*head: str) -> st.SearchStrategy[bytes]:
    """Return a CSV with these columns and entries that people (and attackers) write."""
    entry = st.sampled_from(ODD) | st.text(max_size=3)
    rows = st.lists(st.lists(entry, min_size=len(head), max_size=len(head)), max_size=4)
    whole = rows.map(
        lambda lines: "\n".join(",".join(line) for line in [list(head), *lines]).encode("utf-8", "replace")
    )
    sound = ",".join(head) + "\n" + "".join(",".join([f"{i}"] * len(head)) + "\n" for i in range(3))
    return whole | spoiled(sound.encode())
