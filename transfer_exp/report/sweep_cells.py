"""Data frames of the cells and jobs of a sweep: collected from its folder, averaged over seeds, compared in pairs.

A cell is a pool on one dataset with one perturbation, metric, regime (``ground_truth``) and seed. A sweep has a folder
per job, with the file ``status.json``; a job that scored a cell also wrote ``result.json``.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.stats import t as student_t

from transfer_exp.errors import InputError, escape_all, one_line
from transfer_exp.io.text import read_json
from transfer_exp.report.ranking_table import against_chance
from transfer_exp.report.record import CELL_COLUMNS, read_record
from transfer_exp.results.cell import CellResult
from transfer_exp.results.folder import RECORD, STATUS, cell_folders
from transfer_exp.tracker.tracker import flat_settings

_RESULT_COLUMNS = ["state", "reason", "models", "skipped", "weighted_tau", "outside", "tied"]
_RESULT_COLUMNS += ["null_low", "null_high", "null_level"]
_NO_DIFFERENCE = ("stage", "device", "store", "features", "tracker")
"""Settings that make no difference to a result."""


def collect(folder: Path) -> pd.DataFrame:
    """Read every cell recorded below a folder, failed ones included.

    If a cell has both a ``result.json`` and a failed ``status.json``, the newer file counts.

    Returns:
        One row per cell. The first columns are the cell's fields, which also sort the rows. A field with the name of
        another column gets the prefix ``cell.``; settings that alone distinguish two cells are added as fields. Then
        ``state`` (``done``, ``failed``, ...) and ``reason``; the number of compared ``models`` and of ``skipped`` ones;
        ``weighted_tau``, whether it lies ``outside`` the null band, and whether the scores are ``tied``; ``null_low``,
        ``null_high`` and ``null_level``; the other measures; ``folder``, relative to the argument.

    Raises:
        InputError: If the folder is missing or holds no cell, or a record cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: give the folder of a sweep")
    rows = [{**_row(path), "folder": path.relative_to(folder).as_posix()} for path in cell_folders(folder)]
    if not rows:
        raise InputError(f"{folder} holds no results: give the folder of a run or a sweep")
    names = {name for row in rows for name in row}
    measures = sorted({name for name in names if not name.startswith("cell.")} - {*_RESULT_COLUMNS, "folder"})
    frame = pd.DataFrame(rows)
    frame = frame.assign(**{f"cell.{name}": values for name, values in _unnamed_differences(frame, folder).items()})
    reserved = {*_RESULT_COLUMNS, *measures, "folder"}
    column_of = {name: name.removeprefix("cell.") for name in map(str, frame) if name.startswith("cell.")}
    column_of = {name: name if column in reserved else column for name, column in column_of.items()}
    fields = [*CELL_COLUMNS, *sorted(set(column_of.values()) - set(CELL_COLUMNS))]
    frame = frame.rename(columns=column_of).reindex(columns=[*fields, *_RESULT_COLUMNS, *measures, "folder"])
    frame[fields] = frame[fields].astype(object).fillna("?").astype(str)
    return frame.sort_values(fields, kind="stable").reset_index(drop=True)


def cell_fields(frame: pd.DataFrame) -> list[str]:
    """Return the columns of `collect` or `read_jobs` that identify a cell."""
    return list(frame.columns[: frame.columns.get_loc("state")])


def row_fields(frame: pd.DataFrame) -> list[str]:
    """Return the fields that name a row of a sweep's table: dataset, perturbation, and every other field that varies.

    Metrics are the columns of that table, and seeds are averaged over.
    """
    other_fields = [name for name in cell_fields(frame) if name not in ("dataset", "perturbation", "metric", "seed")]
    varying = [name for name in other_fields if frame[name][frame[name] != "?"].nunique() > 1]
    return ["dataset", "perturbation", *varying]


def none_first(labels: pd.Series) -> list[str]:
    """Return the distinct labels in alphabetical order, but ``none``, the baseline, first."""
    return sorted(set(labels), key=lambda label: (label != "none", label))


