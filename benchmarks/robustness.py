"""What strangers' files were tried, and what came of it: ``python -m benchmarks.robustness FILE.md``.

It puts every kind of bad input before its command line, gives every reader thousands of files spoiled at random, keeps
both as rows beside the page, and fills the page from them.
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


def tried() -> Iterator[Row]:
    """Yield, for every kind of bad input, its name, the command, and the line that it gets.

    Raises:
        RuntimeError: When one gets anything but one line and exit code 1.
    """
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            code, said = run_kind(kind, Path(folder))
            if code != 1 or said.count("\n") != 1:
                raise RuntimeError(f"{kind.name} ends with code {code} and says {said!r}")
            yield kind.name, kind.command, said.strip().replace(folder, "FOLDER").replace(_PACKAGE, "transfer_exp")


def fuzzed(examples: int) -> Iterator[Row]:
    """Yield, for every reader, how many inputs it was given, took and refused.

    Raises:
        Exception: Whatever a reader raises that is no refusal.
    """
    readers = [(reader.name, reader.inputs, reader.accepts) for reader in READERS]
    for kind in ("arrays", "record"):
        readers.append((f"{kind} of the store", damaged(valid_file(kind)), partial(is_read, kind)))
    for name, inputs, taken in readers:
        counts = _counted(inputs, taken, examples)
        yield name, str(counts.total()), str(counts[True]), str(counts[False])


def _counted(inputs: st.SearchStrategy[bytes], taken: Callable[[bytes], bool], examples: int) -> Counter[bool]:
    """Count what becomes of inputs."""
    counts: Counter[bool] = Counter()

    @settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(inputs)
    def give(content: bytes) -> None:
        counts[taken(content)] += 1

    give()
    return counts


def rows_of(page: Path, name: str) -> list[list[str]]:
    """Return the rows of a page without their head; ``name`` is ``kinds`` or ``fuzz``."""
    with page.with_name(f"{page.stem}_{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


def filled(page: Path) -> str:
    """Return the text of the page with its tables made anew from its rows."""
    kinds, fuzz = rows_of(page, "kinds"), rows_of(page, "fuzz")
    total = sum(int(inputs) for _, inputs, _, _ in fuzz)
    makers: dict[str, Callable[..., str]] = {
        "counts": lambda: f"{len(kinds)} kinds, {len(fuzz)} readers, {total:,} random inputs.",
        "kinds": lambda: markdown(KIND, [[name, f"`{typed}`", _code(line)] for name, typed, line in kinds]),
        "fuzz": lambda: markdown(FUZZ, [*fuzz, ["**all**", str(total), *_sums(fuzz)]]),
    }
    return fill_tables(page, makers)


def _sums(fuzz: Sequence[Row]) -> list[str]:
    return [str(sum(int(row[place]) for row in fuzz)) for place in (2, 3)]


def _code(line: str) -> str:
    """Return a line as code within a table of Markdown."""
    return f"`{line.replace('|', chr(92) + '|').replace('`', chr(39))}`"


def main() -> None:
    """Try everything, keep the rows, and fill the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.robustness", description=__doc__)
    parser.add_argument("page", type=Path, metavar="FILE.md", help="rows lie beside it")
    parser.add_argument("--examples", type=int, default=3000, metavar="N", help="for each reader (default 3000)")
    parser.add_argument("--only", choices=("kinds", "fuzz"), help="leave the other rows as they are")
    asked = parser.parse_args()
    for name, head, make in (("kinds", KIND, tried), ("fuzz", FUZZ, partial(fuzzed, asked.examples))):
        if asked.only in (None, name):
            rows = list(make())
            with asked.page.with_name(f"{asked.page.stem}_{name}.csv").open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows([head, *rows])
    asked.page.write_text(filled(asked.page), encoding="utf-8")


if __name__ == "__main__":
    main()
