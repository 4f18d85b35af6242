"""Terminal report of an evaluation: a table of scoring variants, with baselines, for one regime.

A variant is a metric after a perturbation. A regime is a way to obtain the accuracies, such as full fine-tuning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from transfer_exp.errors import InputError, suggestion
from transfer_exp.evaluation.null_band import null_band, null_deviation
from transfer_exp.evaluation.score_table import ScoreTable
from transfer_exp.evaluation.summary import Summary, summarize
from transfer_exp.report.sweep_table import range_text

Column = Callable[[Summary], str]


def evaluation_report(table: ScoreTable, k: int, control: str | None, top: int) -> Iterator[RenderableType]:
    """Yield the report of one regime: common fields, the table of variants, and the baselines.

    Args:
        table: Scores and accuracies of the regime.
        k: Number of top models in rel@k and recall@k.
        control: Perturbation to compare the others with, such as ``none``; None for no comparison.
        top: Number of rows to show, best first; 0 for all.
    """
    has_several, largest = len(table.datasets) > 1, max(table.model_counts)
    summaries = summarize(table, control if has_several else None)
    title = f"{table.regime or 'accuracies'}: {len(table.datasets)} dataset(s), {largest} models"
    yield Text(title, style="bold")
    yield from (Text(note, style="yellow") for note in table.notes)
    yield from map(Text, _common_fields(table))
    names = [name for name in summaries[0].fields if table.cells[name].nunique() > 1]
    columns: dict[str, Column] = {name: lambda row, name=name: row.fields[name] for name in names}  # type: ignore[misc]
    if any(row.models != (largest, largest) for row in summaries):
        columns["n"] = lambda row: "-".join(str(count) for count in dict.fromkeys(row.models))
    columns |= _columns_over_datasets(table, k) if has_several else _columns_of_one_dataset(k)
    n_compared = sum(row.paired is not None for row in summaries)
    if n_compared:
        columns |= _comparison_columns(str(control))
    yield _layout(summaries[:top] if top > 0 else summaries, columns, len(names))
    if 0 < top < len(summaries):
        yield Text(f"{len(summaries) - top} more rows: --top 0 shows all", style="yellow")
    yield from (Text(line, style="dim") for line in _legend(table, n_compared, control))
    yield from map(Text, _baselines(table, largest))


def select_control(scores: pd.DataFrame, requested: str | None) -> str | None:
    """Return the perturbation to compare with: the requested one, else ``none`` if present, else None.

    Raises:
        InputError: When the scores do not have the requested perturbation.
    """
    available = set(scores.index.get_level_values("perturbation")) if "perturbation" in scores.index.names else set()
    if requested is not None and requested not in available:
        raise InputError(
            f"the scores have no perturbation '{requested}' to compare with: {suggestion(requested, available)}"
        )
    return requested or ("none" if "none" in available else None)


def _common_fields(table: ScoreTable) -> Iterator[str]:
    """Yield the fields with the same value in all rows, and the number of seeds averaged."""
    common = {name: values.iloc[0] for name, values in table.cells.items() if values.nunique() == 1}
    text = ", ".join(f"{name} {value}" for name, value in common.items() if value)
    if text:
        yield f"all rows: {text}"
    if "seed" in table.cells and "seed" not in common:
        seeds = range_text(len(cells) for variant in table.variants.values() for cells in variant.values())
        yield f"mean over {seeds} seeds of the scores"


def _columns_over_datasets(table: ScoreTable, k: int) -> dict[str, Column]:
    return {
        "tau_w": _tau,
        "95 % interval": lambda row: "{:.2f}, {:.2f}".format(*row.tau_interval(table)),
        "above band": lambda row: f"{row.above_band}/{len(row.by_dataset)}",
        f"rel@{k}": lambda row: f"{row.mean(f'rel_at_{k}'):.2f}",
        "regret": lambda row: f"{row.mean('regret'):.3f}",
    }


def _columns_of_one_dataset(k: int) -> dict[str, Column]:
    return {
        "tau_w": _tau,
        "null band": lambda row: f"{row.mean('null_low'):.2f}, {row.mean('null_high'):.2f}",
        "kendall": lambda row: f"{row.mean('kendall'):.2f}",
        "spearman": lambda row: f"{row.mean('spearman'):.2f}",
        f"rel@{k}": lambda row: f"{row.mean(f'rel_at_{k}'):.2f}",
        f"recall@{k}": lambda row: f"{row.mean(f'recall_at_{k}'):.2f}",
        "regret": lambda row: f"{row.mean('regret'):.3f}",
    }


def _comparison_columns(control: str) -> dict[str, Column]:
    return {
        f"vs {control}": lambda row: "" if (p := row.paired) is None else f"{p.mean:+.2f}",
        "w/t/l": lambda row: "" if (p := row.paired) is None else f"{p.wins}/{p.ties}/{p.losses}",
        "p": lambda row: _p_value(row.paired.sign_flip_p if row.paired else None),
        "Holm": lambda row: _p_value(row.holm_p),
    }


def _legend(table: ScoreTable, n_compared: int, control: str | None) -> Iterator[str]:
    """Explain the columns."""
    datasets, minimum_p = len(table.datasets), 2.0 ** (1 - len(table.datasets))
    if datasets > 1:
        yield "Means over datasets; interval over resampled models; above band: number of datasets with tau_w above it."
    if n_compared:
        yield f"vs {control}: difference of tau_w; wins/ties/losses over datasets; p of the sign-flip test, at least"
        yield f"{minimum_p:.2g} for {datasets} datasets, and after Holm's correction for {n_compared} comparisons."


def _baselines(table: ScoreTable, models: int) -> Iterator[str]:
    """Yield the tau_w of rankings that do not use scores."""
    taus, band = list(table.static_taus.values()), null_band(models)
    if taus:
        over = f" over {len(taus)} of {len(table.datasets)} datasets" if len(table.datasets) > 1 else ""
        yield f"static ranking (mean accuracy rank on the other datasets): tau_w {np.mean(taus):.3f}{over}"
    else:
        yield "static ranking: none, because these models have no accuracies on other datasets"
    band_text = "95 % null band [{:.2f}, {:.2f}]".format(*band)
    yield f"random scores: sd {null_deviation(models):.2f} of tau_w on one dataset at {models} models, {band_text}"


def _layout(rows: Sequence[Summary], columns: Mapping[str, Column], n_names: int) -> Table:
    """Lay out the rows; the first ``n_names`` columns are names and aligned left."""
    table = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
    lines = [[column(row) for column in columns.values()] for row in rows]
    for index, name in enumerate(columns):
        heading = name.replace("_", " ") if index < n_names else name
        width = max(map(len, [*(line[index] for line in lines), *heading.split()]))
        table.add_column(heading, justify="left" if index < n_names else "right", max_width=width, overflow="fold")
    for line in lines:
        table.add_row(*map(Text, line))
    return table


def _tau(row: Summary) -> str:
    return "tied" if row.is_tied else f"{row.mean('weighted_tau'):.2f}"


def _p_value(value: float | None) -> str:
    """Return a p-value without the leading zero."""
    return "" if value is None else "1" if value > 0.9995 else f"{value:.3f}".removeprefix("0")
