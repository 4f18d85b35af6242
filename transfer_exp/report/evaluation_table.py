"""An evaluation in the terminal: a table for every regime, and the baselines that it takes to beat."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from transfer_exp.errors import InputError, suggestion
from transfer_exp.evaluation.null_band import null_band, null_deviation
from transfer_exp.evaluation.score_table import Joined
from transfer_exp.evaluation.summary import Summary, interval, summaries

Column = Callable[[Summary], str]


def shown(joined: Joined, k: int, against: str | None, top: int) -> Iterator[RenderableType]:
    """Yield what to print of one regime: what all rows share, the rows, and the baselines.

    Parameters
    ----------
    joined
        The cells of the regime.
    k
        Of rel@k.
    against
        The perturbation that the others are compared with; None for no comparison.
    top
        How many rows to show, best first; all if 0.
    """
    several, largest = len(joined.datasets) > 1, max(joined.sizes)
    rows = summaries(joined, against if several else None)
    title = f"{joined.truth.regime or 'accuracies'}: {len(joined.datasets)} dataset(s), {largest} models"
    yield Text(title, style="bold")
    yield from (Text(note, style="yellow") for note in joined.notes)
    yield from map(Text, _in_all_rows(joined))
    names = [name for name in rows[0].fields if joined.cells[name].nunique() > 1]
    columns: dict[str, Column] = {name: partial(_field, name=name) for name in names}
    if any(row.models != (largest, largest) for row in rows):
        columns["n"] = _models
    columns |= _over_datasets(joined, k) if several else _on_one(k)
    compared = [row for row in rows if row.paired is not None]
    if compared:
        columns |= _against(str(against))
    yield _table(rows[:top] if top > 0 else rows, columns, len(names))
    if 0 < top < len(rows):
        yield Text(f"{len(rows) - top} more rows: --top 0 shows all", style="yellow")
    yield from (Text(line, style="dim") for line in _legend(joined, len(compared), against))
    yield from map(Text, _baselines(joined, largest))


def control_of(scores: pd.DataFrame, asked: str | None) -> str | None:
    """Return the perturbation to compare with: the one asked for, else ``none`` if there is one, or no comparison.

    Raises
    ------
    InputError
        When the one asked for is not there.
    """
    known = set(scores.index.get_level_values("perturbation")) if "perturbation" in scores.index.names else set()
    if asked is not None and asked not in known:
        raise InputError(f"the scores have no perturbation '{asked}' to compare with: {suggestion(asked, known)}")
    return asked or ("none" if "none" in known else None)


def _in_all_rows(joined: Joined) -> Iterator[str]:
    """Say which fields are the same everywhere, and which are averaged over unseen."""
    same = {name: values.iloc[0] for name, values in joined.cells.items() if values.nunique() == 1}
    told = ", ".join(f"{name} {value}" for name, value in same.items() if value)
    if told:
        yield f"all rows: {told}"
    if "seed" in joined.cells and "seed" not in same:
        yield f"mean over {joined.cells['seed'].nunique()} seeds of the scores"


def _over_datasets(joined: Joined, k: int) -> dict[str, Column]:
    """Return the columns of means over datasets."""
    return {
        "tau_w": _tau,
        "95 % interval": lambda row: "{:.2f}, {:.2f}".format(*interval(row, joined)),
        "above band": lambda row: f"{row.above}/{len(row.by_dataset)}",
        f"rel@{k}": lambda row: f"{row.mean(f'rel_at_{k}'):.2f}",
        "regret": lambda row: f"{row.mean('regret'):.3f}",
    }


def _on_one(k: int) -> dict[str, Column]:
    """Return the columns of a single dataset: all of an `Agreement` but near synonyms."""
    measures = {
        "kendall": "kendall",
        "spearman": "spearman",
        f"rel@{k}": f"rel_at_{k}",
        f"recall@{k}": f"recall_at_{k}",
    }
    return {
        "tau_w": _tau,
        "null band": lambda row: f"{row.mean('null_low'):.2f}, {row.mean('null_high'):.2f}",
        **{heading: partial(_mean, measure=measure) for heading, measure in measures.items()},
        "regret": lambda row: f"{row.mean('regret'):.3f}",
    }


def _against(control: str) -> dict[str, Column]:
    """Return the columns of the comparison with a control."""
    return {
        f"vs {control}": lambda row: "" if (p := row.paired) is None else f"{p.mean:+.2f}",
        "w/t/l": lambda row: "" if (p := row.paired) is None else f"{p.wins}/{p.ties}/{p.losses}",
        "p": lambda row: _p(row.paired.permutation_p if row.paired else None),
        "Holm": lambda row: _p(row.holm_p),
    }


def _legend(joined: Joined, compared: int, against: str | None) -> Iterator[str]:
    """Explain the columns."""
    datasets, least = len(joined.datasets), 2.0 ** (1 - len(joined.datasets))
    if datasets > 1:
        yield "Means over datasets; interval over resampled models; above band: on how many datasets tau_w is."
    if compared:
        yield f"vs {against}: difference of tau_w; wins/ties/losses over datasets; p of flipped signs, at least"
        yield f"{least:.2g} for {datasets} datasets, and after Holm's correction for {compared} comparisons."


def _baselines(joined: Joined, models: int) -> Iterator[str]:
    """Say what rankings reach that look at no score."""
    taus, low_high = list(joined.static.values()), null_band(models)
    if taus:
        over = f" over {len(taus)} of {len(joined.datasets)} datasets" if len(joined.datasets) > 1 else ""
        yield f"static ranking (mean accuracy rank on the other datasets): tau_w {np.mean(taus):.3f}{over}"
    else:
        yield "static ranking: none, there are no accuracies of these models on other datasets"
    band = "95 % null band [{:.2f}, {:.2f}]".format(*low_high)
    yield f"random scores: sd {null_deviation(models):.2f} of tau_w on one dataset at {models} models, {band}"


def _table(rows: Sequence[Summary], columns: Mapping[str, Column], names: int) -> Table:
    """Lay out the rows; the first columns are names."""
    table = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
    lines = [[column(row) for column in columns.values()] for row in rows]
    for place, heading in enumerate(columns):
        words = heading.replace("_", " ") if place < names else heading
        widest = max(map(len, [*(line[place] for line in lines), *words.split()]))
        table.add_column(words, justify="left" if place < names else "right", max_width=widest, overflow="fold")
    for line in lines:
        table.add_row(*map(Text, line))
    return table


def _field(row: Summary, name: str) -> str:
    return row.fields[name]


def _mean(row: Summary, measure: str) -> str:
    return f"{row.mean(measure):.2f}"


def _tau(row: Summary) -> str:
    """Return the mean weighted tau, or that there is none because all scores or accuracies are equal."""
    return "tied" if row.mean("tied") == 1 else _mean(row, "weighted_tau")


def _models(row: Summary) -> str:
    return "-".join(str(size) for size in dict.fromkeys(row.models))


def _p(value: float | None) -> str:
    """Return a p-value without what every one begins with."""
    return "" if value is None else "1" if value > 0.9995 else f"{value:.3f}".removeprefix("0")
