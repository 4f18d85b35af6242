"""The tables of a study that tell of its accuracies, and of what ranks models without their features."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from studies.real_pool.baselines import seed_ceiling, static_tau
from studies.real_pool.data import Cell, Study
from studies.real_pool.words import words
from transfer_exp.evaluation.accuracy_spread import accuracy_spread, kendalls_w
from transfer_exp.evaluation.correlation import kendall
from transfer_exp.evaluation.null_band import null_band
from transfer_exp.report.markdown import markdown


def accuracies(study: Study) -> str:
    """Return the accuracy of every model on every target by regime, mean over seeds, the best of each in bold."""
    regimes = {regime: study.truth(regime) for regime in study.accuracies}

    def cell(place: int, model: int) -> str:
        values = [truth[place] for truth in regimes.values()]
        return " ".join(f"**{v[model]:.2f}**" if v[model] == v.max() else f"{v[model]:.2f}" for v in values)

    rows = [[name, *(cell(t, m) for t in range(len(study.targets)))] for m, name in enumerate(study.models)]
    spent = [
        f"{words(regime)} ({len(runs)} seed{'s' * (len(runs) > 1)}, {study.hours[regime]:.1f} hours)"
        for regime, runs in study.seed_accuracies.items()
    ]
    return f"{markdown(['model', *study.targets], rows)}\n\nIn each cell: {', '.join(spent)}."


def ground_truth(study: Study) -> str:
    """Return how far accuracies lie apart, how much seeds move them, and how well one seed ranks another."""
    rows = []
    for regime, runs in study.seed_accuracies.items():
        truth = study.truth(regime)
        for place, target in enumerate(study.targets):
            spread, ceiling = accuracy_spread(truth[place]), seed_ceiling(study, regime, target)
            several = runs[np.isfinite(runs[:, place]).all(axis=1), place]
            noise = f"{100 * several.std(axis=0, ddof=1).mean():.1f}" if len(several) > 1 else ""
            best = study.models[int(truth[place].argmax())]
            row = [words(regime), target, best, f"{spread.range:.0f}", f"{spread.lead:.1f}", noise]
            rows.append([*row, "" if ceiling is None else f"{ceiling:.2f}"])
    head = ["regime", "target", "best model", "best to worst", "best to second", "seed to seed", "tau_w of seeds"]
    return (
        f"{markdown(head, rows)}\n\nPoints of accuracy; `seed to seed` is the standard deviation over seeds, mean over "
        "models; the last column is tau_w of one seed's accuracies with the mean of the others': no metric can be "
        "expected to do better."
    )


def agreement(study: Study) -> str:
    """Return Kendall's tau between the accuracies of every two regimes by target, and how alike targets are."""
    rows = []
    for one, other in combinations(study.accuracies, 2):
        pairs = zip(study.truth(one), study.truth(other), strict=True)
        rows.append([f"{words(one)}, {words(other)}", *(f"{kendall(a, b):.2f}" for a, b in pairs)])
    at = [study.targets.index(t) for t in study.averaged]
    alike = ", ".join(f"{words(r)} {kendalls_w(study.truth(r)[at]):.2f}" for r in study.accuracies)
    return (
        f"{markdown(['regimes', *study.targets], rows)}\n\nKendall's tau of the accuracies. Concordance of the "
        f"{len(at)} targets (Kendall's W, 0 to 1): {alike}."
    )


def blind(study: Study) -> str:
    """Return tau_w of what looks at no feature: baselines, and metrics of source probabilities, by target."""
    rows = []
    for regime in study.accuracies:
        static = {t: static_tau(study, regime, t) for t in study.targets}
        rows.append(_line(study, regime, "static_rank", len(study.models), static))
        for metric in study.blind:
            models = int(np.isfinite(study.scores[Cell(metric)]).all(axis=0).sum())
            taus = {t: study.tau(Cell(metric), regime, t) for t in study.targets}
            rows.append(_line(study, regime, metric, models, taus))
    sizes = sorted({int(row[2]) for row in rows})
    bands = ["[{:.2f}, {:.2f}] for {}".format(*null_band(models), models) for models in sizes]
    head = ["regime", "ranked by", "models", *study.targets, f"mean without {study.control}"]
    return f"{markdown(head, rows)}\n\ntau_w; the 95 % null band of one target is {', '.join(bands)} models."


def _line(study: Study, regime: str, name: str, models: int, taus: Mapping[str, float]) -> list[str]:
    mean = float(np.mean([taus[t] for t in study.averaged]))
    return [words(regime), name, str(models), *(f"{value:.2f}" for value in taus.values()), f"{mean:.2f}"]
