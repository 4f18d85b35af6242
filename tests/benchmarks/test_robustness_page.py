"""The page on bad input: its tables are those of its rows, and its rows are of the kinds and readers there are."""

from __future__ import annotations

from pathlib import Path

from benchmarks.robustness import filled, rows_of
from tests.bad_input.fuzzed import READERS
from tests.bad_input.kinds import KINDS

PAGE = Path(__file__).parents[2] / "docs" / "results" / "robustness.md"


def test_the_page_says_what_its_rows_say():
    assert filled(PAGE) == PAGE.read_text(), "run python -m benchmarks.robustness docs/results/robustness.md"


def test_every_kind_was_tried_and_got_the_line_that_the_tests_ask_for():
    lines = {name: (command, line) for name, command, line in rows_of(PAGE, "kinds")}
    assert list(lines) == [kind.name for kind in KINDS]
    for kind in KINDS:
        command, line = lines[kind.name]
        assert command == kind.command
        assert kind.message in line
        assert line.startswith("transfer_exp: ")


def test_every_reader_was_given_thousands_of_inputs_and_took_some():
    rows = rows_of(PAGE, "fuzz")
    assert {reader.name for reader in READERS} < {name for name, *_ in rows}
    for _, inputs, taken, refused in rows:
        assert int(inputs) == int(taken) + int(refused) >= 1000
        assert int(taken) > 0
    assert sum(int(row[1]) for row in rows) >= 20_000
