"""Page ``reproduction.md``: our scores of a published pool against published accuracies and weighted taus.

Other papers published the fine-tuning accuracies of these pools, and the weighted tau (tau_w) of their scores.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from transfer_exp.evaluation.accuracy_spread import accuracy_spread, kendalls_w
from transfer_exp.evaluation.null_band import null_band, null_deviation
from transfer_exp.evaluation.paired import PairedComparison
from transfer_exp.evaluation.score_files import read_scores
from transfer_exp.evaluation.score_table import ScoreTable, join_regimes, read_accuracies, write_measures
from transfer_exp.evaluation.sub_pools import grouped_tau, leave_one_out, sub_pools, win_rates
from transfer_exp.evaluation.summary import Summary, summarize
from transfer_exp.io.accuracies import PUBLISHED
from transfer_exp.io.atomic import write_text
from transfer_exp.report.markdown import markdown

PUBLISHED_TAUS = Path(__file__).with_name("published_taus.csv")
"""Weighted taus that the repositories of SFDA and PED report for two pools."""

_REGIMES = {"vanilla_ft": "Full fine-tuning", "last_block_ft": "Last block", "linear_ft": "Linear probe"}
_HEAD = ("metric", "perturbation", "tau_w", "95 % over models", "above band")
_EXPLANATION = """\
tau_w is the mean over targets. The interval resamples the models. *Above band*: number of targets whose tau_w is above
the 97.5 % quantile for random scores of the same number of models. *vs none*, *vs pca*: the difference of tau_w, then
wins-ties-losses over targets and the p-value of the sign-flip test after Holm's correction for all comparisons
with that control, rows that are not shown included. A perturbation that changes no score of a metric has no row."""
_STABILITY_HEAD = ("metric", "perturbation", "wins", "without one model", "within families")
_STABILITY_EXPLANATION = """\
Only rows that score every model on every target, with the first seed of each target. *Wins*: share of the pools that
result from leaving out any two models, over all targets, in which the row has the highest tau_w among rows
with its perturbation; tied rows share. *Without one model*: lowest and highest mean tau_w with any model left out.
*Within families*: tau_w among models of the same family (the lower-case letters at the start of a name, otherwise the
whole name), mean over targets."""


@dataclass(frozen=True)
class PublishedTaus:
    """Published weighted taus of one metric after one perturbation.

    Attributes:
        by_dataset: Weighted tau by dataset.
        source: Repository and file.
    """

    by_dataset: Mapping[str, float]
    source: str


def read_published_taus(pool: str, regime: str) -> dict[tuple[str, str], PublishedTaus]:
    """Read the published taus of a pool and regime by metric and perturbation; may be empty.

    The file has our names, not the published ones. ``sfda_released`` is their SFDA and
    ``nleep(convention=released)`` their NLEEP: both tables come with code that averages probabilities, not their
    logarithms. The perturbation ``ped`` is ``+Ours`` in the table of PED.
    """
    rows = pd.read_csv(PUBLISHED_TAUS, dtype={"weighted_tau": float})
    rows = rows[(rows["pool"] == pool) & (rows["regime"] == regime)]
    return {
        (str(metric), str(perturbation)): PublishedTaus(
            dict(zip(group["dataset"], group["weighted_tau"], strict=True)), str(group["source"].iloc[0])
        )
        for (metric, perturbation), group in rows.groupby(["metric", "perturbation"])
    }


def write_published_comparison(scores: Path, pool: str) -> list[Path]:
    """Write ``reproduction.md`` and ``measures.csv`` next to the scores of a pool, and return their paths.

    Args:
        scores: File of scores in matrix form; the perturbations ``none`` and ``pca``, if present, serve as controls.
        pool: Name of the pool in the published accuracies; rows that are marked as unsound are not used.

    Raises:
        InputError: When the scores cannot be read, or share no target or fewer than two models with the accuracies.
    """
    tables, notes = join_regimes(read_scores(scores), read_accuracies(PUBLISHED, pool))
    command = f"transfer-exp report {scores.name} --published {pool}"
    page, measures = scores.with_name("reproduction.md"), scores.with_name("measures.csv")
    write_measures(tables, measures, (scores, PUBLISHED))
    parts = [f"# {pool}, reproduced", f"Written by `{command}`.", _EXPLANATION, *notes]
    for table in tables:
        parts += _regime_sections(table, read_published_taus(pool, table.regime))
    write_text(page, "\n\n".join(parts) + "\n")
    return [page, measures]


def _regime_sections(table: ScoreTable, published: Mapping[tuple[str, str], PublishedTaus]) -> Iterator[str]:
    """Yield the sections of one regime."""
    models = max(table.model_counts)
    yield f"## {_REGIMES.get(table.regime, table.regime)}: {models} models, {len(table.datasets)} targets"
    yield from table.notes
    rows = [row for row in summarize(table, "none") if not _is_unchanged(row, table)]
    order = {"none": 0, "pca": 1}
    rows.sort(
        key=lambda row: (row.fields["metric"], order.get(row.fields["perturbation"], 2), -row.mean("weighted_tau"))
    )
    against_pca = {tuple(row.fields.items()): row for row in summarize(table, "pca")}
    head = [*_HEAD, "vs none", "vs pca", *(["published", "ours - published"] if published else [])]
    lines = [_line(row, against_pca[tuple(row.fields.items())], table, published) for row in rows]
    yield markdown(head, lines)
    yield _baselines(table, models)
    yield from _stability(rows, table)
    by_target = [line for row in rows for line in _target_lines(row, published.get(_names(row)))]
    if by_target:
        yield "Targets with a published tau_w:"
        yield markdown(["metric", "perturbation", "target", "ours", "published", "difference", "source"], by_target)


def _line(
    row: Summary, against_pca: Summary, table: ScoreTable, published: Mapping[tuple[str, str], PublishedTaus]
) -> list[str]:
    """Return a row of the main table."""
    low, high = row.tau_interval(table)
    tau = "tied" if row.is_tied else f"{row.mean('weighted_tau'):.3f}"
    line = [*_names(row), tau, f"{low:.2f}, {high:.2f}", f"{row.above_band}/{len(row.by_dataset)}"]
    is_raw = row.fields["perturbation"] == "none"  # its comparison with pca would repeat that of pca with none
    line += ["" if is_raw else _difference(summary.paired, summary.holm_p) for summary in (row, against_pca)]
    if not published:
        return line
    taus = published[_names(row)].by_dataset if _names(row) in published else {}
    shared = [target for target in row.by_dataset.index if target in taus]
    if not shared:
        return [*line, "", ""]
    published_mean = float(np.mean([taus[target] for target in shared]))
    our_mean = float(row.by_dataset["weighted_tau"][shared].mean())
    count = "" if len(shared) == len(row.by_dataset) else f" ({len(shared)} targets)"
    return [*line, f"{published_mean:.3f}{count}", f"{our_mean - published_mean:+.3f}"]


def _target_lines(row: Summary, published: PublishedTaus | None) -> Iterator[list[str]]:
    """Yield a row per target with a published tau."""
    taus = published.by_dataset if published else {}
    for target, ours in row.by_dataset["weighted_tau"].items():
        if published and target in taus:
            value = taus[str(target)]
            yield [*_names(row), str(target), f"{ours:.3f}", f"{value:.3f}", f"{ours - value:+.3f}", published.source]


def _difference(paired: PairedComparison | None, holm_p: float | None) -> str:
    if paired is None or paired.mean is None:
        return ""
    return f"{paired.mean:+.3f} ({paired.wins}-{paired.ties}-{paired.losses}, p {holm_p:.3f})"


def _baselines(table: ScoreTable, models: int) -> str:
    """Return the tau_w of rankings that use no image."""
    low, high = null_band(models)
    text = f"Random scores: sd {null_deviation(models):.3f} on one target, 95 % in [{low:.2f}, {high:.2f}]."
    if not table.static_taus:
        return text
    mean = np.mean(list(table.static_taus.values()))
    return f"Static ranking (mean accuracy rank on the other targets): {mean:.3f}. {text}"


def _is_unchanged(row: Summary, table: ScoreTable) -> bool:
    """Return whether a perturbation left every score of a metric unchanged."""
    if row.fields["perturbation"] == "none" or row.paired is None:
        return False
    raw = table.variants[tuple({**row.fields, "perturbation": "none"}.values())]
    before, after = (np.sort(table.scores[np.concatenate(list(rows.values()))], axis=0) for rows in (raw, row.rows))
    return np.array_equal(before, after, equal_nan=True)


def _stability(rows: Sequence[Summary], table: ScoreTable) -> Iterator[str]:
    """Yield the spread of the accuracies, and the stability of rows that score every model on every target.

    Sub-pools follow Agostinelli et al., ECCV 2022 (`win_rates`), tau within families Torgerson, 1956 (`grouped_tau`).
    """
    yield _accuracy_text(table)
    complete = [row for row in rows if _is_complete(row, table)]
    if not complete or len(table.models) < 4:
        return
    rates = zip(complete, _win_rates(complete, table), strict=True)
    yield markdown(_STABILITY_HEAD, [[*_names(row), f"{rate:.2f}", *_changed_pools(row, table)] for row, rate in rates])
    yield _STABILITY_EXPLANATION


def _accuracy_text(table: ScoreTable) -> str:
    """Return one or two sentences on the range of the accuracies and on how alike the targets order the models.

    Only models with an accuracy on every target count.
    """
    accuracies = table.accuracies.loc[list(table.datasets)].dropna(axis=1).to_numpy()
    spreads = [accuracy_spread(row) for row in accuracies]
    width, lead = np.median([s.range for s in spreads]), np.median([s.lead for s in spreads])
    text = f"Best and worst model are {width:.1f} points apart on the median target, best and second best {lead:.1f}."
    if len(accuracies) < 2:
        return text
    return f"{text} Kendall's W of the targets' rankings: {kendalls_w(accuracies):.2f} (1: all targets rank alike)."


def _first_rows(row: Summary) -> np.ndarray:
    """Return the row number of the first seed of every target."""
    return np.array([numbers[0] for _, numbers in sorted(row.rows.items())])


def _is_complete(row: Summary, table: ScoreTable) -> bool:
    """Return whether the first seed of every target has a score and an accuracy of every model."""
    rows = _first_rows(row)
    is_finite = np.isfinite(table.scores[rows] + table.cell_accuracies[rows])
    return len(rows) == len(table.datasets) and bool(is_finite.all())


def _win_rates(rows: Sequence[Summary], table: ScoreTable) -> list[float]:
    """Return the mean win rate of each row among the rows with the same perturbation."""
    pools = sub_pools(len(table.models))
    perturbations = np.array([row.fields["perturbation"] for row in rows])
    rates = np.zeros(len(rows))
    for perturbation in set(perturbations):
        rivals = np.flatnonzero(perturbations == perturbation).tolist()
        scores = np.array([table.scores[_first_rows(rows[index])] for index in rivals])
        accuracies = table.cell_accuracies[_first_rows(rows[rivals[0]])]
        rates[rivals] = win_rates(scores, accuracies, pools).mean(axis=1)
    return list(rates.tolist())


def _changed_pools(row: Summary, table: ScoreTable) -> tuple[str, str]:
    """Return the range of the mean tau without one model, and the mean tau within families (may be empty)."""
    rows = _first_rows(row)
    pairs = list(zip(table.scores[rows], table.cell_accuracies[rows], strict=True))
    means = np.mean([leave_one_out(scores, accuracies) for scores, accuracies in pairs], axis=0)
    prefixes = [re.match(r"[a-z]+", name) for name in table.models]
    families = [match[0] if match else name for match, name in zip(prefixes, table.models, strict=True)]
    has_groups = len(set(families)) < len(families)
    within = [grouped_tau(scores, accuracies, families) for scores, accuracies in pairs if has_groups]
    return f"{means.min():.2f} to {means.max():.2f}", f"{np.mean(within):.2f}" if has_groups else ""


def _names(row: Summary) -> tuple[str, str]:
    return row.fields["metric"], row.fields["perturbation"]