def mean_over_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Average the cells that differ only in the seed.

    Returns:
        The columns of `row_fields` and ``metric``; the mean ``weighted_tau`` and its standard ``deviation`` (NaN for
        one seed); the number of ``seeds`` with a tau and of ``failed`` ones; ``tied`` if all are; and ``outside`` if
        the mean lies outside the null band of a single run. That band is the conservative choice, because seeds share
        models and accuracies.
    """
    keys = [*row_fields(frame), "metric"]
    rows = [dict(zip(keys, key, strict=True)) | _seed_mean(group) for key, group in frame.groupby(keys, sort=True)]
    return pd.DataFrame(rows)


def paired_change(frame: pd.DataFrame) -> pd.DataFrame:
    """Compare every perturbation with ``none`` over the cells that both have.

    The two cells of a pair agree in all fields but the perturbation. Pairs that differ only in the seed are averaged
    first, so that ``pairs`` counts datasets (and other fields that vary), not repetitions.

    Returns:
        ``perturbation``, ``metric``, mean ``change`` of weighted tau, its standard ``error`` (NaN for one pair) and the
        number of ``pairs``. Empty without a pair.
    """
    grouped = _changes(frame).groupby(["perturbation", "metric"])["change"]
    return grouped.agg(change="mean", error="sem", pairs="count").reset_index()


def mean_change(frame: pd.DataFrame) -> pd.DataFrame:
    """Average the changes of `paired_change` over metrics, then over datasets (and other fields that vary).

    Metrics are averaged first, because their changes on one dataset are not independent.

    Returns:
        ``perturbation``, largest change first; mean ``change`` of weighted tau; its standard ``error`` (NaN for one
        unit); the number of ``units`` such as datasets; and whether it is ``significant``: zero lies outside its 95 %
        t interval. Empty without a pair.
    """
    unit = [name for name in row_fields(frame) if name != "perturbation"]
    by_unit = _changes(frame).groupby([*unit, "perturbation"], as_index=False)["change"].mean()
    means = by_unit.groupby("perturbation")["change"].agg(change="mean", error="sem", units="count").reset_index()
    quantile = student_t.ppf(0.975, means["units"] - 1)  # NaN for one unit, which is never significant
    means["significant"] = means["change"].abs() > quantile * means["error"]
    return means.sort_values("change", ascending=False, ignore_index=True)


def _changes(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the ``change`` of weighted tau from perturbation ``none`` for each pair of cells, averaged over seeds."""
    unit = [*(name for name in row_fields(frame) if name != "perturbation"), "metric"]
    with_tau = frame.dropna(subset=["weighted_tau"])
    taus = with_tau.groupby([*unit, "seed", "perturbation"], as_index=False)["weighted_tau"].mean()
    unperturbed = taus["perturbation"] == "none"
    baseline = taus[unperturbed].drop(columns="perturbation")
    pairs = taus[~unperturbed].merge(baseline, on=[*unit, "seed"], suffixes=("", "_none"))
    pairs["change"] = pairs["weighted_tau"] - pairs["weighted_tau_none"]
    return pairs.groupby([*unit, "perturbation"], as_index=False)["change"].mean()


def read_statuses(folder: Path) -> dict[Path, dict[str, Any]]:
    """Return the ``status.json`` of each job of a precompute sweep (which fills the store), by path.

    Raises `InputError` if the folder has none, or one cannot be read.
    """
    statuses = {path: read_status(path) for path in sorted(folder.glob("*/status.json"))}
    if not statuses:
        raise InputError(f"no status.json of a job below {folder}: run the stage first")
    return statuses


def read_jobs(folder: Path) -> pd.DataFrame:
    """Return a row for each job of a precompute sweep: its labels, ``state``, ``reason``, ``folder``.

    Raises `InputError` if the folder has no job, or a status cannot be read.
    """
    rows = []
    for path, status in read_statuses(folder).items():
        state = {name: str(status.get(name, "")) for name in ("state", "reason")}
        rows.append({**status.get("cell", {}), **state, "folder": path.parent.name})
    return pd.DataFrame(rows)


def _row(folder: Path) -> dict[str, Any]:
    """Read one cell. Its fields get the prefix ``cell.``, because a measure may have the same name."""
    record_path, status_path = folder / RECORD, folder / STATUS
    status = read_status(status_path) if status_path.is_file() else {}
    failed_last = status.get("state") == "failed" and (
        not record_path.is_file() or status_path.stat().st_mtime_ns >= record_path.stat().st_mtime_ns
    )
    state, reason = str(status.get("state", "unknown")), str(status.get("reason", ""))
    if record_path.is_file() and not failed_last:
        result, reason = read_record(record_path), reason if state == "done" else ""
        return {f"cell.{key}": v for key, v in result.cell.items()} | _result_columns(result) | {"reason": reason}
    cell = {f"cell.{key}": value for key, value in status.get("cell", {}).items()}
    return cell | {"state": state, "reason": reason, "outside": False, "tied": False}


def read_status(path: Path) -> dict[str, Any]:
    """Return the status file of a job, or raise `InputError`."""
    try:
        status = read_json(path)
    except InputError as error:
        raise InputError(f"{error}; or delete it, and run the cell again") from error
    if not isinstance(status, dict) or not isinstance(status.get("cell", {}), dict):
        raise InputError(f"{path} is not the status of a cell: delete it, or run the cell again")
    return {**status, "cell": escape_all(status.get("cell", {})), "reason": one_line(str(status.get("reason", "")))}


def _result_columns(result: CellResult) -> dict[str, Any]:
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


def _unnamed_differences(frame: pd.DataFrame, folder: Path) -> dict[str, list[Any]]:
    """Return the settings in which cells differ that agree in all their fields, with a value for each cell.

    Such cells come from runs that were started one by one, or from an older version.
    """
    labels, done = frame.filter(regex=r"^cell\."), frame["state"] == "done"
    same = labels.astype(str)[done].duplicated(keep=False)
    if not same.any():
        return {}
    configs = [
        read_json(folder / f / RECORD).get("config") if d else {} for f, d in zip(frame["folder"], done, strict=True)
    ]
    flat = [flat_settings(escape_all(config)) if isinstance(config, dict) else {} for config in configs]
    settings = [{key: str(value) for key, value in cell.items()} for cell in flat]
    names: set[str] = set()
    for _, group in labels.astype(str)[done].groupby(list(labels), sort=False):
        of_group = [settings[i] for i in group.index]
        names |= {n for s in of_group for n, value in s.items() if any(o.get(n) != value for o in of_group)}
    relevant = sorted(name for name in names if name.partition(".")[0] not in _NO_DIFFERENCE)
    return {name: [cell.get(name, "?") for cell in settings] for name in relevant}


def _seed_mean(group: pd.DataFrame) -> dict[str, Any]:
    """Average cells that differ only in the seed; a seed that occurs twice counts once."""
    done = group[group["state"] == "done"]
    taus = done.groupby("seed")["weighted_tau"].mean().dropna()
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
