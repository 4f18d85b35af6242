"""Tables of the page on budgeted search, from its rows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from studies.document_tables import fill_tables
from transfer_exp.report.markdown import markdown

AIM = 0.9
"""Share of draws that are to have the same top."""
SHARE = 0.2
"""Of the images of all candidates, which that may take."""
TUNED_ON = ("sign_digits10", "steel_defects6")
"""Targets that the setting was chosen on; the others only confirm."""


def filled(page: Path) -> str:
    """Return the text of the page with its tables made anew from the rows beside it."""
    rows = pd.read_csv(page.with_suffix(".csv"))
    intervals = pd.read_csv(page.with_name(f"{page.stem}_intervals.csv"), dtype=str)
    real = rows[~rows["target"].str.contains(", ")]  # what follows is of a made pool
    tuned = real["target"].isin(TUNED_ON)
    return fill_tables(
        page,
        {
            "summary": lambda: summary(real[~tuned]),
            "settings": lambda which: settings(real[tuned] if which == "tuned" else real[~tuned]),
            "tuned": lambda *setting: by_metric(real[tuned], " ".join(setting)),
            "confirmed": lambda *setting: by_metric(real[~tuned], " ".join(setting)),
            "pools": lambda: pools(rows[rows["target"].str.contains(", ")]),
            "pool": lambda *pool: by_pool(rows, " ".join(pool)),
            "named": lambda: named(pd.read_csv(page.with_name(f"{page.stem}_named.csv"))),
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


def by_metric(rows: pd.DataFrame, setting: str) -> str:
    """Return what one setting finds by each metric."""
    chosen = rows[rows["setting"] == setting]
    lines = []
    for metric, own in chosen.groupby("metric"):
        lost = [f"{own[f'{way}_lost_accuracy_top'].mean():.4f}" for way in ("search", "uniform", "all")]
        lines.append(
            [
                str(metric),
                str(len(own)),
                *_three(own),
                f"{own['search_order'].mean():.2f}",
                *_both(own, "common"),
                *_both(own, "lost_score", 3),
                f"{own['pushed'].mean():.3f}",
                *lost,
                _verdict(own),
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


def pools(rows: pd.DataFrame) -> str:
    """Return a line for each made pool: how often the aim is reached, and what is found for how much."""
    lines = []
    for pool, own in rows.groupby(rows["target"].str.partition(", ")[2], sort=False):
        verdicts = [_verdict(cell) for _, cell in own.groupby(["target", "metric"])]
        search, probe, half = (f"{own[f'{way}_same'].mean():.0%}" for way in ("search", "uniform", "half"))
        lines.append(
            f"- `{pool}`: reached in {verdicts.count('reached')} of {len(verdicts)} cases, each a metric on a target. "
            f"The same top 3 in {search} of searches, for {own['pushed'].mean():.0%} of the images; one probe for no "
            f"less: {probe}; half of all images: {half}."
        )
    return "\n".join(lines)


def by_pool(rows: pd.DataFrame, pool: str) -> str:
    """Return what the search finds in a made pool by each metric, on each target that it was made on."""
    chosen = rows[rows["target"].str.endswith(f", {pool}")]
    lines = []
    for (metric, target), own in chosen.groupby(["metric", "target"]):
        found = [*_three(own), *_both(own, "common"), f"{own['pushed'].mean():.3f}", _verdict(own)]
        lines.append([str(metric), f"`{str(target).partition(', ')[0]}`", *found])
    head = ["metric", "target", "same top 3", "one probe", "half of all images", "of 3 found", "one probe", "images"]
    return f"{markdown([*head, '9 of 10 for a fifth'], lines)}\n\n{rows['draw'].nunique()} orders of the images each."


def named(rows: pd.DataFrame) -> str:
    """Return how often the best of the images left aside is among those that were named, and what naming costs."""
    lines = []
    for score, own in rows.groupby("score", sort=False):
        shares = [f"{own[key].mean():.0%}" for key in ("held", "first")]
        lost = [f"{100 * own[key].mean():.1f}" for key in ("first_loses", "named_lose")]
        lines.append([str(score), str(len(own)), f"{own['named'].mean():.1f}", *shares, *lost])
    head = [
        "score",
        "searches",
        "named",
        "best elsewhere is named",
        "is first",
        "the first loses",
        "the best named loses",
    ]
    targets = ", ".join(f"`{target}`" for target in sorted(set(rows["target"])))
    return f"{markdown(head, lines)}\n\nOver {targets}; losses in points of accuracy."


def _both(rows: pd.DataFrame, key: str, digits: int = 2) -> list[str]:
    """Return a mean for the search, and for one probe of all candidates that costs no less."""
    return [f"{rows[f'{way}_{key}'].mean():.{digits}f}" for way in ("search", "uniform")]


def _three(rows: pd.DataFrame) -> list[str]:
    """Return how often the top is the same: for both, and for one probe of half of all images."""
    return [*_both(rows, "same"), f"{rows['half_same'].mean():.2f}"]


def _verdict(rows: pd.DataFrame) -> str:
    """Say whether the aim is reached."""
    reached = rows["search_same"].mean() >= AIM and rows["pushed"].mean() <= SHARE
    return "reached" if reached else "**not reached**"


def _about(rows: pd.DataFrame) -> str:
    """Say what the rows are of."""
    targets = ", ".join(f"`{target}`" for target in sorted(set(rows["target"])))
    metrics = ", ".join(f"`{metric}`" for metric in sorted(set(rows["metric"])))
    return f"Over {targets}; {metrics}; {rows['draw'].nunique()} orders of the images each."
