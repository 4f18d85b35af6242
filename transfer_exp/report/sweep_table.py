"""Terminal tables of a sweep: weighted tau (tau_w) by dataset, perturbation and metric; its changes; and by shots.

Shots are a number of training images of each class.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text
from scipy.stats import t as student_t

from transfer_exp.report.sweep_cells import mean_over_seeds, none_first, paired_change, row_fields

SHOTS = "shots"
_ALL = "None"
"""Value of the setting ``shots`` for all training images."""
_NOTES = {
    "*": "* outside the null band of one run, the range for random scores",
    "=": "= tied: all scores (or accuracies) are equal",
    "!": "! some seeds did not finish",
    "no tau": "no tau: fewer than two models with both score and accuracy",
    "±": "± standard deviation over seeds",
}


@dataclass(frozen=True, eq=False)
class SweepTable:
    """A table with metrics as columns for `rich.console.Console.print`, split into several if it is too wide.

    Attributes:
        title: Line above the table.
        headings: Headings of the columns that name a row.
        rows: Names of each row, one per heading.
        metrics: Headings of the other columns.
        entry: Returns the text of a row and a metric.
        notes: Explanations by mark; a note is printed if an entry contains its mark.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    metrics: Sequence[str]
    entry: Callable[[Sequence[str], str], str]
    notes: Mapping[str, str] = field(default_factory=dict)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text | Table]:
        """Yield the title, the table in as many parts as the width requires, and the notes."""
        yield Text(self.title, style="bold")
        remaining = list(self.metrics)
        while remaining:
            fitting = len(remaining)
            while fitting > 1 and self._width(console, options, remaining[:fitting]) > options.max_width:
                fitting -= 1
            yield self._table(remaining[:fitting])
            remaining = remaining[fitting:]
            if remaining:
                yield Text()
        entries = "\n".join(self.entry(row, metric) for row in self.rows for metric in self.metrics)
        yield from (Text(note, style="dim") for mark, note in self.notes.items() if mark in entries)

    def _width(self, console: Console, options: ConsoleOptions, metrics: Sequence[str]) -> int:
        """Return the width of the table with these metrics if nothing is folded."""
        return Measurement.get(console, options.update(width=10_000), self._table(metrics)).maximum

    def _table(self, metrics: Sequence[str]) -> Table:
        """Return the table of some metrics, with a dataset's name on its first row only."""
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
        for heading in self.headings:
            table.add_column(heading, overflow="fold", max_width=26)
        for metric in metrics:
            table.add_column(Text(_breakable(metric), overflow="fold"), max_width=20)
        previous: Sequence[str] = ("",)
        for row in self.rows:
            repeats = len(row) > 1 and row[0] == previous[0]
            if len(row) > 1 and previous[0] not in ("", row[0]):
                table.add_section()
            names = ["" if repeats else row[0], *row[1:]]
            table.add_row(*(Text(_breakable(name)) for name in names), *(Text(self.entry(row, m)) for m in metrics))
            previous = row
        return table


def sweep_table(frame: pd.DataFrame) -> SweepTable:
    """Return weighted taus of the cells from `collect`, means over seeds: rows by `row_fields`, columns by metric."""
    means, fields = mean_over_seeds(frame), row_fields(frame)
    entries = {(*(row[name] for name in fields), row["metric"]): _tau_entry(row) for _, row in means.iterrows()}
    order = {name: i for i, name in enumerate(none_first(frame["perturbation"]))}
    # By dataset, then by the other fields, so that the perturbations to compare are in adjacent rows.
    rows = sorted({key[:-1] for key in entries}, key=lambda row: (row[0], *map(_sort_key, row[2:]), order[row[1]]))
    seeds = range_text(means["seeds"])
    title = "tau_w" if seeds in ("0", "1") else f"tau_w, mean over {seeds} seeds"
    metrics = sorted(set(frame["metric"]))
    return SweepTable(title, fields, rows, metrics, lambda row, m: entries.get((*row, m), ""), _NOTES)


def _sort_key(value: str) -> tuple[bool, float, str]:
    """Return a key that sorts numbers by their size, and before texts."""
    is_number = re.fullmatch(r"-?\d+(\.\d+)?", value, re.ASCII) is not None
    return not is_number, float(value) if is_number else 0.0, value


def range_text(counts: Iterable[int]) -> str:
    """Return the range of counts other than 0, such as ``3`` or ``2 to 3``; ``0`` without any."""
    values = sorted({int(count) for count in counts} - {0}) or [0]
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"


