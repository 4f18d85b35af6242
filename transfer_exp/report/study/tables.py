"""The tables of a study's page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from math import comb

import numpy as np
import pandas as pd

from transfer_exp.evaluation.correlation import kendall
from transfer_exp.evaluation.dispersion import accuracy_spread, kendalls_w
from transfer_exp.evaluation.null_band import null_band
from transfer_exp.report.markdown import markdown
from transfer_exp.report.study.baselines import blind_band, seed_ceiling, static_tau
from transfer_exp.report.study.comparison import Comparison, comparisons
from transfer_exp.report.study.data import Cell, Study

HEADLINE = "logme"
"""The metric of the paper's headline."""
_CONTROLS = ("none", "pca")


def accuracies(study: Study) -> str:
    """Return the accuracy of every model on every target by regime, mean over seeds, the best of each in bold."""
    regimes = {regime: study.truth(regime) for regime in study.accuracies}

    def cell(place: int, model: int) -> str:
        values = [truth[place] for truth in regimes.values()]
        return " ".join(f"**{v[model]:.2f}**" if v[model] == v.max() else f"{v[model]:.2f}" for v in values)

    rows = [[name, *(cell(t, m) for t in range(len(study.targets)))] for m, name in enumerate(study.models)]
    spent = [
        f"{_words(regime)} ({len(runs)} seed{'s' * (len(runs) > 1)}, {study.hours[regime]:.1f} hours)"
        for regime, runs in study.accuracies.items()
    ]
    return f"{markdown(['model', *study.targets], rows)}\n\nIn each cell: {', '.join(spent)}."


def ground_truth(study: Study) -> str:
    """Return how far accuracies lie apart, how much seeds move them, and how well one seed ranks another."""
    rows = []
    for regime, runs in study.accuracies.items():
        truth = study.truth(regime)
        for place, target in enumerate(study.targets):
            spread, ceiling = accuracy_spread(truth[place]), seed_ceiling(study, regime, target)
            several = runs[np.isfinite(runs[:, place]).all(axis=1), place]
            noise = f"{100 * several.std(axis=0, ddof=1).mean():.1f}" if len(several) > 1 else ""
            best = study.models[int(truth[place].argmax())]
            row = [_words(regime), target, best, f"{spread.whole:.0f}", f"{spread.lead:.1f}", noise]
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
        rows.append([f"{_words(one)}, {_words(other)}", *(f"{kendall(a, b):.2f}" for a, b in pairs)])
    at = [study.targets.index(t) for t in study.averaged]
    alike = ", ".join(f"{_words(r)} {kendalls_w(study.truth(r)[at]):.2f}" for r in study.accuracies)
    return (
        f"{markdown(['regimes', *study.targets], rows)}\n\nKendall's tau of the accuracies. Concordance of the "
        f"{len(at)} targets (Kendall's W, 0 to 1): {alike}."
    )


def means(study: Study, regime: str) -> str:
    """Return tau_w of every metric after every perturbation, mean over targets, bold above what blind luck reaches."""
    high = blind_band(study, regime)[1]

    def cell(metric: str, perturbation: str) -> str:
        known = Cell(metric, perturbation) in study.scores
        return _bold(study.taus(Cell(metric, perturbation), regime, study.averaged)[0], high) if known else ""

    rows = [[m, *(cell(m, p) for p in study.perturbations)] for m in study.perturbable]
    body = markdown(["metric", *study.perturbations], rows)
    low, high = blind_band(study, regime)
    return (
        f"{body}\n\ntau_w with {_words(regime)}, mean over {len(study.averaged)} targets, all training images scored. "
        f"Bold lies above the 95 % band of rankings drawn blindly and kept for all targets, [{low:.2f}, {high:.2f}]."
    )


