"""Leaderboard in the terminal and in files: a verdict in one sentence, the table, and its rows as files.

A *variant* is a metric after a perturbation; *your variant* is the one that the user asks about, if any. `Standings`
are the variants in order of their mean weighted tau, on one pool and number of images, over all regimes (ways of
fine-tuning) or one of them. The main standings of a pool are those over all regimes with all images.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from transfer_exp.errors import escape_all
from transfer_exp.evaluation.paired import PairedComparison
from transfer_exp.io.atomic import write_atomically, write_text
from transfer_exp.io.csv import write_table
from transfer_exp.leaderboard.rows import PoolRows
from transfer_exp.leaderboard.standings import ALL_REGIMES, BEST, LEVEL, ComputedBaselines, Standings, variant_name
from transfer_exp.report.ranking_table import enumerate_names, omitted_models, plural

NAME = "leaderboard"
"""Name of the files without suffix."""
POOL_TITLES = {"builtin": "Built-in pool", "real_pool": "23 real networks", "paper": "Torchvision's CNNs of the paper"}


def verdict(standings: Standings) -> str:
    """Return one sentence: the rank of your variant and how it compares with others, or without one, which is best."""
    variant = standings.rows.own_variant
    if variant is None or variant not in standings.values.index:
        return _verdict_on_best(standings)
    table = standings.table
    row: Any = table.loc[variant]
    if not standings.is_ranked[variant]:
        return (
            f"{variant_name(variant)} has no rank: it scores {row['models']} of {len(standings.rows.models)} models, "
            f"and {row['targets']} of {len(standings.targets)} targets"
        )
    count, targets = int(table["rank"].notna().sum()), len(standings.targets)
    rank_text = f"{'tied ' if row['is_shared'] else ''}{ordinal(int(row['rank']))} of {count}"
    parts = [f"{variant_name(variant)} is {rank_text} on {plural(targets, 'target')}"]
    compared = standings.compare(variant)
    too_few = is_too_few(targets, len(compared))
    if BEST in compared:
        name, paired, p = compared.pop(BEST)
        rival = f"the best, {name}" if row["rank"] > 1 else f"the next, {name}"
        parts.append(f"{_relation(paired, p)} {rival} ({difference_text(paired, p)})")
    by_relation: dict[str, list[str]] = {}
    for name, (_, paired, p) in compared.items():
        by_relation.setdefault(_relation(paired, p), []).append(name)
    order = ("better than", "not distinguishable from", "worse than")
    parts += [f"{relation} {enumerate_names(by_relation[relation])}" for relation in order if relation in by_relation]
    return "; ".join(parts) + (f" ({_too_few(targets)})" if too_few else "")


def _verdict_on_best(standings: Standings) -> str:
    ranked = standings.table[standings.table["rank"].notna()]
    first = [variant_name(variant) for variant in ranked.index[ranked["rank"] == 1]]
    targets, p_values = len(standings.targets), ranked["p_to_best"].dropna()
    equal = int((p_values > LEVEL).sum())
    verb = "is" if len(first) == 1 else "are"
    text = f"{enumerate_names(first)} {verb} first of {len(ranked)} on {plural(targets, 'target')}"
    if is_too_few(targets, len(p_values)):
        return f"{text} ({_too_few(targets)})"
    pronoun = "it" if len(first) == 1 else "them"
    return f"{text}; {equal} of the others cannot be distinguished from {pronoun} (Holm p above {LEVEL})"


def ordinal(number: int) -> str:
    """Return ``1st``, ``2nd``, ``3rd``, ``4th``, ..."""
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def rank_text(rank: Any, is_shared: bool) -> str:
    """Return a rank such as ``3=`` for a shared one; ``-`` without a rank."""
    return "-" if pd.isna(rank) else f"{int(rank)}{'=' if is_shared else ''}"


def difference_text(paired: PairedComparison, p: float) -> str:
    """Return the mean difference, its 95 % interval and Holm's p: ``-0.03, 95 % -0.08 to +0.02, Holm p 0.41``."""
    interval = "" if paired.interval is None else ", 95 % {:+.2f} to {:+.2f}".format(*paired.interval)
    return f"{paired.mean:+.2f}{interval}, Holm p {p:.2g}"


def _relation(paired: PairedComparison, p: float) -> str:
    assert paired.mean is not None, "all compared variants have a value on every target"
    if p > LEVEL:
        return "not distinguishable from"
    return "better than" if paired.mean > 0 else "worse than"


