"""Untrusted text, tables and arrays: valid files are read unchanged, invalid ones are refused by name."""

from __future__ import annotations

import csv
import io
import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bad_input.files import archive, npy, npz, sparse, text, zeros
from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.io.csv import parse_numbers, read_table
from transfer_exp.io.npz import list_arrays, read_array
from transfer_exp.io.text import read_json, read_text


@pytest.mark.parametrize("error", [InputError, NotApplicableError])
def test_an_error_message_is_one_short_printable_line(error):
    message = str(error("of\na\tname \x1b[2J\ud800 and " + "x" * 5000 + ": correct it"))
    assert message.startswith(r"of a name \x1b[2J\ud800 and xxx")
    assert message.endswith("xxx: correct it")
    assert message.isprintable()
    assert len(message) < 1100


def test_a_text_is_read_without_its_byte_order_mark(tmp_path):
    text("t", b"\xef\xbb\xbfa,\xc3\xa9\r\n")(tmp_path)
    assert read_text(tmp_path / "t") == "a,é\r\n"
    assert read_text(tmp_path / "t", max_bytes=9) == "a,é\r\n"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (text("t", b"0123456789"), "t has 10 bytes, more than the 9"),
        (sparse("t", 1 << 40), "t has 1099511627776 bytes"),
        (text("t", b"caf\xe9"), r"t is not UTF-8 text \(byte 3\)"),
        (text("t", b"a\0b"), "t contains a NUL"),
        (lambda folder: (folder / "t").mkdir(), "t is a folder: give a regular file"),
        (lambda folder: None, r"cannot read .*t \(No such file"),
        (lambda folder: os.mkfifo(folder / "t"), "t is a pipe or device: give a regular file"),
    ],
)
def test_an_invalid_text_is_refused(tmp_path, build, message):
    build(tmp_path)
    with pytest.raises(InputError, match=message):
        read_text(tmp_path / "t", max_bytes=9)


@pytest.mark.parametrize(
    "content", ["{", '{"a": NaN}', "[-Infinity]", "[-1e999]", '{"a": 1, "a": 2}', "[" * 100_000, "1" * 5000]
)
def test_invalid_json_is_refused(tmp_path, content):
    text("t.json", content)(tmp_path)
    with pytest.raises(InputError, match=r"t\.json is n.*: correct it"):
        read_json(tmp_path / "t.json")


ROWS = [
    ["file", "label", "note"],
    ["a b.png", "cat, wild", ""],
    ["ü|1;2.png", 'the "dog"', "NA"],
    ["x\ny.png", "nan", "0,5"],
]
"""A header and three rows with every character that a dialect may use; the third row begins on line 4."""


