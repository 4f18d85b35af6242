"""Fill the generated blocks of a document from stored rows: ``python -m studies.stored_rows_pages FILE.md ...``.

A block begins with ``<!-- rows: FILE.csv -->`` (a path beside the document) and ends with ``<!-- end -->``; what lies
between is replaced by tables. With filters, as in
``<!-- rows: FILE.csv dataset=digits metric=logme -->``, a block shows one cell as a run prints it.
"""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence
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


def filled(path: Path) -> str:
    """Return the text of a document with its blocks filled.

    Raises
    ------
    InputError
        When the document has no block, or a block's rows are missing or do not hold the one cell it asks for.
    """
    text = read_text(path)
    if not _BLOCK.search(text):
        raise InputError(f"{path} has no block to fill: mark one with <!-- rows: FILE.csv --> and <!-- end -->")

    def fill(match: re.Match[str]) -> str:
        cells = read_result_rows(path.parent / match[2])
        wanted = dict(item.split("=", 1) for item in match[3].split())
        return f"{match[1]}{_printed(cells, wanted) if wanted else tables(cells)}\n{match[4]}"

    return _BLOCK.sub(fill, text)


def read_result_rows(path: Path) -> list[CellResult]:
    """Read the rows of ``transfer-exp report --rows``, and evaluate each cell again with the default `Ranking`.

    Raises
    ------
    InputError
        If the file is missing, lacks a column, or has a score or accuracy that is not a finite number.
    """
    if not path.is_file():
        raise InputError(f"no rows {path}: write them with transfer-exp report SWEEP_DIR --rows {path}")
    frame = read_table(path, dtype=str, keep_default_na=False)
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


def tables(cells: Sequence[CellResult]) -> str:
    """Return Markdown: tau_w of every cell, the accuracies of every model, and how much targets agree."""
    return "\n\n".join([_taus(cells), _accuracies(cells), _agreement(cells)])


def _printed(cells: Sequence[CellResult], wanted: dict[str, str]) -> str:
    """Return one cell as a run prints it on 80 columns, fenced."""
    chosen = [cell for cell in cells if wanted.items() <= cell.cell.items()]
    if len(chosen) != 1:
        raise InputError(f"{len(chosen)} cells have {wanted}: a block shows exactly one")
    text = StringIO()
    Console(file=text, width=80).print(ranking_table(chosen[0]))
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    return "\n".join(["```", *lines, "```"])


def _taus(cells: Sequence[CellResult]) -> str:
    """Return tau_w of every cell: dataset and perturbation down, metrics across, bold outside the null band."""
    metrics = _values(cells, "metric")
    by_place = {(c.cell["dataset"], c.cell["perturbation"], c.cell["metric"]): c for c in cells}
    rows = [
        [dataset, perturbation, *(_tau(by_place.get((dataset, perturbation, metric))) for metric in metrics)]
        for dataset in _values(cells, "dataset")
        for perturbation in _values(cells, "perturbation")
    ]
    bands = sorted({f"{band_text(c)} for {c.compared} models" for c in cells if c.null_band is not None})
    note = f"tau_w; bold lies outside the {' or '.join(bands)}." if bands else "No ground truth."
    return f"{markdown(['dataset', 'perturbation', *metrics], rows)}\n\n{note}"


def _tau(cell: CellResult | None) -> str:
    if cell is None or "weighted_tau" not in cell.measures:
        return ""
    text = f"{cell.measures['weighted_tau']:.2f}"
    return f"**{text}**" if against_chance(cell).endswith("than chance") else text


def _accuracies(cells: Sequence[CellResult]) -> str:
    """Return the accuracy of every model on every dataset, the best of each in bold."""
    known = _by_dataset(cells)
    models = [m.model for m in cells[0].models]
    best = {dataset: max(accuracies.values()) for dataset, accuracies in known.items()}
    rows = [[model, *(_accuracy(known[d].get(model), best[d]) for d in known)] for model in models]
    spread = ["spread", *(f"{max(a.values()) - min(a.values()):.3f}" for a in known.values())]
    return markdown(["model", *known], [*rows, spread])


def _accuracy(value: float | None, best: float) -> str:
    text = "" if value is None else f"{value:.3f}"
    return f"**{text}**" if value == best else text


def _agreement(cells: Sequence[CellResult]) -> str:
    """Return Kendall's tau between the accuracies of every two datasets: 1 would mean that one ranking serves all."""
    rows = []
    for (one, first), (other, second) in combinations(_by_dataset(cells).items(), 2):
        shared = sorted(first.keys() & second.keys())
        pair = (np.array([a[model] for model in shared]) for a in (first, second))
        rows.append([one, other, f"{kendall(*pair):.2f}"])
    return markdown(["target", "target", "Kendall's tau of the accuracies"], rows)


def _by_dataset(cells: Sequence[CellResult]) -> dict[str, dict[str, float]]:
    """Return accuracies by dataset and model; they are the same in all cells of a dataset."""
    return {
        cell.cell["dataset"]: {m.model: m.accuracy for m in cell.models if m.accuracy is not None} for cell in cells
    }


def _values(cells: Iterable[CellResult], field: str) -> list[str]:
    """Return the values of a field in order, ``none`` first."""
    return sorted({cell.cell[field] for cell in cells}, key=lambda value: (value != "none", value))


def main() -> int:
    """Fill the documents named on the command line, and return the exit code."""
    parser = Parser(prog="python -m studies.stored_rows_pages", description=__doc__)
    parser.add_argument("documents", type=Path, nargs="+", metavar="FILE.md")
    return parser.run(_fill)


def _fill(asked: Namespace) -> None:
    for path in asked.documents:
        write_text(path, filled(path))


if __name__ == "__main__":
    sys.exit(main())