def blind(study: Study) -> str:
    """Return tau_w of what looks at no feature: baselines, and metrics of source probabilities, by target."""
    rows = []
    for regime in study.accuracies:
        static = {t: static_tau(study, regime, t) for t in study.targets}
        rows.append(_line(study, regime, "static_rank", len(study.models), static))
        for metric in study.metrics:
            if metric not in study.perturbable:
                cell = Cell(metric)
                models = int(np.isfinite(study.scores[cell]).all(axis=(0, 1)).sum())
                rows.append(
                    _line(study, regime, metric, models, {t: study.tau(cell, regime, t) for t in study.targets})
                )
    sizes = sorted({int(row[2]) for row in rows})
    bands = ["[{:.2f}, {:.2f}] for {}".format(*null_band(models), models) for models in sizes]
    head = ["regime", "ranked by", "models", *study.targets, f"mean without {study.control}"]
    return f"{markdown(head, rows)}\n\ntau_w; the 95 % null band of one target is {', '.join(bands)} models."


def _line(study: Study, regime: str, name: str, models: int, taus: Mapping[str, float]) -> list[str]:
    mean = float(np.mean([taus[t] for t in study.averaged]))
    return [_words(regime), name, str(models), *(f"{value:.2f}" for value in taus.values()), f"{mean:.2f}"]


def paired(study: Study, regime: str) -> str:
    """Return every perturbation against ``none`` and ``pca``: for the headline metric, and for the mean of all."""
    rows = []
    for label, metrics in _families(study).items():
        rows += [[label, *_compared(c)] for c in comparisons(study, regime, metrics)]
    head = ["", "perturbation", "against", "difference", "over models", "better, equal, worse"]
    head += ["Wilcoxon p", "permutation p", "Holm p", "flips"]
    targets, models = len(study.averaged), len(study.models)
    return (
        f"{markdown(head, rows)}\n\nDifferences of tau_w with {_words(regime)}, mean over {targets} targets; bold "
        f"where the 95 % bootstrap interval over models leaves out 0. With {targets} targets no p can fall below "
        f"{2.0 ** (1 - targets):.3f}. `flips`: share of the {comb(models, 2)} sub-pools without two models that turn "
        "the sign."
    )


def _compared(found: Comparison) -> list[str]:
    low, high = found.interval
    mean = f"**{found.mean:+.3f}**" if found.beyond_the_models else f"{found.mean:+.3f}"
    p = found.paired
    counts = f"{p.wins}, {p.ties}, {p.losses}"
    tests = [f"{value:.3f}" for value in (p.wilcoxon_p, p.permutation_p, found.holm_p)]
    return [found.perturbation, found.control, mean, f"[{low:+.2f}, {high:+.2f}]", counts, *tests, f"{found.flips:.0%}"]


def probe_sizes(study: Study, regime: str) -> str:
    """Return tau_w by number of images scored: every metric as it is, after PCA, and after the paper's method."""
    shown = [p for p in ("none", "pca", "spread_attract", "released") if p in study.perturbations]
    rows = []
    for metric in study.perturbable:
        cells = [Cell(metric, p, size) for p in shown for size in study.sizes]
        rows.append([metric, *(f"{study.taus(c, regime, study.averaged)[0]:.2f}" for c in cells)])
    everywhere = np.array([[float(value) for value in row[1:]] for row in rows])
    rows.append(["mean", *(f"{value:.2f}" for value in everywhere.mean(axis=0))])
    head = ["metric", *(f"{p} {size}" for p in shown for size in study.sizes)]
    return f"{markdown(head, rows)}\n\ntau_w with {_words(regime)}, mean over targets, by images a class."


def probe_size_effects(study: Study, regime: str) -> str:
    """Return every perturbation against ``none`` and ``pca`` by number of images scored, mean over metrics."""
    by_size = {size: comparisons(study, regime, study.perturbable, size) for size in study.sizes}
    rows = []
    for at, first in enumerate(next(iter(by_size.values()))):
        found = [by_size[size][at] for size in study.sizes]
        rows.append([first.perturbation, first.control, *(_compared(c)[2] + " " + _compared(c)[3] for c in found)])
    return markdown(
        ["perturbation", "against", *(f"{size} images" + " a class" * (size != "all") for size in study.sizes)], rows
    )


