"""Fill the tables of a document from measured rows: ``python -m benchmarks.page docs/results/performance.md``.

A table stands between ``<!-- speed: FILE.csv -->`` (a path beside the document; ratios and verdicts) or
``<!-- csv: FILE.csv -->`` (the rows as they are) and ``<!-- end -->``.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cases import CASES, SHAPES, Case
from benchmarks.measure import Row, read_rows

_BLOCK = re.compile(r"(<!-- (speed|csv): (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(path: Path) -> str:
    """Return the text of a document with its tables filled."""
    text = path.read_text(encoding="utf-8")

    def block(found: re.Match[str]) -> str:
        file = path.parent / found[3]
        return f"{found[1]}{table(read_rows(file)) if found[2] == 'speed' else plain(file)}\n{found[4]}"

    return _BLOCK.sub(block, text)


def plain(path: Path) -> str:
    """Return a CSV as a Markdown table."""
    with path.open(newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))


def table(rows: Sequence[Row]) -> str:
    """Return Markdown: for every comparison its ratio at each shape, the aim, and whether it is reached."""
    by_place = {(row.what, (row.N, row.D, row.C)): row for row in rows}
    head = ["comparison", *(str(shape) for shape in SHAPES), "aim", ""]
    lines = [head, ["---", *["---:"] * len(SHAPES), "---", "---"]]
    for case in CASES:
        cells = [_ratio(by_place.get((case.what, shape))) for shape in SHAPES]
        lines.append([case.what, *cells, *_verdict(case, by_place.get((case.what, case.at)))])
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", _notes(rows)])


def _ratio(row: Row | None) -> str:
    """Return how many times as fast ours is, and over how many runs of the reference where these are few."""
    if row is None:
        return ""
    few = f" ({row.reference_repeats} run{'s' * (row.reference_repeats > 1)})" if row.reference_repeats < 5 else ""
    return f"{row.ratio:.2g}{few}" if row.ratio < 10 else f"{row.ratio:.0f}{few}"


def _verdict(case: Case, row: Row | None) -> tuple[str, str]:
    """Return the aim in words, with its shape where that is not the usual one, and whether it is reached."""
    if not case.aim:
        return "", ""
    aim = f"at least {case.aim:.2g}" + ("" if case.at == SHAPES[1] else f" at C = {case.at[2]}")
    if row is None:
        return aim, "not measured"
    return aim, "reached" if row.ratio >= case.aim else "**not reached**"


def _notes(rows: Sequence[Row]) -> str:
    """Return the largest difference between ours and a reference, the runs, and the threads."""
    infinite = {case.what for case in CASES if case.tolerance == float("inf")}
    worst = max((row for row in rows if row.what not in infinite), key=lambda row: row.difference)
    threads = sorted({row.threads for row in rows})
    return (
        f"Largest relative difference between ours and a reference: {worst.difference:.0e} (`{worst.what}`). "
        f"Medians of {min(row.repeats for row in rows)} to {max(row.repeats for row in rows)} runs of ours, "
        f"threads: {' or '.join(map(str, threads))}."
    )


def main() -> None:
    """Fill the documents named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("documents", type=Path, nargs="+", metavar="FILE.md")
    for path in parser.parse_args().documents:
        path.write_text(filled(path), encoding="utf-8")


if __name__ == "__main__":
    main()