def change_table(frame: pd.DataFrame) -> SweepTable | None:
    """Return the mean change of weighted tau from perturbation ``none`` over pairs of cells, or None without a pair."""
    changes = paired_change(frame)
    if changes.empty:
        return None
    entries = {(row["perturbation"], row["metric"]): _change_entry(row) for _, row in changes.iterrows()}
    rows = [(label,) for label in none_first(changes["perturbation"])]
    title = "change of tau_w from perturbation none: mean ± standard error (number of pairs)"
    metrics = sorted(set(changes["metric"]))
    return SweepTable(title, ["perturbation"], rows, metrics, lambda row, m: entries.get((row[0], m), ""))


def _tau_entry(row: pd.Series) -> str:
    """Return a tau with its marks and its deviation over seeds."""
    if row["seeds"] == 0:
        return "failed" if row["failed"] else "no tau"
    mark = "=" if row["tied"] else "*" if row["outside"] else " "
    deviation = "" if math.isnan(row["deviation"]) else f" ±{row['deviation']:.2f}"
    return f"{row['weighted_tau']:5.2f}{mark}{deviation}{'!' if row['failed'] else ''}"


def _change_entry(row: pd.Series) -> str:
    """Return a change with its error and the number of pairs."""
    error = "" if math.isnan(row["error"]) else f" ±{row['error']:.2f}"
    return f"{row['change']:+.2f}{error} ({row['pairs']})"


def _breakable(label: str) -> str:
    """Allow a line break after the commas of a label such as ``attract(alpha=0.1,sigma=0.6)``."""
    return label.replace(",", ", ").replace(",  ", ", ")


def shots_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the mean tau_w for each number of shots over the seeds of a sweep.

    A seed draws other images of each class. The interval is that of the mean, by Student's t over the seeds. It does
    not include that other models would have other taus.

    Args:
        frame: Cells from `transfer_exp.report.sweep_cells.collect`.

    Returns:
        ``dataset``, ``perturbation``, every other field that varies, ``metric``, ``shots`` (a whole number, or missing
        for all images, which come last), ``tau`` (mean), ``tau_low_95`` and ``tau_high_95`` (missing for one draw) and
        the number of ``draws``. Empty unless the sweep varies ``shots``.
    """
    if SHOTS not in row_fields(frame):
        return pd.DataFrame()
    keys = [name for name in row_fields(frame) if name != SHOTS] + ["metric"]
    cells = frame.assign(shots=pd.to_numeric(frame[SHOTS].where(frame[SHOTS] != _ALL), errors="coerce").astype("Int64"))
    taus = cells.groupby([*keys, SHOTS], dropna=False)["weighted_tau"].agg(tau="mean", error="sem", draws="count")
    means = taus.reset_index().dropna(subset=["tau"])
    half_width = student_t.ppf(0.975, means["draws"] - 1) * means["error"]  # NaN for one draw
    means = means.assign(tau_low_95=means["tau"] - half_width, tau_high_95=means["tau"] + half_width)
    columns = [*keys, SHOTS, "tau", "tau_low_95", "tau_high_95", "draws"]
    return means.sort_values([*keys, SHOTS], kind="stable", na_position="last", ignore_index=True)[columns]


def shots_table(means: pd.DataFrame) -> SweepTable | None:
    """Return a table of the means of `shots_frame` with a column for each number of shots; None without rows."""
    if means.empty:
        return None
    fields = list(means.columns[: means.columns.get_loc(SHOTS)])
    entries = {(*(row[name] for name in fields), shots_text(row[SHOTS])): _interval(row) for _, row in means.iterrows()}
    rows = list(dict.fromkeys(key[:-1] for key in entries))
    sizes = sorted(means[SHOTS].dropna().unique()) + [pd.NA] * int(means[SHOTS].isna().any())
    title = f"tau_w by images per class, mean [95 % interval] over {range_text(means['draws'])} draws"
    return SweepTable(
        title, fields, rows, [shots_text(size) for size in sizes], lambda row, m: entries.get((*row, m), "")
    )


def shots_text(shots: Any) -> str:
    """Return a number of shots as text, and ``all`` where it is missing."""
    return "all" if pd.isna(shots) else str(shots)


def _interval(row: pd.Series) -> str:
    """Return a mean with its interval, if it has one."""
    if pd.isna(row["tau_low_95"]):
        return f"{row['tau']:.2f}"
    return f"{row['tau']:.2f} [{row['tau_low_95']:.2f}, {row['tau_high_95']:.2f}]"