def verdict(study: Study) -> str:
    """Return what can be said of each perturbation, in words that follow from the comparisons by rule."""
    lines = []
    for perturbation in study.perturbations[1:]:
        said = []
        for name, metrics in _families(study).items():
            found = [
                f"{_outcomes(study, metrics, perturbation, control)} {words}"
                for control, words in (("none", "the raw features"), ("pca", "PCA alone"))
                if control != perturbation
            ]
            said.append(f"{name} {' and '.join(found)}")
        lines.append(f"- `{perturbation}`: {'; '.join(said)}.")
    counted = f"{len(study.accuracies)} regimes" if len(study.accuracies) > 1 else "one regime"
    return "\n".join(lines) + f"\n\nIn brackets, in how many of {counted}."


def changes(study: Study) -> str:
    """Return the numbers behind the verdict, bold where the interval over models leaves out 0."""
    rows = []
    for regime in study.accuracies:
        by_family = {
            name: {(c.perturbation, c.control): _compared(c)[2:4] for c in comparisons(study, regime, metrics)}
            for name, metrics in _families(study).items()
        }
        for perturbation in study.perturbations[1:]:
            cells = [
                " ".join(found.get((perturbation, control), []))
                for found in by_family.values()
                for control in _CONTROLS
            ]
            rows.append([_words(regime), perturbation, *cells])
    head = [f"{name} against {control}" for name in _families(study) for control in _CONTROLS]
    return markdown(["regime", "perturbation", *head], rows)


def _families(study: Study) -> dict[str, tuple[str, ...]]:
    """Return the sets of metrics that are told of together."""
    return {"LogME": (HEADLINE,), f"the mean of {len(study.perturbable)} metrics": study.perturbable}


def _outcomes(study: Study, metrics: tuple[str, ...], perturbation: str, control: str) -> str:
    """Say in how many regimes a perturbation does better or worse, which only counts where the models cannot be why."""
    found = []
    for regime in study.accuracies:
        pairs = {(c.perturbation, c.control): c for c in comparisons(study, regime, metrics)}
        one = pairs[perturbation, control]
        found.append(
            ("better than" if one.mean > 0 else "worse than") if one.beyond_the_models else "not told apart from"
        )
    counts = Counter(found).most_common()
    return ", ".join(f"{outcome} ({count})" for outcome, count in counts)


def every_tau(study: Study) -> pd.DataFrame:
    """Return tau_w of every cell with every regime: a column per target, to four digits, and their mean."""
    rows = []
    for regime in study.accuracies:
        for cell in sorted(study.scores, key=lambda c: (c.metric, c.perturbation, study.sizes.index(c.images))):
            taus = {t: study.tau(cell, regime, t) for t in study.targets}
            mean = float(np.mean([taus[t] for t in study.averaged]))
            what = [regime, cell.metric, cell.perturbation, cell.images]
            rows.append([*what, *(round(tau, 4) for tau in (*taus.values(), mean))])
    head = ["regime", "metric", "perturbation", "images_per_class", *study.targets, f"mean without {study.control}"]
    return pd.DataFrame(rows, columns=head)


def _bold(value: float, above: float) -> str:
    return f"**{value:.2f}**" if value > above else f"{value:.2f}"


def _words(regime: str) -> str:
    return regime.replace("_", " ")


TABLES: Mapping[str, Callable[..., str]] = {
    "accuracies": accuracies,
    "ground_truth": ground_truth,
    "agreement": agreement,
    "means": means,
    "blind": blind,
    "paired": paired,
    "probe_sizes": probe_sizes,
    "probe_size_effects": probe_size_effects,
    "verdict": verdict,
    "changes": changes,
}
"""Tables by the name of their block; what follows the name is a regime."""


def table(study: Study, asked: Sequence[str]) -> str:
    """Return one table by its name and options."""
    return TABLES[asked[0]](study, *asked[1:])
