"""Pairs of model and regime (a way to adapt the model) of a search: as a table for files, and for a terminal."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from transfer_exp.io.measures import common_measure, is_error, larger_is_better, measure_heading
from transfer_exp.report.ranking_table import models_by_reason
from transfer_exp.results.search import AdaptedModel, SearchResult, format_count, format_seconds, pareto_front

_NAMES_SHOWN = 3


def pair_frame(search: SearchResult) -> pd.DataFrame:
    """Return a row for each pair of a search: the measured ones, best on validation first, then those without accuracy.

    Of equal pairs, the one with fewer trained parameters comes first, as in `SearchResult.best_pair`.

    The columns are those of `regime_frame`, except ``seeds``, and ``validation``, ``status``, ``expected_seconds`` and
    ``reason`` of `AdaptedModel`.
    """
    labels = {name: search.cell.get(name, "") for name in ("dataset", "model_pool")}
    rows = [{**labels, **asdict(pair), "ground_truth": pair.regime, "measure": search.measure} for pair in search.pairs]
    frame = pd.DataFrame(rows).drop(columns="regime")
    numbers = ("accuracy", "validation", "trainable_parameters", "training_seconds", "expected_seconds")
    frame = mark_fronts(frame.astype(dict.fromkeys(numbers, "float64")))
    frame["trainable_parameters"] = frame["trainable_parameters"].astype("Int64")
    frame["quality"] = larger_is_better(frame["validation"].to_numpy(), search.measure)
    order = ["quality", "trainable_parameters", "model"]
    frame = frame.sort_values(order, ascending=[False, True, True], ignore_index=True)
    first = ["dataset", "model_pool", "model", "ground_truth", "validation", "accuracy"]
    return frame[[*first, *frame.columns.difference([*first, "quality"], sort=False)]]


def pair_table(search: SearchResult, top: int = 0) -> Group:
    """Return a table of the measured pairs, best on validation first, and a line on the others.

    Args:
        search: Search with pairs.
        top: Number of pairs to show, 0 for all.
    """
    frame = pair_frame(search)
    measured = frame[frame["status"] == "measured"]
    shown = measured.head(top) if top else measured
    heading = measure_heading(search.measure)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    for name in ("model", "regime"):
        table.add_column(name, overflow="fold")
    for name in ("validation", f"test\n{heading}", "trained", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for _, row in shown.iterrows():
        seconds = "" if pd.isna(row["training_seconds"]) else f"{row['training_seconds']:.1f}"
        trained = "" if pd.isna(row["trainable_parameters"]) else f"{row['trainable_parameters']:,.0f}"
        numbers = [f"{row['validation']:.3f}", f"{row['accuracy']:.3f}", trained, seconds]
        table.add_row(Text(row["model"]), Text(row["ground_truth"]), *numbers)
    left_out = len(measured) - len(shown)
    more = [Text(f"and {left_out} more pairs in regimes.csv", style="dim")] if left_out else []
    return Group(Text("models and regimes, best on validation images first", style="bold"), table, *more)


def best_pair(search: SearchResult) -> str:
    """Return the sentence on the pair with the best measure on validation; empty without a measured pair."""
    best, n_measured = search.best_pair, sum(pair.status == "measured" for pair in search.pairs)
    if best is None:
        return ""
    heading = measure_heading(search.measure)
    heading = heading if is_error(search.measure) else f"test {heading}"
    chosen = f"Best of {n_measured} pairs on validation images: " if n_measured > 1 else "Only pair: "
    return f"{chosen}{best.model} with {best.regime}, {heading} {best.accuracy:.3f}"


def pair_lines(search: SearchResult) -> list[str]:
    """Return lines on the pairs of a search: the cost of the best one, the pairs that were not tried, and failures."""
    lines, best = list[str](), search.best_pair
    if best is not None and best.trainable_parameters is not None and best.training_seconds is not None:
        count, seconds = format_count(best.trainable_parameters).strip(), format_seconds(best.training_seconds)
        lines.append(f"{best.model} with {best.regime} trains {count} parameters in {seconds}")
    not_tried = [pair for pair in search.pairs if pair.status == "not tried"]
    if not_tried:
        names = [f"{pair.model} with {pair.regime}{_expected(pair)}" for pair in not_tried[:_NAMES_SHOWN]]
        rest = f" and {len(not_tried) - len(names)} more" if len(not_tried) > len(names) else ""
        counts = f"{len(not_tried)} of {len(search.pairs)} pairs"
        lines.append(f"Not tried for lack of time, {counts}: {', '.join(names)}{rest}")
    failed = [(f"No {pair.regime} of", pair.model, pair.reason) for pair in search.pairs if pair.status == "failed"]
    return lines + models_by_reason(failed)


def _expected(pair: AdaptedModel) -> str:
    """Return the predicted time of a pair in parentheses; empty if it is unknown."""
    return f" (about {format_seconds(pair.expected_seconds)})" if pair.expected_seconds else ""


COSTS = ("trainable_parameters", "training_seconds")
"""Columns with the costs of a pair."""


def mark_fronts(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return pairs with the columns ``least_parameters`` and ``least_seconds``: whether they are on the front.

    A pair is compared with those on the same ``dataset``. It needs an ``accuracy`` and the cost.
    """
    for name, cost in zip(("least_parameters", "least_seconds"), COSTS, strict=True):
        groups = [group for _, group in pairs.dropna(subset=[cost, "accuracy"]).groupby("dataset")]
        points = [zip(group[cost], quality(group), group.index, strict=True) for group in groups]
        on_front = [index for of_dataset in points for index in pareto_front(of_dataset)]
        pairs = pairs.assign(**{name: pairs.index.isin(on_front)})
    return pairs


def quality(pairs: pd.DataFrame) -> pd.Series:
    """Return the accuracies of one dataset, or minus its errors, so that larger is better."""
    measures = pairs.get("measure", pd.Series("accuracy", pairs.index))
    measure = common_measure(measures, "a dataset of the sweep") if len(pairs) else "accuracy"
    return pd.Series(larger_is_better(pairs["accuracy"].to_numpy(dtype=np.float64), measure), pairs.index)
