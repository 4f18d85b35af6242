"""The cells of a sweep as a table of data: found on disk, averaged over seeds, compared in pairs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd

from transfer_exp.errors import InputError
from transfer_exp.io.text import read_json
from transfer_exp.report.ranking_table import against_chance
from transfer_exp.report.record import read_record
from transfer_exp.results.cell import CellResult

CELL_FIELDS = ["model_pool", "dataset", "perturbation", "metric", "ground_truth", "seed"]
FACTS = ["state", "reason", "models", "skipped", "weighted_tau", "outside", "tied"]
FACTS += ["null_low", "null_high", "null_level"]


def collect(folder: Path) -> pd.DataFrame:
    """Gather every cell recorded below ``folder``, failed ones included.

    A folder with both a ``result.json`` and a failed ``status.json`` counts as whichever was written last.

    Returns
    -------
    DataFrame
        One row per cell, sorted by the cell's fields, which are its first columns. Then ``state`` (``done``,
        ``failed``, ...) and ``reason``; how many ``models`` were compared and ``skipped``; ``weighted_tau``, whether
        it lies ``outside`` the null band or the scores are ``tied``; ``null_low``, ``null_high``, ``null_level``; the
        other measures; ``folder``.

    Raises
    ------
    InputError
        When the folder is missing, holds no cell, or holds a record that cannot be read or has a field of the name of
        another column.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: give the one that a sweep wrote")
    found = sorted({path.parent for name in ("result.json", "status.json") for path in folder.rglob(name)})
    rows = [{**_row(at), "folder": at.relative_to(folder).as_posix()} for at in found]
    if not rows:
        raise InputError(f"no cell found below {folder}: it holds neither a result.json nor a status.json")
    named = {key.removeprefix("cell.") for row in rows for key in row if key.startswith("cell.")}
    fields = CELL_FIELDS + sorted(named - set(CELL_FIELDS))
    measures = sorted({key for row in rows for key in row if not key.startswith("cell.")} - {*FACTS, "folder"})
    for name in sorted(set(fields) & {*FACTS, *measures, "folder"}):
        raise InputError(f"a cell below {folder} has a field '{name}', as its table has a column: rename the field")
    frame = pd.DataFrame(rows).rename(columns=lambda name: name.removeprefix("cell."))
    frame = frame.reindex(columns=[*fields, *FACTS, *measures, "folder"])
    frame[fields] = frame[fields].astype(object).fillna("?").astype(str)
    return frame.sort_values(fields, kind="stable").reset_index(drop=True)


def cell_fields(frame: pd.DataFrame) -> list[str]:
    """Return the columns of ``collect`` that identify a cell."""
    return list(frame.columns[: frame.columns.get_loc("state")])


def row_fields(frame: pd.DataFrame) -> list[str]:
    """Return what the rows of a sweep's table differ in: dataset, perturbation, and any other field that varies.

    The metrics are its columns, and seeds are averaged over.
    """
    rest = [name for name in cell_fields(frame) if name not in ("dataset", "perturbation", "metric", "seed")]
    return ["dataset", "perturbation"] + [name for name in rest if frame[name][frame[name] != "?"].nunique() > 1]


def none_first(labels: pd.Series) -> list[str]:
    """Return the distinct labels in order, ``none`` before all others: it is what they are compared with."""
    return sorted(set(labels), key=lambda label: (label != "none", label))


