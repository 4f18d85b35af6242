"""Tables of the page on budgeted search, from its rows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from transfer_exp.report.blocks import with_tables
from transfer_exp.report.markdown import markdown

AIM = 0.9
"""Share of draws that are to have the same top."""
TUNED_ON = ("sign_digits10", "steel_defects6")
"""Targets that the setting was chosen on; the others only confirm."""


def filled(page: Path) -> str:
    """Return the text of the page with its tables made anew from the rows beside it."""
    rows = pd.read_csv(page.with_suffix(".csv"))
    intervals = pd.read_csv(page.with_name(f"{page.stem}_intervals.csv"), dtype=str)
    real = rows[~rows["target"].str.contains(", ")]  # what follows is of a made pool
    tuned = real["target"].isin(TUNED_ON)
    return with_tables(
        page,
        {
            "summary": lambda: summary(real[~tuned]),
            "settings": lambda which: settings(real[tuned] if which == "tuned" else real[~tuned]),
            "tuned": lambda *setting: by_metric(real[tuned], " ".join(setting)),
            "confirmed": lambda *setting: by_metric(real[~tuned], " ".join(setting)),
            "pool": lambda kind: by_metric(rows[rows["target"].str.endswith(f", {kind}")], None),
            "intervals": lambda: markdown(list(intervals.columns), intervals.to_numpy().tolist()),
        },
    )


def summary(rows: pd.DataFrame) -> str:
    """Return a line for each setting that the text speaks of: what it finds, for how much."""
    lines = []
    for name in ("1/16, half", "1/16, two thirds", "1/16, half, prior of 1/8"):
        own = rows[rows["setting"] == name]
        search, probe = _both(own, "same")
        lost = [f"{100 * own[f'{way}_lost_accuracy_top'].mean():.1f}" for way in ("search", "uniform", "all", "prior")]
        lines.append(
            f"- `{name}`: the same top 3 in {float(search):.0%} of searches, for {own['pushed'].mean():.0%} of the "
            f"images; one probe for no less: {float(probe):.0%}; half of all images: {own['half_same'].mean():.0%}. "
            f"The best of the three found is {lost[0]} points below the best of the pool; of the probe's {lost[1]}; "
            f"of those by all images {lost[2]}; of those by the prior alone {lost[3]}."
        )
    return "\n".join(lines)


def settings(rows: pd.DataFrame) -> str:
    """Return what each setting finds, over metrics, targets and draws alike."""
    lines = []
    for name, own in rows.groupby("setting", sort=False):
        lines.append([str(name), str(len(own)), *_three(own), *_both(own, "common"), f"{own['pushed'].mean():.3f}"])
    head = [
        "first round of N, kept",
        "searches",
        "same top 3",
        "one probe",
        "half of all images",
        "of 3 found",
        "one probe",
        "images",
    ]
    return f"{markdown(head, lines)}\n\n{_about(rows)}"


def by_metric(rows: pd.DataFrame, setting: str | None) -> str:
    """Return what one setting, or each, finds by each metric."""
    chosen = rows if setting is None else rows[rows["setting"] == setting]
    lines = []
    for (metric, name), own in chosen.groupby(["metric", "setting"], sort=True):
        label = str(metric) if setting else f"{metric}; {name}"
        same = own["search_same"].mean()
        lost = [_mean(own, f"{way}_lost_accuracy_top") for way in ("search", "uniform", "all")]
        lines.append(
            [
                label,
                str(len(own)),
                *_three(own),
                f"{own['search_order'].mean():.2f}",
                *_both(own, "common"),
                *_both(own, "lost_score", 3),
                f"{own['pushed'].mean():.3f}",
                *lost,
                "reached" if same >= AIM and own["pushed"].mean() <= 0.2 else "**not reached**",
            ]
        )
    head = [
        "metric",
        "searches",
        "same top 3",
        "one probe",
        "half of all images",
        "in order",
        "of 3 found",
        "one probe",
        "score lost",
    ]
    head += ["one probe", "images", "accuracy lost", "one probe", "all images", "9 of 10 for a fifth"]
    return f"{markdown(head, lines)}\n\n{_about(chosen)}"


def _both(rows: pd.DataFrame, key: str, digits: int = 2) -> list[str]:
    """Return a mean for the search, and for one probe of all candidates that costs no less."""
    return [f"{rows[f'{way}_{key}'].mean():.{digits}f}" for way in ("search", "uniform")]


def _three(rows: pd.DataFrame) -> list[str]:
    """Return how often the top is the same: for both, and for one probe of half of all images."""
    return [*_both(rows, "same"), "" if rows["half_same"].isna().all() else f"{rows['half_same'].mean():.2f}"]


def _mean(rows: pd.DataFrame, column: str) -> str:
    return "" if rows[column].isna().all() else f"{rows[column].mean():.4f}"


def _about(rows: pd.DataFrame) -> str:
    """Say what the rows are of."""
    targets = ", ".join(f"`{target}`" for target in sorted(set(rows["target"])))
    metrics = ", ".join(f"`{metric}`" for metric in sorted(set(rows["metric"])))
    return f"Over {targets}; {metrics}; {rows['draw'].nunique()} orders of the images each."
