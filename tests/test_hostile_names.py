"""Names of models, datasets and classes are text wherever they are shown: no markup, formula, command or file name."""

from __future__ import annotations

import io
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.report.html.folders import cell_result, run_context, scoring_set
from transfer_exp.errors import escape_all, escape_controls
from transfer_exp.io.csv import read_table, write_table
from transfer_exp.io.text import clean_name
from transfer_exp.report.markdown import markdown
from transfer_exp.report.record import read_record
from transfer_exp.report.sweep import show_sweep
from transfer_exp.report.write_run import write_run
from transfer_exp.terminal import Terminal

NASTY = [
    '=HYPERLINK("http://x","y")',
    "+1+1",
    "-x",
    "@SUM(A1)",
    "'=1",
    "\x1b[31mred\x1b]0;title\x07",
    "\u202egnp.exe",
    "[/red]",
    "[bold]a[/b]",
    "$x_{",
    r"$\frac{1}{0}$ \alpha",
    "a[/b]",
    "\udcff caf\udce9",
    "two\nlines\r\nand a tab\t.",
    "x" * 300,
    "--help",
    "${oc.env:HOME}",
    "../../up",
    "</script><script>alert(1)</script>",
    'a,b;c|d"e',
    "\u65e5\u672c\u8a9e \u0627",
    ":smile:",
    "%s {0} %(a)s",
    "\u2028 \x00 \x7f \x9b31m",
]
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printed(renderable) -> str:
    text = io.StringIO()
    Terminal(file=text, width=400).print(renderable)
    return text.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, len(NASTY), 4))
def test_names_are_only_text_in_every_output_of_a_run_and_a_sweep(start, tmp_path):
    dataset, metric, setting, label = NASTY[start : start + 4]
    names = tuple(clean_name(name) for name in NASTY[start : start + 4])
    sweep = tmp_path / "sweep"
    for perturbation in ("none", f"pca({setting})"):
        fields = {"dataset": dataset, "perturbation": perturbation, "metric": metric, "dataset.root": setting}
        readers = dict.fromkeys(names, lambda largest: scoring_set("dark"))
        context = run_context(class_names=(label, "b", "c"), scoring_sets=readers)
        result = cell_result(names=names, accuracies=(0.9, 0.7, 0.8, 0.6), **fields)
        write_run(result, context, sweep / perturbation[:3], lambda results: None)
    assert [model.model for model in read_record(sweep / "non" / "result.json").models] == [*names, "odd"]
    ranking = read_table(sweep / "non" / "ranking.csv")
    assert list(ranking["model"]) == [*(name.strip() for name in names), "odd"]
    text = io.StringIO()
    assert show_sweep(sweep, Terminal(file=text, width=2000)) == ([], None)
    assert UNSAFE.search(text.getvalue()) is None
    if escape_controls(dataset) == dataset:  # long names are folded
        assert "".join(dataset.split())[:8] in "".join(text.getvalue().split())
    for path in [*sweep.rglob("*.csv"), sweep / "report.html"]:
        content = path.read_text(encoding="utf-8")
        assert UNSAFE.search(content) is None, path
        assert path.suffix != ".csv" or not re.search(r'(^|,|\n)"?[=+@-][^\d.]', content), path
    page = (sweep / "report.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', page, re.S)[1])
    assert data["cells"][0]["fields"]["dataset"] == escape_controls(dataset)


def test_the_terminal_shows_names_without_markup_or_control_characters():
    for name in NASTY:
        text = printed(name)
        assert UNSAFE.search(text) is None
        assert text == f"{name}\n" or escape_controls(name) != name


@settings(deadline=None, max_examples=30)
@given(names=st.lists(st.text(max_size=12) | st.sampled_from(NASTY), min_size=1, max_size=4, unique=True))
def test_a_table_returns_the_names_that_were_written(names, tmp_path_factory):
    import pandas as pd

    names = list(dict.fromkeys(clean_name(name).strip() for name in names))
    names = [name for name in names if name] or ["one"]
    path = tmp_path_factory.mktemp("table") / "table.csv"
    write_table(path, pd.DataFrame({"model": names, "score": -1.5}))
    table = read_table(path)
    assert list(table["model"]) == names
    assert set(table["score"]) == {"-1.5"}
    rows = path.read_text(encoding="utf-8")
    assert not re.search(r'(^|\n)"?[=+@-][^\d.\n,]', rows)


@settings(deadline=None)
@given(text=st.text() | st.sampled_from(NASTY))
def test_an_escaped_text_can_be_written_and_is_escaped_once(text):
    escaped = escape_controls(text)
    escaped.encode("utf-8")
    assert UNSAFE.search(escaped) is None
    assert escape_controls(escaped) == escaped
    assert escape_all({text: [text, (text,)], "points": (1, 2)}) == {escaped: [escaped, [escaped]], "points": (1, 2)}


def test_a_name_stays_in_its_column_of_a_markdown_table():
    assert markdown(["a|b"], [["<script>"], ["x\\|y"], ["1 < 2"]]).splitlines() == [
        "| a\\|b |",
        "| --- |",
        "| &lt;script> |",
        "| x\\|y |",
        "| 1 < 2 |",
    ]


def test_a_terminal_of_ascii_shows_every_name(monkeypatch):
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding="ascii", errors="backslashreplace", write_through=True)
    console = Terminal(file=stream, width=400)
    for name in NASTY:
        console.print(name)
    assert b"\\u65e5" in buffer.getvalue()


@pytest.mark.long
def test_wandb_records_every_name(tmp_path):
    from tests.tracker.offline_run import read_offline
    from transfer_exp.tracker.tracker import TRAINING_STEP, TrackedRun
    from transfer_exp.tracker.wandb import WandbTracker

    for i, name in enumerate(NASTY):
        names = ("clear", clean_name(name), "dark")
        result = cell_result(names=names, dataset=name, metric=name, **{"dataset.root": name})
        readers = dict.fromkeys(names, lambda largest: scoring_set("dark"))
        config = {"dataset": {name: name}}
        context = run_context(config=config, scoring_sets=readers)
        run = WandbTracker().start(TrackedRun("score", result.cell, config, name=f"{name} logme"), tmp_path / str(i))
        run.log(TRAINING_STEP, 1, {f"train_loss/{name}": 1.0})
        written = write_run(result, context, tmp_path / str(i), run.finish).written
        recorded = read_offline(written[-1])
        assert recorded["config"]["cell"]["dataset"] == escape_controls(name)
        assert re.fullmatch(r"[A-Za-z0-9_.-]+", next(iter(recorded["artifacts"])))


def test_a_terminal_without_width_has_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "0")
    text = io.StringIO()
    Terminal(file=text).print("a line")
    assert text.getvalue() == "a line\n"
