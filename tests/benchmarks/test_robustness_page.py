"""Page on bad input: its tables agree with its rows, and its rows with the kinds and readers of the tests."""

from __future__ import annotations

from pathlib import Path

from benchmarks.robustness import fill_page, read_rows
from tests.bad_input.fuzzed import READERS
from tests.bad_input.kinds import KINDS

PAGE = Path(__file__).parents[2] / "docs" / "results" / "robustness.md"


def test_the_tables_of_the_page_agree_with_its_rows():
    assert fill_page(PAGE) == PAGE.read_text(), "run python -m benchmarks.robustness docs/results/robustness.md"


def test_the_rows_hold_every_kind_with_the_message_that_the_tests_expect():
    lines = {name: (command, line) for name, command, line in read_rows(PAGE, "kinds")}
    assert list(lines) == [kind.name for kind in KINDS]
    for kind in KINDS:
        command, line = lines[kind.name]
        assert command == kind.command
        assert kind.message in line
        assert line.startswith("transfer_exp: ")


def test_every_reader_got_thousands_of_inputs_and_accepted_some():
    rows = read_rows(PAGE, "fuzz")
    assert {reader.name for reader in READERS} < {name for name, *_ in rows}
    for _, inputs, accepted, rejected in rows:
        assert int(inputs) == int(accepted) + int(rejected) >= 1000
        assert int(accepted) > 0
    assert sum(int(row[1]) for row in rows) >= 20_000
