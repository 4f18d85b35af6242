"""What each way to score is worth over all datasets, and against the same way without its perturbation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from transfer_exp.evaluation.mean_tau import mean_tau_interval
from transfer_exp.evaluation.paired import PairedComparison, compare_paired, holm
from transfer_exp.evaluation.score_table import Joined
from transfer_exp.evaluation.weighted_tau_many import weighted_tau_many

REPEATED = ("dataset", "seed")
"""Fields of a cell that means are over: the seeds of a dataset first, then datasets."""


@dataclass(frozen=True, eq=False)
class Summary:
    """One way to score, over datasets.

    Attributes
    ----------
    fields
        What it is: the fields of a cell but `REPEATED`.
    runs
        Places of its cells in `Joined`, by dataset; several where there are seeds.
    by_dataset
        Every measure and the null band by dataset, means over seeds; ``tied`` is the share of them.
    models
        Fewest and most models that one of its cells compares.
    paired
        Against the control, over datasets; None without one, or without a dataset that both have.
    holm_p
        ``paired.permutation_p`` corrected for all such comparisons of the regime.
    """

    fields: dict[str, str]
    runs: dict[str, np.ndarray]
    by_dataset: pd.DataFrame
    models: tuple[int, int]
    paired: PairedComparison | None = None
    holm_p: float | None = None

    def mean(self, measure: str) -> float:
        """Return a measure, mean over datasets."""
        return float(self.by_dataset[measure].mean())

    @property
    def above(self) -> int:
        """On how many datasets the weighted tau lies above the null band of a single run."""
        return int((self.by_dataset["weighted_tau"] > self.by_dataset["null_high"]).sum())


def summaries(joined: Joined, against: str | None) -> list[Summary]:
    """Summarise all cells, highest mean weighted tau first; compare each with its own under ``against``, if any."""
    names = [str(name) for name in joined.cells if name not in REPEATED]
    results = [name for name in joined.measured if name not in joined.cells and name != "regime"]
    found = [
        Summary(
            dict(zip(names, map(str, key), strict=True)),
            {str(dataset): own.index.to_numpy() for dataset, own in cells.groupby("dataset")},
            cells.groupby("dataset")[results].mean(),
            (int(cells["models"].min()), int(cells["models"].max())),
        )
        for key, cells in joined.measured.groupby(names)
    ]
    found = found if against is None else _compared(found, joined, against)
    return sorted(found, key=lambda summary: -summary.mean("weighted_tau"))


def interval(summary: Summary, joined: Joined) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean weighted tau over models, the same drawn on every dataset."""
    runs = np.concatenate(list(summary.runs.values()))
    weights = np.concatenate([np.full(len(own), 1 / len(own)) for own in summary.runs.values()])
    return mean_tau_interval(joined.scores[runs], joined.accuracies[runs], weights)


def _compared(found: Sequence[Summary], joined: Joined, against: str) -> list[Summary]:
    """Add the paired comparison with the control, where there is one that differs."""
    by_fields = {tuple(summary.fields.items()): summary for summary in found}
    compared = []
    for summary in found:
        control = by_fields.get(tuple({**summary.fields, "perturbation": against}.items()))
        if control is not None and control is not summary:
            paired = _paired(summary, control, joined)
            summary = replace(summary, paired=paired if paired.pairs else None)
        compared.append(summary)
    p_values = [summary.paired.permutation_p for summary in compared if summary.paired is not None]
    corrected = iter(holm(np.array(p_values)).tolist())
    return [summary if summary.paired is None else replace(summary, holm_p=next(corrected)) for summary in compared]


def _paired(first: Summary, second: Summary, joined: Joined) -> PairedComparison:
    """Compare over datasets, on the models that both score in every run of a dataset."""
    values: tuple[dict[str, float | None], dict[str, float | None]] = ({}, {})
    for dataset in sorted(first.runs.keys() & second.runs.keys()):
        every = np.concatenate([first.runs[dataset], second.runs[dataset]])
        known = np.isfinite(joined.scores[every] + joined.accuracies[every])
        shared = np.flatnonzero(known.all(axis=0))
        for side, summary in zip(values, (first, second), strict=True):
            own = summary.runs[dataset]
            if known.sum() == len(shared) * len(known):  # no model is left out: the taus are there
                side[dataset] = float(summary.by_dataset["weighted_tau"][dataset])
            elif len(shared) > 1:
                taus = weighted_tau_many(joined.scores[own][:, shared], joined.accuracies[own][:, shared])
                side[dataset] = float(taus.mean())
    return compare_paired(*values)
