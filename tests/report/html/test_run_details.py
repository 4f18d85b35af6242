"""Notes beside a record: they come back as they were, and what is damaged or does not fit is refused in one line."""

from __future__ import annotations

import json

import pytest

from tests.report.html.folders import NAMES, cell_result, halved, scoring_set, write_run
from transfer_exp.errors import InputError
from transfer_exp.report.html.run_details import Notes, notes_of, read_notes, versions, write_notes


def test_notes_survive_the_round_trip(tmp_path):
    write_run(tmp_path, cell_result(), perturb=halved)
    notes = read_notes(tmp_path)
    write_notes(notes, tmp_path / "again")
    assert read_notes(tmp_path / "again") == notes
    assert notes.command == "python -m it"
    assert notes.seconds["clear"] == {"features": 1.25, "scoring": 0.5}
    assert list(notes.views) == ["clear", "dark", "dim"], "the first, the last, then the rest by score"
    assert all(view.after is not None for view in notes.views.values())
    assert notes.left_out == ""


def test_the_best_by_accuracy_is_among_the_few_that_are_shown(tmp_path):
    result = cell_result(accuracies=(0.1, 0.9, 0.2))
    scoring_sets = dict.fromkeys(NAMES, lambda largest: scoring_set("dim"))
    notes = notes_of(result, "", {}, ("a", "b", "c"), scoring_sets, lambda known: None, 2)
    assert list(notes.views) == ["clear", "dim"]


def test_what_nobody_computed_is_not_shown():
    absent = dict.fromkeys(NAMES, lambda largest: None)
    notes = notes_of(cell_result(), "", {}, ("a", "b", "c"), absent, lambda known: pytest.fail("perturbed"), 3)
    assert (notes.views, notes.samples) == ({}, None)
    assert "need no features" in notes.left_out


def test_a_probe_too_large_is_left_out_with_its_reason():
    def refuse(largest):
        raise InputError(f"more than {largest} numbers")

    notes = notes_of(cell_result(), "", {}, ("a", "b", "c"), dict.fromkeys(NAMES, refuse), lambda known: None, 3)
    assert notes.views == {}
    assert notes.left_out == "left out, for more than 10000000 numbers"


def test_a_run_of_an_earlier_version_has_none(tmp_path):
    assert read_notes(tmp_path) == Notes(left_out="nothing of the features was kept with this run")


def test_versions_are_of_what_computes():
    known = versions()
    assert {"transfer_exp", "python", "numpy", "torch", "timm"} <= known.keys()
    assert all(known.values())


def _changed(found, path, value):
    *way, last = path
    for key in way:
        found = found[key]
    found[last] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("command",), 3),
        (("more",), 1),
        (("seconds", "clear"), {"features": "long"}),
        (("seconds", "clear"), {"features": 1e999}),
        (("samples",), None),
        (("samples", "names"), ["a", "b"]),
        (("samples", "labels", 0), 3),
        (("samples", "labels", 0), -1),
        (("samples", "labels", 0), "<b>"),
        (("views", "clear", "before", "points"), [1, 2]),
        (("views", "clear", "before", "points", 0), 0.5),
        (("views", "clear", "before", "separation", "closest", 0), 9),
        (("views", "clear", "before", "separation", "gap"), [1.0]),
        (("views", "clear", "before", "separation", "recall", 0), "<img>"),
    ],
    ids=str,
)
def test_notes_that_do_not_fit_are_refused_by_name(tmp_path, path, value):
    write_run(tmp_path, cell_result())
    found = json.loads((tmp_path / "page.json").read_text())
    _changed(found, path, value)
    (tmp_path / "page.json").write_text(json.dumps(found))
    with pytest.raises(InputError, match=r"page\.json .*delete it"):
        read_notes(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"command": NaN}'], ids=lambda text: text[:9])
def test_what_is_no_notes_is_refused_by_name(tmp_path, text):
    (tmp_path / "page.json").write_text(text)
    with pytest.raises(InputError, match=r"page\.json .*delete it"):
        read_notes(tmp_path)
    (tmp_path / "page.json").write_text(" " * (1 << 24) + "{}")
    with pytest.raises(InputError, match="bytes"):
        read_notes(tmp_path)