def is_too_few(targets: int, comparisons: int) -> bool:
    """Return whether even the smallest p of a sign-flip test exceeds `LEVEL` after Holm's correction."""
    return comparisons * 2.0 ** (1 - targets) > LEVEL


def _too_few(targets: int) -> str:
    return (
        f"{plural(targets, 'target')} {'is' if targets == 1 else 'are'} too few for a corrected test to reach {LEVEL}"
    )


def leaderboard_table(main_standings: Sequence[Standings], folder: Path | None, top: int) -> RenderableType:
    """Return the leaderboard for `rich.console.Console.print`: the table of the first pool, a verdict for the others.

    A further pool in which your variant has a score is shown as a table too.

    Args:
        main_standings: Main standings of each pool.
        folder: Folder with the complete table, named below a shortened one; None to name none.
        top: Number of rows to show, 0 for all. ComputedBaselines and your variant are added.
    """
    parts: list[RenderableType] = []
    for number, standings in enumerate(main_standings):
        own_variant = standings.rows.own_variant
        if number == 0 or (own_variant is not None and own_variant in standings.values.index):
            parts += [*([Text("")] if number else []), *_pool_parts(standings, folder, top)]
        else:
            parts += [Text(""), Text(f"{pool_title(standings)}: {verdict(standings)}")]
    return Group(*parts)


def pool_title(standings: Standings) -> str:
    """Return the name of a pool with the number of its targets."""
    rows = standings.rows
    return f"{POOL_TITLES.get(rows.name, rows.name)}, {plural(len(standings.targets), 'target')}"


def regimes_text(standings: Standings) -> str:
    """Return the regimes of the accuracies, with the number of targets that have them if these are not all."""
    texts = []
    for regime in standings.regimes:
        count = int(standings.baselines.random[regime].notna().all().sum())
        missing = "" if count == len(standings.targets) else f" on {plural(count, 'target')}"
        texts.append(f"{regime.replace('_', ' ')}{missing}")
    return ", ".join(texts)


def _pool_parts(standings: Standings, folder: Path | None, top: int) -> list[RenderableType]:
    """Return the verdict, the table, the comparisons, and the range of 95 % of random scores (the null band)."""
    table = standings.table
    top_rows = table[_is_shown(table, top)]
    low, high = standings.null_band
    parts: list[RenderableType] = [Text(verdict(standings), style="bold"), Text("")]
    parts += [
        Text(f"{pool_title(standings)}, {len(standings.rows.models)} models ({regimes_text(standings)})"),
        _rich_table(top_rows),
    ]
    if len(top_rows) < len(table):
        parts.append(omitted_models(len(table) - len(top_rows), folder and folder / f"{NAME}.csv"))
    parts += _comparison_table(standings)
    return [
        *parts,
        Text(f"95 % of random scores, drawn for each target, have a mean tau_w in [{low:.2f}, {high:.2f}] (null band)"),
    ]


def _is_shown(table: pd.DataFrame, top: int) -> pd.Series:
    """Return which rows a table of a limited length has: the top, the baselines, and your variant."""
    if top == 0:
        return pd.Series(True, table.index)
    is_first = pd.Series(range(len(table)), table.index) < top
    return is_first | table["kind"].isin(["baseline", "yours"])


def _rich_table(rows: pd.DataFrame) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for heading in _HEADINGS:
        table.add_column(heading, justify="left" if heading == "metric" else "right", no_wrap=heading != "metric")
    for key, texts in zip(rows.index, _text_rows(rows), strict=True):
        style = "bold" if rows.loc[key, "kind"] == "yours" else ""
        table.add_row(*(Text(text, style=style) for text in texts))
    return table


_HEADINGS = ("rank", "metric", "tau_w [95 %]", "wins", "to best", "Holm p", "ms")


def _text_rows(table: pd.DataFrame) -> Iterator[list[str]]:
    """Yield the entries of each row under the headings."""
    for variant, row in table.iterrows():
        interval = "" if pd.isna(row["tau_low_95"]) else f" [{row['tau_low_95']:.2f}, {row['tau_high_95']:.2f}]"
        yield [
            rank_text(row["rank"], row["is_shared"]),
            variant_name(variant),  # type: ignore[arg-type]
            f"{row['tau']:.3f}{interval}",
            number_text(row["wins"], "{:.0f}"),
            number_text(row["difference_to_best"], "{:+.3f}"),
            number_text(row["p_to_best"], "{:.2g}"),
            number_text(row["milliseconds"], "{:.3g}" if row["milliseconds"] < 1000 else "{:.0f}"),
        ]


