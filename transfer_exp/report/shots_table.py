"""Weighted tau against the number of images of each class: means and intervals over the draws of a sweep."""

from __future__ import annotations

from typing import Any

import pandas as pd
from scipy.stats import t as student_t

from transfer_exp.report.sweep_cells import row_fields
from transfer_exp.report.sweep_table import SweepTable, range_text

SHOTS = "shots"
_ALL = "None"
"""Value of the setting for all training images."""


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
    entries = {(*(row[name] for name in fields), shots_text(row[SHOTS])): _entry(row) for _, row in means.iterrows()}
    rows = list(dict.fromkeys(key[:-1] for key in entries))
    sizes = sorted(means[SHOTS].dropna().unique()) + [pd.NA] * int(means[SHOTS].isna().any())
    title = f"tau_w by images per class, mean [95 % interval] over {range_text(means['draws'])} draws"
    return SweepTable(
        title, fields, rows, [shots_text(size) for size in sizes], lambda row, m: entries.get((*row, m), "")
    )


def shots_text(shots: Any) -> str:
    """Return a number of shots as text, and ``all`` where it is missing."""
    return "all" if pd.isna(shots) else str(shots)


def _entry(row: pd.Series) -> str:
    if pd.isna(row["tau_low_95"]):
        return f"{row['tau']:.2f}"
    return f"{row['tau']:.2f} [{row['tau_low_95']:.2f}, {row['tau_high_95']:.2f}]"
