"""Untrusted text, tables and arrays: valid files are read unchanged, invalid ones are refused by name."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

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
        (lambda folder: (folder / "t").mkdir(), "cannot read .*t "),
        (lambda folder: None, r"cannot read .*t \(No such file"),
    ],
)
def test_an_invalid_text_is_refused(tmp_path, build, message):
    build(tmp_path)
    with pytest.raises(InputError, match=message):
        read_text(tmp_path / "t", max_bytes=9)


@pytest.mark.parametrize("content", ["{", '{"a": NaN}', "[-Infinity]", '{"a": 1, "a": 2}', "[" * 100_000, "1" * 5000])
def test_invalid_json_is_refused(tmp_path, content):
    text("t.json", content)(tmp_path)
    with pytest.raises(InputError, match=r"t\.json is n.*: correct it"):
        read_json(tmp_path / "t.json")


def test_a_valid_table_is_read_as_pandas_reads_it(tmp_path):
    text("t.csv", 'a,"b ""c"""\n1,"x, y"\n\n2,"two\nlines"\n')(tmp_path)
    assert read_table(tmp_path / "t.csv").to_dict("list") == {"a": [1, 2], 'b "c"': ["x, y", "two\nlines"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2,3\n", "line 2 has 3 entries for 2 columns"),
        ("a,b\n1,2\n3\n", "line 3 has 1 entries"),
        ("a,a\n1,2\n", "two columns 'a'"),
        ("a,\n1,2\n", "no name for column 2"),
        ("\n", "first line must name the columns"),
        ('a,b\n"1,2\n', "is not CSV"),
        ("a\n" + "x" * 70_000, "line 2 is not CSV .*field larger"),
    ],
)
def test_a_table_that_pandas_would_repair_by_guessing_is_refused(tmp_path, content, message):
    text("t.csv", content)(tmp_path)
    with pytest.raises(InputError, match=rf"t\.csv .*{message}"):
        read_table(tmp_path / "t.csv")


def test_a_column_of_numbers_contains_finite_numbers_or_nothing(tmp_path):
    numbers = parse_numbers(pd.Series(["1", " 2.5 ", "", "-3e-2"], name="x"), tmp_path)
    assert numbers[[0, 1, 3]].tolist() == [1, 2.5, -0.03]
    assert math.isnan(numbers[2])
    for invalid in ("nan", "inf", "1e999", "high", "None"):
        with pytest.raises(InputError, match=f"line 3: x '{invalid}' is not a finite number"):
            parse_numbers(pd.Series(["1", invalid], name="x"), tmp_path)


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
        (archive("n.npz", "labels.npy", npy((1,), "|O", bytes(8))), "Object arrays"),
        (zeros("n.npz"), "decompression bomb"),
        (text("n.npz", npy((10**13,), "<f8", b"")), "is a single array"),
        (npz("n.npz", labels=None), "cannot read labels"),
    ],
)
def test_an_invalid_array_is_refused(tmp_path, build, message):
    build(tmp_path)
    with pytest.raises(InputError, match=message):
        read_array(tmp_path / "n.npz", "labels")
