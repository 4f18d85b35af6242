"""Fill the tables of a document from stored results: ``python -m studies.stored_rows_pages FILE.md ...``.

A block begins with ``<!-- rows: FILE.csv -->`` (a path relative to the document) and ends with ``<!-- end -->``. Its
contents are replaced by tables of all cells. With filters, as in
``<!-- rows: FILE.csv dataset=digits metric=logme -->``, a block holds one cell as a run prints it.
"""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from itertools import combinations
from pathlib import Path

import numpy as np
from rich.console import Console

from transfer_exp.cli.console import Parser
from transfer_exp.errors import InputError
from transfer_exp.evaluation.correlation import kendall
from transfer_exp.evaluation.ranking import Ranking
from transfer_exp.io.atomic import write_text
from transfer_exp.io.csv import parse_numbers, read_table
from transfer_exp.io.text import read_text
from transfer_exp.report.markdown import markdown
from transfer_exp.report.ranking_table import against_chance, band_text, ranking_table
from transfer_exp.report.record import CELL_COLUMNS, MODEL_COLUMNS
from transfer_exp.results.cell import CellResult, ModelResult

_BLOCK = re.compile(r"(<!-- rows: (\S+)([^>]*) -->\n).*?(<!-- end -->)", re.DOTALL)


def fill_page(path: Path) -> str:
    """Return the text of a document with its blocks filled.

    Raises:
        InputError: When the document has no block, the rows of a block are missing, or its filters do not select
            exactly one cell.
    """
    text = read_text(path)
    if not _BLOCK.search(text):
        raise InputError(f"{path} has no block to fill: mark one with <!-- rows: FILE.csv --> and <!-- end -->")

    def fill(match: re.Match[str]) -> str:
        cells = read_result_rows(path.parent / match[2])
        filters = dict(item.split("=", 1) for item in match[3].split())
        return f"{match[1]}{_console_table(cells, filters) if filters else all_tables(cells)}\n{match[4]}"

    return _BLOCK.sub(fill, text)


def read_result_rows(path: Path) -> list[CellResult]:
    """Read the rows of ``transfer-exp report --rows``, and evaluate each cell again with the default `Ranking`.

    Raises:
        InputError: When the file is missing, lacks a column, or has a score or accuracy that is not a finite number.
    """
    if not path.is_file():
        raise InputError(f"no rows {path}: write them with transfer-exp report SWEEP_DIR --rows {path}")
    frame = read_table(path)
    missing = [key for key in (*CELL_COLUMNS, *MODEL_COLUMNS) if key not in frame]
    if missing:
        raise InputError(f"{path} lacks the column {', '.join(missing)}")
    for key in ("score", "accuracy"):
        column = parse_numbers(frame[key], path)
        frame[key] = column.astype(object).where(column.notna(), None)
    cells = []
    for values, group in frame.groupby(list(CELL_COLUMNS)):
        cell = dict(zip(CELL_COLUMNS, map(str, values), strict=True))
        models = tuple(ModelResult(*row) for row in group[list(MODEL_COLUMNS)].itertuples(index=False))
        agreement = Ranking()(cell["metric"], models)
        cells.append(
            CellResult(cell, models, agreement.measures, agreement.null_band, agreement.tied, agreement.null_level)
        )
    return cells


def all_tables(cells: Sequence[CellResult]) -> str:
    """Return Markdown: tau_w of every cell, the accuracies of every model, and the agreement of targets."""
    return "\n\n".join([_tau_table(cells), _accuracy_table(cells), _agreement_table(cells)])


def _console_table(cells: Sequence[CellResult], filters: Mapping[str, str]) -> str:
    """Return a code block with one cell as a run prints it on 80 columns."""
    matches = [cell for cell in cells if filters.items() <= cell.cell.items()]
    if len(matches) != 1:
        raise InputError(f"{len(matches)} cells match {filters}: a block needs exactly one")
    text = StringIO()
    Console(file=text, width=80).print(ranking_table(matches[0]))
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    return "\n".join(["```", *lines, "```"])


def _tau_table(cells: Sequence[CellResult]) -> str:
    """Return tau_w by dataset and perturbation (rows) and metric (columns), bold outside the null band."""
    metrics = _values(cells, "metric")
    by_key = {(c.cell["dataset"], c.cell["perturbation"], c.cell["metric"]): c for c in cells}
    rows = [
        [dataset, perturbation, *(_tau_text(by_key.get((dataset, perturbation, metric))) for metric in metrics)]
        for dataset in _values(cells, "dataset")
        for perturbation in _values(cells, "perturbation")
    ]
    bands = sorted({f"{band_text(c)} for {c.compared} models" for c in cells if c.null_band is not None})
    note = f"tau_w; bold: outside the {' or '.join(bands)}." if bands else "No ground truth."
    return f"{markdown(['dataset', 'perturbation', *metrics], rows)}\n\n{note}"


def _tau_text(cell: CellResult | None) -> str:
    if cell is None or "weighted_tau" not in cell.measures:
        return ""
    text = f"{cell.measures['weighted_tau']:.2f}"
    return f"**{text}**" if against_chance(cell).endswith("than chance") else text


def _accuracy_table(cells: Sequence[CellResult]) -> str:
    """Return the accuracy of every model on every dataset, the best of each in bold."""
    by_dataset = _accuracies(cells)
    models = [m.model for m in cells[0].models]
    best = {dataset: max(accuracies.values()) for dataset, accuracies in by_dataset.items()}
    rows = [[model, *(_accuracy_text(by_dataset[d].get(model), best[d]) for d in by_dataset)] for model in models]
    ranges = ["best minus worst", *(f"{max(a.values()) - min(a.values()):.3f}" for a in by_dataset.values())]
    return markdown(["model", *by_dataset], [*rows, ranges])


def _accuracy_text(value: float | None, best: float) -> str:
    text = "" if value is None else f"{value:.3f}"
    return f"**{text}**" if value == best else text


def _agreement_table(cells: Sequence[CellResult]) -> str:
    """Return Kendall's tau between the accuracies of every two datasets; 1 means the same ranking on both."""
    rows = []
    for (name1, accuracies1), (name2, accuracies2) in combinations(_accuracies(cells).items(), 2):
        shared = sorted(accuracies1.keys() & accuracies2.keys())
        pair = (np.array([accuracies[model] for model in shared]) for accuracies in (accuracies1, accuracies2))
        rows.append([name1, name2, f"{kendall(*pair):.2f}"])
    return markdown(["target", "target", "Kendall's tau of the accuracies"], rows)


def _accuracies(cells: Sequence[CellResult]) -> dict[str, dict[str, float]]:
    """Return accuracies by dataset and model; they are the same in all cells of a dataset."""
    return {
        cell.cell["dataset"]: {m.model: m.accuracy for m in cell.models if m.accuracy is not None} for cell in cells
    }


def _values(cells: Iterable[CellResult], field: str) -> list[str]:
    """Return the values of a field in order, ``none`` first."""
    return sorted({cell.cell[field] for cell in cells}, key=lambda value: (value != "none", value))


def main() -> int:
    """Fill the documents of the command line, and return the exit code."""
    parser = Parser(prog="python -m studies.stored_rows_pages", description=__doc__)
    parser.add_argument("documents", type=Path, nargs="+", metavar="FILE.md")
    return parser.run(_fill)


def _fill(options: Namespace) -> None:
    for path in options.documents:
        write_text(path, fill_page(path))


if __name__ == "__main__":
    sys.exit(main())
