"""Fill the tables of a document with benchmark results: ``python -m benchmarks.page docs/results/performance.md``.

A block begins with ``<!-- speed: FILE.csv -->`` (ratios and verdicts) or ``<!-- csv: FILE.csv -->`` (the rows
unchanged) and ends with ``<!-- end -->``. The path is relative to the document.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cases import CASES, SHAPES, Case
from benchmarks.measure import Timing, read_rows
from transfer_exp.report.markdown import markdown

_BLOCK = re.compile(r"(<!-- (speed|csv): (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def fill_page(path: Path) -> str:
    """Return the text of a document with its tables filled."""

    def fill(match: re.Match[str]) -> str:
        file = path.parent / match[3]
        table = speed_table(read_rows(file)) if match[2] == "speed" else csv_table(file)
        return f"{match[1]}{table}\n{match[4]}"

    return _BLOCK.sub(fill, path.read_text(encoding="utf-8"))


def csv_table(path: Path) -> str:
    """Return a CSV file as a Markdown table."""
    with path.open(newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    return markdown(head, rows)


def speed_table(rows: Sequence[Timing]) -> str:
    """Return Markdown: the ratio of every comparison at each shape, the aim, and whether it is reached."""
    by_key = {(row.case, (row.N, row.D, row.C)): row for row in rows}
    head = ["comparison", *(str(shape) for shape in SHAPES), "aim", ""]
    lines = [head, ["---", *["---:"] * len(SHAPES), "---", "---"]]
    for case in CASES:
        ratios = [_ratio(by_key.get((case.name, shape))) for shape in SHAPES]
        lines.append([case.name, *ratios, *_verdict(case, by_key.get((case.name, case.aim_shape)))])
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", _notes(rows)])


def _ratio(row: Timing | None) -> str:
    """Return the ratio of times, with the number of runs of the reference if there are fewer than five."""
    if row is None:
        return ""
    few = f" ({row.reference_repeats} run{'s' * (row.reference_repeats > 1)})" if row.reference_repeats < 5 else ""
    return f"{row.ratio:.2g}{few}" if row.ratio < 10 else f"{row.ratio:.0f}{few}"


def _verdict(case: Case, row: Timing | None) -> tuple[str, str]:
    """Return the aim, with its shape if it is not the usual one, and whether the aim is reached."""
    if not case.aim:
        return "", ""
    aim = f"at least {case.aim:.2g}" + ("" if case.aim_shape == SHAPES[1] else f" at C = {case.aim_shape[2]}")
    if row is None:
        return aim, "not measured"
    return aim, "reached" if row.ratio >= case.aim else "**not reached**"


def _notes(rows: Sequence[Timing]) -> str:
    """Return the largest difference between ours and a reference, the numbers of runs, and the threads."""
    not_comparable = {case.name for case in CASES if case.tolerance == float("inf")}
    worst = max((row for row in rows if row.case not in not_comparable), key=lambda row: row.difference)
    threads = sorted({row.threads for row in rows})
    return (
        f"Largest relative difference between ours and a reference: {worst.difference:.0e} (`{worst.case}`). "
        f"Medians of {min(row.repeats for row in rows)} to {max(row.repeats for row in rows)} runs of ours; "
        f"threads: {' or '.join(map(str, threads))}."
    )


def main() -> None:
    """Fill the documents of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("documents", type=Path, nargs="+", metavar="FILE.md")
    for path in parser.parse_args().documents:
        path.write_text(fill_page(path), encoding="utf-8")


if __name__ == "__main__":
    main()
