"""Fill the tables of a document with benchmark results: ``python -m benchmarks.page docs/results/performance.md``.

A block begins with a comment and ends with ``<!-- end -->``. The comment is ``<!-- speed: FILE.csv -->`` for ratios and
verdicts, ``<!-- bounds: FILE.csv -->`` for bounds and transformer-ranker, and ``<!-- csv: FILE.csv -->`` for the rows
unchanged. The path is relative to the document.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Sequence
from math import isnan
from pathlib import Path

from benchmarks.cases import CASES, MEDIUM, SHAPES, Case
from benchmarks.measure import Timing, read_rows
from transfer_exp.report.markdown import markdown

_BLOCK = re.compile(r"(<!-- (speed|bounds|csv): (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def fill_page(path: Path) -> str:
    """Return the text of a document with its tables filled."""

    def fill(match: re.Match[str]) -> str:
        file = path.parent / match[3]
        tables = {"speed": speed_table, "bounds": bounds_table}
        table = csv_table(file) if match[2] == "csv" else tables[match[2]](read_rows(file))
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


def bounds_table(rows: Sequence[Timing]) -> str:
    """Return Markdown: every metric's bound, our time over the bound's, and transformer-ranker's time over ours."""
    by_key = {(row.case, (row.N, row.D, row.C)): row for row in rows}
    head = ["metric", "bound", *(str(shape) for shape in SHAPES), "transformer-ranker / ours"]
    lines = [head, ["---", "---", *["---:"] * len(SHAPES), "---"]]
    for case in CASES:
        timings = [by_key.get((case.name, shape)) for shape in SHAPES]
        if case.bound is not None and any(row and not isnan(row.bound_s) for row in timings):
            bounds = ["" if row is None else _times(row.ours_s / row.bound_s) for row in timings]
            others = [_times(row.ranker_s / row.ours_s) for row in timings if row and not isnan(row.ranker_s)]
            lines.append([case.name, case.bound.work, *bounds, ", ".join(others)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _times(ratio: float) -> str:
    """Return a ratio with two digits, or nothing for NaN."""
    return "" if isnan(ratio) else f"{ratio:.2g}" if ratio < 10 else f"{ratio:.0f}"


def _ratio(row: Timing | None) -> str:
    """Return the ratio of times, with the number of runs of the reference if there are fewer than five."""
    if row is None:
        return ""
    few = f" ({row.reference_repeats} run{'s' * (row.reference_repeats > 1)})" if row.reference_repeats < 5 else ""
    return f"{_times(row.ratio)}{few}"


def _verdict(case: Case, row: Timing | None) -> tuple[str, str]:
    """Return the aim, with its shape if it is not the usual one, and whether the aim is reached."""
    if not case.aim:
        return "", ""
    aim = f"at least {case.aim:.2g}" + ("" if case.aim_shape == MEDIUM else f" at C = {case.aim_shape[2]}")
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
