"""Summary of every scoring variant over datasets, and its paired comparison with a control perturbation.

A variant is one combination of all fields of the table but dataset, seed and regime: a metric after a perturbation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from transfer_exp.evaluation.correlation import weighted_tau_many
from transfer_exp.evaluation.intervals import mean_tau_interval
from transfer_exp.evaluation.paired import PairedComparison, compare_paired, holm
from transfer_exp.evaluation.score_table import ScoreTable


@dataclass(frozen=True, eq=False)
class Summary:
    """Summary of one variant over datasets.

    Attributes:
        fields: Fields that identify the variant, such as metric and perturbation.
        rows: Row numbers of its cells in the `ScoreTable`, by dataset; several of one dataset are seeds.
        by_dataset: Every measure and the null band by dataset, means over seeds; ``tied`` is the share of tied seeds.
        models: Minimum and maximum number of models compared in a cell.
        paired: Comparison with the control over datasets. None without a control, for the control itself, and if no
            dataset has two models that both variants score.
        holm_p: ``paired.sign_flip_p`` after Holm's correction for all such comparisons of the regime.
    """

    fields: dict[str, str]
    rows: Mapping[str, np.ndarray]
    by_dataset: pd.DataFrame
    models: tuple[int, int]
    paired: PairedComparison | None = None
    holm_p: float | None = None

    @property
    def is_tied(self) -> bool:
        """Whether all scores or all accuracies are equal in every cell."""
        return bool((self.by_dataset["tied"] == 1).all())

    @property
    def above_band(self) -> int:
        """Number of datasets whose weighted tau lies above the null band of a single ranking."""
        return int((self.by_dataset["weighted_tau"] > self.by_dataset["null_high"]).sum())

    def mean(self, measure: str) -> float:
        """Return the mean of a measure over datasets."""
        return float(self.by_dataset[measure].mean())

    def tau_interval(self, table: ScoreTable) -> tuple[float, float]:
        """Compute the 95 % interval of the weighted tau, averaged over datasets, by resampling models."""
        rows = np.concatenate(list(self.rows.values()))
        weights = np.concatenate([np.full(len(numbers), 1 / len(numbers)) for numbers in self.rows.values()])
        return mean_tau_interval(table.scores[rows], table.cell_accuracies[rows], weights)


def summarize(table: ScoreTable, control: str | None = None) -> list[Summary]:
    """Summarize every variant, highest mean weighted tau first.

    Args:
        table: Scores and accuracies of one regime.
        control: Perturbation; each variant is compared with the one that differs only in having this perturbation.
            P-values are corrected over all variants of the table.
    """
    measures = [name for name in table.measures if name not in table.cells and name != "regime"]
    summaries = []
    for variant, rows in table.variants.items():
        cells = table.measures.iloc[np.sort(np.concatenate(list(rows.values())))]
        summaries.append(
            Summary(
                dict(zip(table.variant_fields, variant, strict=True)),
                rows,
                cells.groupby("dataset")[measures].mean(),
                (int(cells["models"].min()), int(cells["models"].max())),
            )
        )
    if control is not None:
        summaries = _compare(summaries, table, control)
    return sorted(summaries, key=lambda summary: -summary.mean("weighted_tau"))


def _compare(summaries: Sequence[Summary], table: ScoreTable, control: str) -> list[Summary]:
    """Add the paired comparison with the control to every variant that has one."""
    by_fields = {tuple(summary.fields.items()): summary for summary in summaries}
    compared = []
    for summary in summaries:
        baseline = by_fields.get(tuple({**summary.fields, "perturbation": control}.items()))
        if baseline is not None and baseline is not summary:
            paired = _compare_pair(summary, baseline, table)
            summary = replace(summary, paired=paired if paired.pairs else None)
        compared.append(summary)
    p_values = [summary.paired.sign_flip_p for summary in compared if summary.paired is not None]
    corrected = iter(holm(np.array(p_values)).tolist())
    return [summary if summary.paired is None else replace(summary, holm_p=next(corrected)) for summary in compared]


def _compare_pair(first: Summary, second: Summary, table: ScoreTable) -> PairedComparison:
    """Compare over datasets, using the models that both variants score with every seed of a dataset."""
    taus: tuple[dict[str, float | None], dict[str, float | None]] = ({}, {})
    for dataset in sorted(first.rows.keys() & second.rows.keys()):
        rows = np.concatenate([first.rows[dataset], second.rows[dataset]])
        is_complete = np.isfinite(table.scores[rows] + table.cell_accuracies[rows])
        shared = np.flatnonzero(is_complete.all(axis=0))
        for side, summary in zip(taus, (first, second), strict=True):
            variant_rows = summary.rows[dataset]
            if is_complete.sum() == len(shared) * len(rows):  # all rows score the same models: the summary has the tau
                side[dataset] = float(summary.by_dataset["weighted_tau"][dataset])
            elif len(shared) > 1:
                values = (table.scores[variant_rows][:, shared], table.cell_accuracies[variant_rows][:, shared])
                side[dataset] = float(weighted_tau_many(*values).mean())
    return compare_paired(*taus)
