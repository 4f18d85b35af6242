"""Run commands and readers on bad input: ``python -m benchmarks.robustness docs/results/robustness.md``.

Every kind of bad input is passed to its command, and every reader gets thousands of randomly damaged files. Both
results are written as rows next to the page, and the page is filled from them.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import transfer_exp
from studies.document_tables import fill_tables
from tests.bad_input.damaged_store import is_read, valid_file
from tests.bad_input.fuzzed import READERS
from tests.bad_input.kind import run_kind
from tests.bad_input.kinds import KINDS
from tests.bad_input.strategies import damaged
from transfer_exp.report.markdown import markdown

Row = Sequence[str]
_PACKAGE = str(Path(transfer_exp.__file__).parent)
KIND, FUZZ = ("kind", "command", "line"), ("reader", "inputs", "taken", "refused")


def run_kinds() -> Iterator[Row]:
    """Yield the name, the command and the line on stderr of every kind of bad input.

    Raises:
        RuntimeError: When a command does not end with one line and exit code 1.
    """
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            code, message = run_kind(kind, Path(folder))
            if code != 1 or message.count("\n") != 1:
                raise RuntimeError(f"{kind.name} ends with code {code} and prints {message!r}")
            yield kind.name, kind.command, message.strip().replace(folder, "FOLDER").replace(_PACKAGE, "transfer_exp")


def fuzz_readers(examples: int) -> Iterator[Row]:
    """Yield the numbers of inputs, accepted and rejected inputs of every reader.

    Raises:
        Exception: When a reader raises anything other than its error for bad input.
    """
    readers = [(reader.name, reader.inputs, reader.accepts) for reader in READERS]
    for kind in ("arrays", "record"):
        readers.append((f"{kind} of the store", damaged(valid_file(kind)), partial(is_read, kind)))
    for name, inputs, accepts in readers:
        counts = _count(inputs, accepts, examples)
        yield name, str(counts.total()), str(counts[True]), str(counts[False])


def _count(inputs: st.SearchStrategy[bytes], accepts: Callable[[bytes], bool], examples: int) -> Counter[bool]:
    """Count accepted (True) and rejected (False) inputs."""
    counts: Counter[bool] = Counter()

    @settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(inputs)
    def read(content: bytes) -> None:
        counts[accepts(content)] += 1

    read()
    return counts


def read_rows(page: Path, name: str) -> list[list[str]]:
    """Return the rows of a page without their header; ``name`` is ``kinds`` or ``fuzz``."""
    with page.with_name(f"{page.stem}_{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


def fill_page(page: Path) -> str:
    """Return the text of the page with its tables filled from its rows."""
    kinds, fuzz = read_rows(page, "kinds"), read_rows(page, "fuzz")
    total = sum(int(inputs) for _, inputs, _, _ in fuzz)
    makers: dict[str, Callable[..., str]] = {
        "counts": lambda: f"{len(kinds)} kinds, {len(fuzz)} readers, {total:,} random inputs.",
        "kinds": lambda: markdown(KIND, [[name, f"`{typed}`", _code(line)] for name, typed, line in kinds]),
        "fuzz": lambda: markdown(
            ("reader", "inputs", "accepted", "rejected"), [*fuzz, ["**all**", str(total), *_sums(fuzz)]]
        ),
    }
    return fill_tables(page, makers)


def _sums(fuzz: Sequence[Row]) -> list[str]:
    return [str(sum(int(row[column]) for row in fuzz)) for column in (2, 3)]


def _code(line: str) -> str:
    """Return a line as code for a Markdown table."""
    return f"`{line.replace('|', chr(92) + '|').replace('`', chr(39))}`"


def main() -> None:
    """Run everything, write the rows, and fill the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.robustness", description=__doc__)
    parser.add_argument("page", type=Path, metavar="FILE.md", help="page; its rows are next to it")
    parser.add_argument("--examples", type=int, default=3000, metavar="N", help="for each reader (default 3000)")
    parser.add_argument("--only", choices=("kinds", "fuzz"), help="update only these rows")
    options = parser.parse_args()
    for name, head, make in (("kinds", KIND, run_kinds), ("fuzz", FUZZ, partial(fuzz_readers, options.examples))):
        if options.only in (None, name):
            rows = list(make())
            with options.page.with_name(f"{options.page.stem}_{name}.csv").open(
                "w", encoding="utf-8", newline=""
            ) as file:
                csv.writer(file, lineterminator="\n").writerows([head, *rows])
    options.page.write_text(fill_page(options.page), encoding="utf-8")


if __name__ == "__main__":
    main()