def write_dialect(separator, quoting, end, extras):
    """Return the rows as another program would write them."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=separator, quoting=quoting, lineterminator=end)
    for i, row in enumerate(ROWS):
        index = ["" if i == 0 else str(i - 1)] if "index" in extras else []
        padded = [f" {entry} " if "blanks" in extras else entry for entry in row]
        n_blank = ("trailing" in extras) + (i > 0 and "trailing in rows" in extras)
        writer.writerow(index + padded + [""] * n_blank)
        if "comments" in extras:
            stream.write(f"# a comment{separator} or two{end}#one{end}")
        if "empty rows" in extras:
            stream.write(separator * 3 + end + end)
    first = f"sep={separator}{end}" if "sep" in extras else ""
    comment = f"# made by a tool{separator} 2020{end}" if "comments" in extras else ""
    return "\ufeff" * (("mark" in extras) + ("second mark" in extras)) + first + comment + stream.getvalue()


@given(
    separator=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
    extras=st.sets(
        st.sampled_from(
            [
                *("index", "blanks", "trailing", "trailing in rows"),
                *("empty rows", "comments", "sep", "mark", "second mark"),
            ]
        )
    ),
)
def test_a_table_has_the_same_rows_in_every_dialect(tmp_path_factory, separator, quoting, end, extras):
    path = tmp_path_factory.getbasetemp() / "t.csv"
    path.write_bytes(write_dialect(separator, quoting, end, extras).encode())
    table = read_table(path)
    assert [list(table), *table.to_numpy().tolist()] == ROWS
    text = path.read_text(encoding="utf-8-sig")
    assert [
        text.splitlines()[line - 1].count("png") or text.splitlines()[line].count("png") for line in table.index
    ] == [1] * 3


def test_the_index_of_a_table_is_the_line_in_the_file(tmp_path):
    text("t.csv", 'sep=;\n\na;b\n1;"two\nlines"\n;\n2;3\n')(tmp_path)
    assert read_table(tmp_path / "t.csv").index.tolist() == [4, 7]


def test_a_name_that_begins_like_a_comment_is_a_name(tmp_path):
    text("t.csv", "# a, b, c\nmodel,score\n# 1,2\n#3,4\n")(tmp_path)
    table = read_table(tmp_path / "t.csv")
    assert table.to_numpy().tolist() == [["# 1", "2"], ["#3", "4"]]
    assert table.index.tolist() == [3, 4]


def test_a_column_of_row_numbers_is_left_out_and_others_are_kept(tmp_path):
    text("t.csv", ",Unnamed: 0,id,a\n0,7,3,x\n1,8,4,y\n")(tmp_path)
    assert list(read_table(tmp_path / "t.csv")) == ["id", "a"]
    text("t.csv", ",a\nx,1\ny,2\n")(tmp_path)
    with pytest.raises(InputError, match="no name for column 1"):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2,3\n", "line 2 has 3 entries for 2 columns"),
        ("a,b\n1,2\n3\n", "line 3 has 1 entries"),
        ("a,b,c\n1,2,3\n#4,5\n", "line 3 has 2 entries"),
        ("a,a\n1,2\n", "two columns 'a'"),
        ("a,\n1,2\n", "no name for column 2"),
        ("\n", "first line must name the columns"),
        ('a,b\n"1,2\n', "is not CSV"),
        ("a\n" + "x" * 140_000, "line 2 is not CSV .*field larger"),
        ("a;b\n\n\n1;2;3\n", "line 4 has 3 entries for 2 columns .separated by ';'"),
        ('a,b\n1,"2\n3"\n4\n', "line 4 has 1 entries"),
        ("a,b\n1,2\n a, b \n,c\n3,4,5\n", "line 5 has 3 entries"),
    ],
)
def test_a_table_that_pandas_would_repair_by_guessing_is_refused(tmp_path, content, message):
    text("t.csv", content)(tmp_path)
    with pytest.raises(InputError, match=rf"t\.csv .*{message}"):
        read_table(tmp_path / "t.csv")


def test_a_column_of_numbers_contains_finite_numbers_or_nothing(tmp_path):
    numbers = parse_numbers(pd.Series(["1", "2.5", "", "-3e-2"], name="x"), tmp_path)
    assert numbers[[0, 1, 3]].tolist() == [1, 2.5, -0.03]
    assert math.isnan(numbers[2])
    for invalid in ("nan", "inf", "1e999", "high", "None"):
        with pytest.raises(InputError, match=f"line 3: x '{invalid}' is not a finite number"):
            parse_numbers(pd.Series(["1", invalid], index=[2, 3], name="x"), tmp_path)
    with pytest.raises(InputError, match=r"write a decimal point, 0\.5"):
        parse_numbers(pd.Series(["1", "0,5"], name="x"), tmp_path)


def test_arrays_are_read_by_name(tmp_path):
    npz("n.npz", empty=np.zeros((0, 3)), names=np.array(["a", "bc"]))(tmp_path)
    assert list_arrays(tmp_path / "n.npz") == ["features", "labels", "empty", "names"]
    assert read_array(tmp_path / "n.npz", "names").tolist() == ["a", "bc"]
    assert read_array(tmp_path / "n.npz", "empty").shape == (0, 3)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            archive("n.npz", "labels.npy", npy((10**12,), "<f8", bytes(8))),
            "announces 8000000000000 bytes",
        ),
        (archive("n.npz", "labels.npy", npy((2,), "<f8", bytes(24))), "announces 16 bytes, but 24 follow"),
        (archive("n.npz", "labels.npy", npy((10**9,), "<U0", b"")), "has no bytes"),
        (
            archive("n.npz", "labels.npy", npy((1,), "|O", bytes(8))),
            "holds Python objects, .* convert it with .astype.str. or",
        ),
        (zeros("n.npz"), "decompression bomb"),
        (text("n.npz", npy((10**13,), "<f8", b"")), "is a single array"),
        (npz("n.npz", labels=None), "cannot read labels"),
        (lambda folder: os.mkfifo(folder / "n.npz"), "n.npz is a pipe or device"),
    ],
)
def test_an_invalid_array_is_refused(tmp_path, build, message):
    build(tmp_path)
    with pytest.raises(InputError, match=message):
        read_array(tmp_path / "n.npz", "labels")


@pytest.mark.parametrize("read", [read_json, list_arrays])
def test_a_device_is_refused_instead_of_read_without_end(read):
    with pytest.raises(InputError, match="is a pipe or device"):
        read(Path("/dev/zero"))