def number_text(value: Any, form: str) -> str:
    """Return a number in a form of `str.format`; ``-`` if it is missing."""
    return "-" if pd.isna(value) else form.format(value)


def _comparison_table(standings: Standings) -> list[RenderableType]:
    """Return a table of the paired comparisons of your variant; empty without one that has a rank."""
    variant = standings.rows.own_variant
    if variant is None or not standings.is_ranked.get(variant, False):
        return []
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column(f"{variant_name(variant)} minus")
    for heading in ("difference [95 %]", "Holm p", "won-tied-lost"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, (reference, paired, p) in standings.compare(variant).items():
        interval = "" if paired.interval is None else " [{:+.2f}, {:+.2f}]".format(*paired.interval)
        texts = [
            f"{reference} (best other)" if name == BEST else reference,
            f"{paired.mean:+.2f}{interval}",
            f"{p:.2g}",
        ]
        table.add_row(*map(Text, [*texts, f"{paired.wins}-{paired.ties}-{paired.losses}"]))
    return [Text(""), table]


def all_standings(rows: PoolRows) -> Iterator[Standings]:
    """Yield the standings of a pool over all regimes and under each, for every number of images per class."""
    regimes, baselines = list(rows.accuracies), ComputedBaselines(rows)
    for images_per_class in reversed(rows.images_per_class):
        for regime in [ALL_REGIMES, *(regimes if len(regimes) > 1 else [])]:
            yield Standings(rows, regime, images_per_class, baselines)


def frame(every_standings: Sequence[Standings]) -> pd.DataFrame:
    """Return the rows of ``leaderboard.csv``: one per pool, regime, number of images and variant."""
    tables = []
    for standings in every_standings:
        low, high = standings.null_band
        table = standings.table.reset_index()
        table.insert(0, "pool", standings.rows.name)
        table.insert(1, "regime", standings.regime)
        table.insert(2, "images_per_class", standings.images_per_class)
        tables.append(table.assign(null_low_95=low, null_high_95=high))
    return pd.concat(tables, ignore_index=True)


def write_files(every_standings: Sequence[Standings], facts: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write ``leaderboard.csv``, ``.parquet`` and ``.json`` and ``leaderboard_targets.csv``, and return their paths.

    Args:
        every_standings: `all_standings` of every pool.
        facts: Further fields of the JSON file.
        folder: Folder of the files, created if missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = frame(every_standings)
    names = (f"{NAME}.csv", f"{NAME}.parquet", f"{NAME}_targets.csv", f"{NAME}.json")
    paths = [folder / name for name in names]
    write_table(paths[0], rows)
    write_atomically(paths[1], lambda path: rows.to_parquet(path, index=False))
    targets = pd.concat(
        [one.rows.taus.assign(pool=one.rows.name) for one in every_standings if one.is_main], ignore_index=True
    )
    targets["family"] = [
        {one.rows.name: one.rows.families for one in every_standings}[pool][target]
        for pool, target in zip(targets["pool"], targets["target"], strict=True)
    ]
    columns = ["pool", "regime", "images_per_class", "perturbation", "metric", "target", "family", "tau", "models"]
    write_table(paths[2], targets[columns])
    write_text(paths[3], json.dumps(escape_all(record(every_standings, facts)), indent=1))
    return paths


def record(every_standings: Sequence[Standings], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``--json`` prints: for each pool the verdict, the comparisons of your variant, and the table."""
    pools = []
    for standings in (one for one in every_standings if one.is_main):
        variant = standings.rows.own_variant
        compared = {} if variant is None or not standings.is_ranked.get(variant, False) else standings.compare(variant)
        comparisons = [
            {
                "with": name,
                "variant": other,
                "difference": paired.mean,
                "low_95": paired.interval[0] if paired.interval else None,
                "high_95": paired.interval[1] if paired.interval else None,
                "p_holm": p,
                "won": paired.wins,
                "tied": paired.ties,
                "lost": paired.losses,
            }
            for name, (other, paired, p) in compared.items()
        ]
        pools.append(
            {
                "pool": standings.rows.name,
                "verdict": verdict(standings),
                "models": len(standings.rows.models),
                "targets": list(standings.targets),
                "regimes": list(standings.regimes),
                "images_per_class": standings.images_per_class,
                "null_band_95": list(standings.null_band),
                "comparisons": comparisons,
                "rows": json.loads(standings.table.reset_index().to_json(orient="records", double_precision=12)),
            }
        )
    return {**facts, "pools": pools}
