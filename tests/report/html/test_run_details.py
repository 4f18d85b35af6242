"""Details of a run survive a round trip; damaged or inconsistent files are refused with one line."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.report.html.folders import NAMES, cell_result, halved, run_context, scoring_set, write_run
from transfer_exp.errors import InputError
from transfer_exp.report.html.run_details import (
    RunDetails,
    collect_run_details,
    library_versions,
    read_run_details,
    write_run_details,
)


def test_details_survive_the_round_trip(tmp_path):
    write_run(tmp_path, cell_result(), perturb=halved)
    details = read_run_details(tmp_path)
    write_run_details(details, tmp_path / "again")
    assert read_run_details(tmp_path / "again") == details
    assert details.command == "python -m it"
    assert details.seconds["clear"] == {"features": 1.25, "scoring": 0.5}
    assert list(details.views) == ["clear", "dark", "dim"], "the first, the last, then the rest by score"
    assert all(view.after is not None for view in details.views.values())
    assert details.left_out == ""


def test_the_models_of_highest_score_best_accuracy_and_lowest_score_are_drawn_first():
    names = ("a", "b", "c", "d", "e")
    result = cell_result(names, accuracies=(0.1, 0.2, 0.9, 0.3, 0.2))
    context = run_context(scoring_sets=dict.fromkeys(names, lambda largest: scoring_set("dim")))
    assert list(collect_run_details(result, context).views) == ["a", "c", "e"]
    assert list(collect_run_details(result, replace(context, sweep=None)).views) == ["a", "c", "e", "b", "d"]


def test_features_that_were_never_computed_are_not_drawn():
    absent = dict.fromkeys(NAMES, lambda largest: None)
    context = run_context(scoring_sets=absent, perturb=lambda features: pytest.fail("perturbed"))
    details = collect_run_details(cell_result(), context)
    assert (details.views, details.samples) == ({}, None)
    assert "need no features" in details.left_out


def test_a_scoring_set_too_large_is_left_out_with_a_reason():
    def refuse(largest):
        raise InputError(f"more than {largest} numbers")

    details = collect_run_details(cell_result(), run_context(scoring_sets=dict.fromkeys(NAMES, refuse)))
    assert details.views == {}
    assert details.left_out == "left out because more than 10000000 numbers"


def test_a_folder_without_details_has_empty_ones(tmp_path):
    assert read_run_details(tmp_path) == RunDetails(left_out="this run kept no features to draw")


def test_details_of_earlier_versions_are_still_read(tmp_path):
    separation = {"recall": [1.0, None], "within": [0.5, 0.0], "closest": [1, 0], "gap": [2.0, 2.0]}
    view = {"before": {"points": [100, 0, -100, 0], "separation": separation}, "after": None}
    earlier = {
        "command": "python -m it",
        "versions": {"numpy": "1.26"},
        "seconds": {"net": {"scoring": 0.5}},
        "samples": {"names": ["a", "b"], "counts": [3, 1], "labels": [0, 1]},
        "views": {"net": view},
        "left_out": "",
    }
    (tmp_path / "page.json").write_text(json.dumps(earlier))
    details = read_run_details(tmp_path)
    assert details.views["net"].before.separation.recall == (1.0, None)
    assert (details.samples.counts, details.remarks, details.verdict) == ((3, 1), {}, ())


def test_versions_are_those_of_the_numerical_libraries():
    versions = library_versions()
    assert {"transfer_exp", "python", "numpy", "torch", "timm"} <= versions.keys()
    assert all(versions.values())


def _set_item(content, path, value):
    *parents, last = path
    for key in parents:
        content = content[key]
    content[last] = value


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
        (("views", "clear", "before", "separation", "confused"), [[0, 9, 0.5]]),
        (("views", "clear", "before", "separation", "recall", 0), "<img>"),
    ],
    ids=str,
)
def test_inconsistent_details_are_refused_by_name(tmp_path, path, value):
    write_run(tmp_path, cell_result())
    content = json.loads((tmp_path / "page.json").read_text())
    _set_item(content, path, value)
    (tmp_path / "page.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"page\.json .*delete it"):
        read_run_details(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"command": NaN}'], ids=lambda text: text[:9])
def test_a_file_without_valid_details_is_refused_by_name(tmp_path, text):
    (tmp_path / "page.json").write_text(text)
    with pytest.raises(InputError, match=r"page\.json .*delete it"):
        read_run_details(tmp_path)
    (tmp_path / "page.json").write_text(" " * (1 << 24) + "{}")
    with pytest.raises(InputError, match="bytes"):
        read_run_details(tmp_path)


BYTES = "rank 'a\udce4/f.npz' 日本"
ESCAPED = r"rank 'a\udce4/f.npz' 日本"


def test_bytes_that_are_no_characters_are_written_as_escapes(tmp_path):
    write_run_details(RunDetails(BYTES, findings=(BYTES,), seconds={BYTES: {"features": 1.0}}), tmp_path)
    details = read_run_details(tmp_path)
    assert (details.command, details.findings) == (ESCAPED, (ESCAPED,))
    assert details.seconds == {ESCAPED: {"features": 1.0}}


def test_details_of_earlier_versions_with_such_bytes_are_read(tmp_path):
    (tmp_path / "page.json").write_text(json.dumps({"command": BYTES, "findings": ["\N{GRINNING FACE}"]}))
    details = read_run_details(tmp_path)
    assert (details.command, details.findings) == (ESCAPED, ("\N{GRINNING FACE}",))