def mean_over_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Merge the cells that differ in nothing but the seed.

    Returns
    -------
    DataFrame
        The columns of `row_fields` and ``metric``; ``weighted_tau`` (mean), ``deviation`` (standard, NaN for one
        seed), ``seeds`` (that have a tau), ``failed`` (how many did), ``tied`` (all of them), and ``outside``: the mean
        lies outside the band of a single run, which is the careful choice since seeds share models and accuracies.
    """
    keys = [*row_fields(frame), "metric"]
    rows = [dict(zip(keys, key, strict=True)) | _merged(group) for key, group in frame.groupby(keys, sort=True)]
    return pd.DataFrame(rows)


def paired_change(frame: pd.DataFrame) -> pd.DataFrame:
    """Compare every perturbation with ``none`` in the cells that both have.

    A pair agrees in all fields but the perturbation. Pairs that differ only in the seed are averaged first, so that
    ``pairs`` counts datasets (and whatever else varies), not repetitions.

    Returns
    -------
    DataFrame
        ``perturbation``, ``metric``, mean ``change`` of weighted tau, its standard ``error`` (NaN for one pair),
        ``pairs``. Empty where there is nothing to compare.
    """
    unit = [*(name for name in row_fields(frame) if name != "perturbation"), "metric"]
    known = frame.dropna(subset=["weighted_tau"])
    taus = known.groupby([*unit, "seed", "perturbation"], as_index=False)["weighted_tau"].mean()
    plain = taus["perturbation"] == "none"
    base = taus[plain].drop(columns="perturbation")
    pairs = taus[~plain].merge(base, on=[*unit, "seed"], suffixes=("", "_none"))
    pairs["change"] = pairs["weighted_tau"] - pairs["weighted_tau_none"]
    by_unit = pairs.groupby([*unit, "perturbation"], as_index=False)["change"].mean()
    grouped = by_unit.groupby(["perturbation", "metric"])["change"]
    return grouped.agg(change="mean", error="sem", pairs="count").reset_index()


def _row(at: Path) -> dict[str, Any]:
    """Read the cell in folder ``at``; its fields get the prefix ``cell.``, as a measure might have the same name."""
    record, status = at / "result.json", at / "status.json"
    told = read_status(status) if status.is_file() else {}
    failed_last = told.get("state") == "failed" and (
        not record.is_file() or status.stat().st_mtime_ns >= record.stat().st_mtime_ns
    )
    if record.is_file() and not failed_last:
        result = read_record(record)
        return {f"cell.{key}": value for key, value in result.cell.items()} | _facts(result)
    state, reason = str(told.get("state", "unknown")), str(told.get("reason", ""))
    cell = {f"cell.{key}": value for key, value in dict(told.get("cell", {})).items()}
    return cell | {"state": state, "reason": reason, "outside": False, "tied": False}


def read_status(path: Path) -> dict[str, Any]:
    """Return how a job ended, as it left word.

    Raises
    ------
    InputError
        When that cannot be read.
    """
    try:
        told = read_json(path)
    except InputError as error:
        raise InputError(f"{error}; or delete it, and run the cell again") from error
    if not isinstance(told, dict) or not isinstance(told.get("cell", {}), dict):
        raise InputError(f"{path} is not the status of a cell: delete it, or run the cell again")
    return told


def _facts(result: CellResult) -> dict[str, Any]:
    """Return what is worth a column, besides the cell's own fields."""
    low, high = result.null_band or (math.nan, math.nan)
    return {
        "state": "done",
        "reason": "",
        "models": result.compared,
        "skipped": sum(m.score is None for m in result.models),
        "outside": "weighted_tau" in result.measures and against_chance(result).endswith("than chance"),
        "tied": result.tied,
        "null_low": low,
        "null_high": high,
        "null_level": result.null_level,
        **result.measures,
    }


def _merged(group: pd.DataFrame) -> dict[str, Any]:
    """Reduce the cells of one table entry, which differ in the seed alone."""
    done = group[group["state"] == "done"]
    taus = done["weighted_tau"].dropna()
    mean, tied = taus.mean(), len(done) > 0 and bool(done["tied"].all())
    outside = not done["null_low"].mean() <= mean <= done["null_high"].mean()
    return {
        "weighted_tau": mean,
        "deviation": taus.std(),
        "seeds": len(taus),
        "failed": len(group) - len(done),
        "tied": tied,
        "outside": len(taus) > 0 and done["null_low"].notna().any() and outside and not tied,
    }
