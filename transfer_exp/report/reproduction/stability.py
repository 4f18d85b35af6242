"""What a reproduction leaves open: how much the pool leaves to rank, and how far a result hangs on single models."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from transfer_exp.evaluation.dispersion import accuracy_spread, grouped_tau, kendalls_w
from transfer_exp.evaluation.score_table import Joined
from transfer_exp.evaluation.stability import leave_one_out, sub_pools, win_rates
from transfer_exp.evaluation.summary import Summary
from transfer_exp.report.markdown import markdown

_HEAD = ("metric", "perturbation", "wins", "without one model", "within families")
_WORDS = """\
*Wins*: share of the sub-pools without two models, over all targets, in which the row has the highest tau_w of all rows
of its perturbation; equal ones share. *Without one model*: lowest and highest mean tau_w when any one is left out.
*Within families*: tau_w of models of one family only, families by the letters a name begins with, mean over targets."""


def stability(rows: Sequence[Summary], joined: Joined) -> Iterator[str]:
    """Yield what there is to say of a regime; rows that do not score every model on every target are left out.

    Sub-pools as Agostinelli et al., ECCV 2022 (`win_rates`), grouped tau after Torgerson, 1956 (`grouped_tau`).
    """
    yield _pool(joined)
    whole = [row for row in rows if _complete(row, joined)]
    if not whole or len(joined.truth.accuracies.columns) < 4:
        return
    won = dict(zip(map(id, whole), _wins(whole, joined), strict=True))
    yield markdown(_HEAD, [[*_names(row), f"{won[id(row)]:.2f}", *_without(row, joined)] for row in whole])
    yield _WORDS


def _pool(joined: Joined) -> str:
    """Say how far apart the models are, and how much the targets agree on their order."""
    known = joined.truth.accuracies.loc[list(joined.datasets)]
    complete = known.dropna(axis=1).to_numpy()
    spreads = [accuracy_spread(row) for row in complete]
    whole, lead = np.median([s.whole for s in spreads]), np.median([s.lead for s in spreads])
    said = f"Best and worst model are {whole:.1f} points apart on the median target, best and second best {lead:.1f}."
    if len(complete) < 2:
        return said
    return f"{said} Kendall's W of the targets' rankings: {kendalls_w(complete):.2f} (1: one order serves all)."


def _complete(row: Summary, joined: Joined) -> bool:
    runs = _runs(row)
    return len(row.runs) == len(joined.datasets) and bool(
        np.isfinite(joined.scores[runs] + joined.accuracies[runs]).all()
    )


def _runs(row: Summary) -> np.ndarray:
    """Return the place of one run per target, the first of several seeds."""
    return np.array([places[0] for _, places in sorted(row.runs.items())])


def _wins(rows: Sequence[Summary], joined: Joined) -> list[float]:
    """Return the win rate of each row among those of its perturbation."""
    models = joined.scores.shape[1]
    pools = sub_pools(models)
    rates: dict[int, float] = {}
    for perturbation in {row.fields["perturbation"] for row in rows}:
        rivals = [row for row in rows if row.fields["perturbation"] == perturbation]
        scores = np.array([joined.scores[_runs(row)] for row in rivals])
        found = win_rates(scores, joined.accuracies[_runs(rivals[0])], pools).mean(axis=1)
        rates |= dict(zip(map(id, rivals), found.tolist(), strict=True))
    return [rates[id(row)] for row in rows]


def _without(row: Summary, joined: Joined) -> tuple[str, str]:
    """Return the range of the mean tau without one model, and the tau within families, empty where there are none."""
    runs = _runs(row)
    pairs = list(zip(joined.scores[runs], joined.accuracies[runs], strict=True))
    means = np.mean([leave_one_out(scores, truth) for scores, truth in pairs], axis=0)
    families = [_family(name) for name in joined.truth.accuracies.columns]
    within = ""
    if len(set(families)) < len(families):
        within = f"{np.mean([grouped_tau(scores, truth, families) for scores, truth in pairs]):.2f}"
    return f"{means.min():.2f} to {means.max():.2f}", within


def _family(name: str) -> str:
    """Return the letters that a name begins with: ``resnet`` of resnet34."""
    found = re.match(r"[a-z]+", name)
    return found[0] if found else name


def _names(row: Summary) -> tuple[str, str]:
    return row.fields["metric"], row.fields["perturbation"]
