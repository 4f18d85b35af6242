"""Every cell of scores beside the accuracies of its dataset, and how well the two agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.evaluation.accuracy_source import Truth
from transfer_exp.evaluation.ranking import Agreement, Ranking
from transfer_exp.evaluation.static_ranking import tau_of_static_rank
from transfer_exp.io.atomic import write_atomically
from transfer_exp.results.cell import ModelResult


@dataclass(frozen=True, eq=False)
class Joined:
    """The cells whose dataset has accuracies under one regime.

    Attributes
    ----------
    truth
        Of the models that have scores, too.
    cells
        Fields of each cell, text.
    scores, accuracies
        (C, M), NaN where there is none.
    agreements
        Of each cell.
    notes
        What was left out, in lines.
    """

    truth: Truth
    cells: pd.DataFrame
    scores: Float[np.ndarray, "cells models"]
    accuracies: Float[np.ndarray, "cells models"]
    agreements: tuple[Agreement, ...]
    notes: tuple[str, ...]

    @cached_property
    def datasets(self) -> tuple[str, ...]:
        """Those of the cells, in order."""
        return tuple(sorted(set(self.cells["dataset"])))

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """How many models each cell compares."""
        return tuple((np.isfinite(self.scores) & np.isfinite(self.accuracies)).sum(axis=1).tolist())

    @cached_property
    def measured(self) -> pd.DataFrame:
        """Every cell as a row: its fields, the regime, the measures, the null band, how many models, whether tied."""
        rows = [
            {"regime": self.truth.regime, "models": size, "tied": found.tied, **_band(found), **found.measures}
            for size, found in zip(self.sizes, self.agreements, strict=True)
        ]
        results = pd.DataFrame(rows)
        if clash := set(results) & set(self.cells):
            raise InputError(
                f"the scores have a column {min(map(str, clash))}, which the results have as well: rename it"
            )
        return pd.concat([self.cells, results], axis=1)

    @cached_property
    def static(self) -> dict[str, float]:
        """Weighted tau of the static ranking by dataset, where there are accuracies on others to rank by."""
        found = {}
        for dataset in self.datasets:
            own = self.truth.accuracies.loc[dataset].dropna()
            others = self.truth.accuracies.drop(index=dataset)[own.index]
            try:
                found[dataset] = tau_of_static_rank(own.to_numpy(), others.to_numpy())
            except (NotApplicableError, InputError):
                continue  # no other dataset has accuracies of these models
        return found


def join(scores: pd.DataFrame, truth: Truth, ranking: Ranking) -> Joined:
    """Put the cells of `read_score_file` beside accuracies.

    Raises
    ------
    InputError
        When one table names datasets and the other does not, fewer than two models or no dataset are common, or no
        cell scores two of the models.
    """
    known, where = truth.accuracies, f"accuracies of {truth.regime}" if truth.regime else "accuracies"
    scored = scores.index.get_level_values("dataset")
    if ("" in set(scored)) != ("" in known.index):
        unsaid = "scores" if "" in set(scored) else "accuracies"
        raise InputError(f"the {unsaid} do not say their dataset, and the other table does: add a column dataset")
    models = sorted(set(map(str, scores)) & set(map(str, known)))
    datasets = sorted(set(scored) & set(known.index))
    if len(models) < 2 or not datasets:
        raise InputError(
            f"{len(models)} models and {len(datasets)} datasets have both scores and {where}: need two models and a "
            "dataset, named alike in both tables"
        )
    notes = [*truth.notes, *_apart("model", scores.columns, known.columns), *_apart("dataset", scored, known.index)]
    own = scores[scored.isin(datasets)][models]
    accuracies = known.loc[own.index.get_level_values("dataset"), models].to_numpy()
    enough = (np.isfinite(own.to_numpy()) & np.isfinite(accuracies)).sum(axis=1) > 1
    if not enough.any():
        fields = ", ".join(str(name) for name in own.index.names)
        raise InputError(f"no cell scores two models: take out of {fields} what differs from model to model")
    if not enough.all():
        notes.append(f"{(~enough).sum()} of {len(own)} cells score fewer than two models: left out")
    own, accuracies = own[enough], accuracies[enough]
    cells = own.index.to_frame(index=False)
    kept = Truth(truth.regime, known[models])
    agreements = _agreements(cells, own.to_numpy(), accuracies, models, ranking)
    return Joined(kept, cells, own.to_numpy(), accuracies, agreements, tuple(notes))


def join_all(scores: pd.DataFrame, truths: Sequence[Truth], ranking: Ranking) -> tuple[list[Joined], list[str]]:
    """Put scores beside the accuracies of every regime that they can be put beside.

    Returns
    -------
    joined
        One or more.
    notes
        What holds for all of them, and which regimes could not be used and why; what holds for one is with it.

    Raises
    ------
    InputError
        As `join`, when no regime can be used.
    """
    found, refused = [], []
    for truth in truths:
        try:
            found.append(join(scores, truth, ranking))
        except InputError as error:
            refused.append(error)
    if not found:
        raise refused[0]
    shared = [note for note in found[0].notes if all(note in part.notes for part in found)]
    own = [replace(part, notes=tuple(note for note in part.notes if note not in shared)) for part in found]
    return own, [*shared, *(f"left out: {error}" for error in refused)]


def write_measures(joined: Sequence[Joined], path: Path) -> int:
    """Write the measures of every cell under every regime as CSV, and return how many rows that is."""
    rows = pd.concat([part.measured for part in joined])
    write_atomically(path, lambda temporary: rows.to_csv(temporary, index=False, lineterminator="\n"))
    return len(rows)


def _band(found: Agreement) -> dict[str, float]:
    low, high = found.null_band or (np.nan, np.nan)
    return {"null_low": low, "null_high": high}


def _apart(kind: str, scored: Iterable[str], known: Iterable[str]) -> list[str]:
    """Say which names only one of the tables has."""
    found = {"accuracies": set(scored) - set(known), "scores": set(known) - set(scored)}
    return [
        f"{kind}s without {what} ({len(names)}): {', '.join(sorted(names))}" for what, names in found.items() if names
    ]


def _agreements(
    cells: pd.DataFrame, scores: np.ndarray, accuracies: np.ndarray, models: Sequence[str], ranking: Ranking
) -> tuple[Agreement, ...]:
    """Evaluate each cell."""
    return tuple(
        ranking(metric, [ModelResult(*result) for result in zip(models, _or_none(own), _or_none(truth), strict=True)])
        for metric, own, truth in zip(cells["metric"], scores, accuracies, strict=True)
    )


def _or_none(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
