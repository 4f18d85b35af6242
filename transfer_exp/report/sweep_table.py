"""A sweep in the terminal: one value per cell, and what each perturbation changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from transfer_exp.report.sweep_cells import mean_over_seeds, none_first, paired_change, row_fields

_NOTES = {
    "*": "* outside the null band",
    "=": "= tied: all scores (or accuracies) equal",
    "!": "! some seeds failed",
    "no tau": "no tau: fewer than two models with both score and accuracy",
    "±": "± standard deviation over seeds",
}


@dataclass(frozen=True, eq=False)
class SweepTable:
    """A table with metrics as columns, for `rich.console.Console.print`: split into several where they do not fit.

    Attributes
    ----------
    title
        Printed above.
    headings
        Of the columns that name a row.
    rows
        What names each row, one string per heading.
    metrics
        Of the other columns.
    entry
        Gives the text at a row and a metric.
    notes
        Explanations by the mark they explain; printed below when an entry has the mark.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    metrics: Sequence[str]
    entry: Callable[[Sequence[str], str], str]
    notes: Mapping[str, str] = field(default_factory=dict)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text | Table]:
        """Yield the title, the table in as many parts as its width takes, and the marks it uses."""
        yield Text(self.title, style="bold")
        left = list(self.metrics)
        while left:
            fitting = len(left)
            while fitting > 1 and self._width(console, options, left[:fitting]) > options.max_width:
                fitting -= 1
            yield self._table(left[:fitting])
            left = left[fitting:]
            if left:
                yield Text()
        shown = "\n".join(self.entry(row, metric) for row in self.rows for metric in self.metrics)
        yield from (Text(note, style="dim") for mark, note in self.notes.items() if mark in shown)

    def _width(self, console: Console, options: ConsoleOptions, metrics: Sequence[str]) -> int:
        """Return how many columns of the terminal the table takes with these metrics, nothing folded."""
        return Measurement.get(console, options.update(width=10_000), self._table(metrics)).maximum

    def _table(self, metrics: Sequence[str]) -> Table:
        """Lay out some of the metrics, naming a dataset once, on its first row."""
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
        for heading in self.headings:
            table.add_column(heading, overflow="fold", max_width=26)
        for metric in metrics:
            table.add_column(Text(_breakable(metric), overflow="fold"), max_width=20)
        above: Sequence[str] = ("",)
        for row in self.rows:
            repeated = len(row) > 1 and row[0] == above[0]
            if len(row) > 1 and above[0] not in ("", row[0]):
                table.add_section()
            names = ["" if repeated else row[0], *row[1:]]
            table.add_row(*(Text(_breakable(name)) for name in names), *(Text(self.entry(row, m)) for m in metrics))
            above = row
        return table


def _breakable(label: str) -> str:
    """Let a long label such as ``attract(alpha=0.1,sigma=0.6)`` break after a comma."""
    return label.replace(",", ", ").replace(",  ", ", ")


def sweep_table(frame: pd.DataFrame) -> SweepTable:
    """Return weighted tau with a row per dataset and perturbation (and whatever else varies), a column per metric.

    Parameters
    ----------
    frame
        As `collect` gives it. Cells that differ only in the seed are averaged.
    """
    merged, keys = mean_over_seeds(frame), row_fields(frame)
    texts = {(*(row[key] for key in keys), row["metric"]): _entry(row) for _, row in merged.iterrows()}
    order = {name: i for i, name in enumerate(none_first(frame["perturbation"]))}
    rows = sorted({key[:-1] for key in texts}, key=lambda row: (row[0], *row[2:], order[row[1]]))
    seeds = int(merged["seeds"].max())
    title = "tau_w" if seeds < 2 else f"tau_w, mean over {seeds} seeds"
    return SweepTable(title, keys, rows, none_first(frame["metric"]), lambda row, m: texts.get((*row, m), ""), _NOTES)


def change_table(frame: pd.DataFrame) -> SweepTable | None:
    """Return the paired mean change of weighted tau from perturbation ``none``, or None when there is no pair."""
    change = paired_change(frame)
    if change.empty:
        return None
    texts = {(row["perturbation"], row["metric"]): _change(row) for _, row in change.iterrows()}
    rows = [(label,) for label in none_first(change["perturbation"])]
    title = "change of tau_w from none: mean over pairs ± standard error (pairs)"
    metrics = none_first(change["metric"])
    return SweepTable(title, ["perturbation"], rows, metrics, lambda row, m: texts.get((row[0], m), ""))


def _entry(row: pd.Series) -> str:
    """Write one value with its marks."""
    if row["seeds"] == 0:
        return "failed" if row["failed"] else "no tau"
    mark = "=" if row["tied"] else "*" if row["outside"] else " "
    deviation = "" if math.isnan(row["deviation"]) else f" ±{row['deviation']:.2f}"
    return f"{row['weighted_tau']:5.2f}{mark}{deviation}{'!' if row['failed'] else ''}"


def _change(row: pd.Series) -> str:
    """Write one change with its error and the number of pairs."""
    error = "" if math.isnan(row["error"]) else f" ±{row['error']:.2f}"
    return f"{row['change']:+.2f}{error} ({row['pairs']})"
