"""Text, tables and arrays of strangers: what is sound comes back as it is, and what is not is refused by name."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from tests.bad_input.files import archive, npy, npz, sparse, text, zeros
from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.io.csv import numbers, read_table
from transfer_exp.io.npz import array_names, read_array
from transfer_exp.io.text import read_json, read_text


@pytest.mark.parametrize("error", [InputError, NotApplicableError])
def test_a_message_is_one_line_that_a_terminal_may_be_shown(error):
    said = str(error("of\na\tname \x1b[2J\ud800 and " + "x" * 5000 + ": mend it"))
    assert said.startswith(r"of a name \x1b[2J\ud800 and xxx")
    assert said.endswith("xxx: mend it")
    assert said.isprintable()
    assert len(said) < 1100


def test_a_text_comes_back_without_its_byte_order_mark(tmp_path):
    text("t", b"\xef\xbb\xbfa,\xc3\xa9\r\n")(tmp_path)
    assert read_text(tmp_path / "t") == "a,é\r\n"
    assert read_text(tmp_path / "t", largest=9) == "a,é\r\n"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (text("t", b"0123456789"), "t has 10 bytes, more than the 9"),
        (sparse("t", 1 << 40), "t has 1099511627776 bytes"),
        (text("t", b"caf\xe9"), r"t is not UTF-8 text \(byte 3\)"),
        (text("t", b"a\0b"), "t holds a NUL"),
        (lambda folder: (folder / "t").mkdir(), "cannot read .*t "),
        (lambda folder: None, r"cannot read .*t \(No such file"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path, build, message):
    build(tmp_path)
    with pytest.raises(InputError, match=message):
        read_text(tmp_path / "t", largest=9)


@pytest.mark.parametrize("content", ["{", '{"a": NaN}', "[-Infinity]", '{"a": 1, "a": 2}', "[" * 100_000, "1" * 5000])
def test_what_is_no_sound_json_is_refused(tmp_path, content):
    text("t.json", content)(tmp_path)
    with pytest.raises(InputError, match=r"t\.json is n.*: correct it"):
        read_json(tmp_path / "t.json")


def test_a_table_is_what_pandas_reads_where_its_form_is_sound(tmp_path):
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
def test_what_pandas_would_repair_by_guessing_is_refused(tmp_path, content, message):
    text("t.csv", content)(tmp_path)
    with pytest.raises(InputError, match=rf"t\.csv .*{message}"):
        read_table(tmp_path / "t.csv")


def test_a_column_of_numbers_has_numbers_or_nothing(tmp_path):
    found = numbers(pd.Series(["1", " 2.5 ", "", "-3e-2"], name="x"), tmp_path)
    assert found[[0, 1, 3]].tolist() == [1, 2.5, -0.03]
    assert math.isnan(found[2])
    for odd in ("nan", "inf", "1e999", "high", "None"):
        with pytest.raises(InputError, match=f"line 3: x '{odd}' is no finite number"):
            numbers(pd.Series(["1", odd], name="x"), tmp_path)


def test_arrays_come_back_one_at_a_time(tmp_path):
    npz("n.npz", more=np.zeros((0, 3)), words=np.array(["a", "bc"]))(tmp_path)
    assert array_names(tmp_path / "n.npz") == ["features", "labels", "more", "words"]
    assert read_array(tmp_path / "n.npz", "words").tolist() == ["a", "bc"]
    assert read_array(tmp_path / "n.npz", "more").shape == (0, 3)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (archive("n.npz", "labels.npy", npy((10**12,), "<f8", bytes(8))), "tells of 8000000000000 bytes, and 8 follow"),
        (archive("n.npz", "labels.npy", npy((2,), "<f8", bytes(24))), "tells of 16 bytes, and 24 follow"),
        (archive("n.npz", "labels.npy", npy((10**9,), "<U0", b"")), "has no bytes"),
        (archive("n.npz", "labels.npy", npy((1,), "|O", bytes(8))), "Object arrays"),
        (zeros("n.npz"), "decompression bomb"),
        (text("n.npz", npy((10**13,), "<f8", b"")), "is a single array"),
        (npz("n.npz", labels=None), "cannot read labels"),
    ],
)
def test_what_is_no_sound_array_is_refused(tmp_path, build, message):
    build(tmp_path)
    with pytest.raises(InputError, match=message):
        read_array(tmp_path / "n.npz", "labels")
