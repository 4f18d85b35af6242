"""Comparison of the models and regimes of a sweep: accuracy against trainable parameters and training time."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from transfer_exp.io.measures import measure_heading
from transfer_exp.report.pair_table import COSTS, mark_fronts, quality
from transfer_exp.report.record import read_record
from transfer_exp.results.folder import RECORD

_log = logging.getLogger(__name__)
_KEYS = ["dataset", "model_pool", "model", "ground_truth"]
_MAX_ROWS = 20


def regime_frame(folder: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracy and the cost of each model with each regime of a sweep, means over seeds.

    Args:
        folder: Folder of the sweep.
        frame: Its cells, from `collect`. Cells of other metrics or perturbations repeat an accuracy, which counts once.

    Returns:
        ``dataset``, ``model_pool``, ``model``, ``ground_truth`` (the regime, with its protocol if there are several
        of these); ``accuracy``, ``trainable_parameters``
        and ``training_seconds`` (missing if unknown); the number of ``seeds``; and ``least_parameters`` and
        ``least_seconds``: whether no other pair of model and regime on the dataset is at least as accurate with at most
        as many parameters (seconds); and the ``measure`` of accuracy. Most accurate first. Empty unless the sweep has
        accuracies of two regimes. A dataset with several measures of accuracy is left out with a warning.

    Raises:
        InputError: If a record cannot be read.
    """
    rows = [
        {key: result.cell.get(key, "?") for key in (*_KEYS, "seed") if key != "model"}
        | {"model": model.model, "measure": result.measure}
        | {key: getattr(model, key) for key in ("accuracy", *COSTS)}
        for cell in frame.loc[frame["state"] == "done", "folder"]
        for result in [read_record(folder / cell / RECORD)]
        for model in result.models
        if model.accuracy is not None
    ]
    pairs = _with_one_measure(pd.DataFrame(rows, columns=[*_KEYS, "seed", "accuracy", "measure", *COSTS]))
    if pairs["ground_truth"].nunique() < 2:
        return pairs.iloc[:0]
    pairs["ground_truth"] = _without_common_protocol(pairs["ground_truth"])
    pairs = pairs.astype(dict.fromkeys(COSTS, "float64")).drop_duplicates([*_KEYS, "seed"])
    means = pairs.groupby(_KEYS, as_index=False).agg(
        accuracy=("accuracy", "mean"),
        **{cost: (cost, "mean") for cost in COSTS},
        seeds=("seed", "count"),
        measure=("measure", "first"),
    )
    means[COSTS[0]] = means[COSTS[0]].round().astype("Int64")
    means = mark_fronts(means)
    means["quality"] = pd.concat([quality(group) for _, group in means.groupby("dataset")])
    means = means.sort_values(["dataset", "quality"], ascending=[True, False], kind="stable", ignore_index=True)
    return means.drop(columns="quality")


def _with_one_measure(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs on datasets that have one measure of accuracy; a warning names the others."""
    for dataset, group in pairs.groupby("dataset"):
        measures = sorted(set(group["measure"]))
        if len(measures) > 1:
            _log.warning(
                "dataset %s is left out of the table of regimes: its accuracies by %s cannot be compared",
                dataset,
                " and by ".join(measures),
            )
            pairs = pairs[pairs["dataset"] != dataset]
    return pairs


def _without_common_protocol(labels: pd.Series) -> pd.Series:
    """Return labels such as ``lora(rank=4)/quick(steps=10)`` without a protocol that all of them share."""
    parts = labels.str.extract(r"^(\w+(?:\(.*?\))?)(?:/(.*))?$")
    return labels if parts[0].isna().any() or parts[1].nunique() > 1 else parts[0]


def regime_table(pairs: pd.DataFrame) -> Group | None:
    """Return a table of the pairs that no pair with fewer trainable parameters equals; None without such pairs."""
    front = pairs[pairs["least_parameters"]] if "least_parameters" in pairs else pairs.iloc[:0]
    if front.empty:
        return None
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    for heading in ("dataset", "model", "regime"):
        table.add_column(heading, overflow="fold", max_width=26)
    headings = [measure_heading(name) for name in front.get("measure", ["accuracy"])]
    for heading in (", ".join(dict.fromkeys(headings)), "trained", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    previous = ""
    for _, row in front.head(_MAX_ROWS).iterrows():
        seconds = "" if pd.isna(row["training_seconds"]) else f"{row['training_seconds']:.1f}"
        names = ["" if row["dataset"] == previous else row["dataset"], row["model"], row["ground_truth"]]
        numbers = [f"{row['accuracy']:.3f}", f"{row['trainable_parameters']:,.0f}", seconds]
        table.add_row(*map(Text, names), *numbers)
        previous = row["dataset"]
    title = "pairs of model and regime that no pair with fewer trained parameters matches"
    rest = len(pairs) - min(len(front), _MAX_ROWS)
    note = f"{rest} of {len(pairs)} pairs of model and regime are in regimes.csv only" if rest else ""
    return Group(Text(title, style="bold"), table, *([Text(note, style="dim")] if note else []))
