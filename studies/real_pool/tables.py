"""Tables of the page of the study, by the names of their blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from itertools import combinations
from math import comb

import numpy as np
import pandas as pd

from studies.real_pool.comparisons import Comparison, comparisons, random_ranking_band, seed_ceiling, static_tau
from studies.real_pool.data import Cell, Study
from studies.wilcoxon import wilcoxon_p
from transfer_exp.evaluation.accuracy_spread import accuracy_spread, kendalls_w
from transfer_exp.evaluation.correlation import kendall
from transfer_exp.evaluation.null_band import null_band
from transfer_exp.report.markdown import markdown

HEADLINE = "logme"
"""The metric of the paper's main claim."""
_REFERENCES = {"none": "the raw features", "pca": "PCA alone"}


def regime_label(regime: str) -> str:
    """Return the name of a regime with spaces, for text."""
    return regime.replace("_", " ")


def _families(study: Study) -> dict[str, tuple[str, ...]]:
    """Return the sets of metrics whose mean is compared: LogME alone, and all metrics."""
    return {"LogME": (HEADLINE,), f"the mean of {len(study.perturbable)} metrics": study.perturbable}


def _comparison_cells(comparison: Comparison) -> list[str]:
    """Return a comparison as the cells of a row, bold where the interval over models excludes 0."""
    low, high = comparison.interval
    mean = f"**{comparison.mean:+.3f}**" if comparison.is_clear else f"{comparison.mean:+.3f}"
    paired = comparison.paired
    counts = f"{paired.wins}, {paired.ties}, {paired.losses}"
    p_values = [f"{value:.3f}" for value in (wilcoxon_p(paired), paired.sign_flip_p, comparison.holm_p)]
    names = [comparison.perturbation, comparison.reference]
    return [*names, mean, f"[{low:+.2f}, {high:+.2f}]", counts, *p_values, f"{comparison.flips:.0%}"]


def verdict(study: Study) -> str:
    """Return in how many regimes each perturbation is clearly better or worse than the raw features and PCA alone."""
    head = [f"{family} against {label}" for family in _families(study) for label in _REFERENCES.values()]
    rows = []
    for perturbation in study.perturbations[1:]:
        cells = [
            "" if reference == perturbation else _outcome(study, metrics, perturbation, reference)
            for metrics in _families(study).values()
            for reference in _REFERENCES
        ]
        rows.append([f"`{perturbation}`", *cells])
    return (
        f"{markdown(['perturbation', *head], rows)}\n\n*better*, *worse*: the 95 % interval of the difference of tau_w "
        f"over the models excludes zero. In brackets: ways of fine-tuning, of {len(study.accuracies)}."
    )


def _outcome(study: Study, metrics: tuple[str, ...], perturbation: str, reference: str) -> str:
    """Return how a perturbation compares with its reference, and in how many regimes, such as ``better (3)``."""
    outcomes = []
    for regime in study.accuracies:
        by_pair = {(c.perturbation, c.reference): c for c in comparisons(study, regime, metrics)}
        comparison = by_pair[perturbation, reference]
        direction = "better" if comparison.mean > 0 else "worse"
        outcomes.append(direction if comparison.is_clear else "not clear")
    return ", ".join(f"{outcome} ({count})" for outcome, count in Counter(outcomes).most_common())


def _cells_by_pair(study: Study, regime: str, metrics: tuple[str, ...]) -> dict[tuple[str, str], list[str]]:
    """Return the cells of each comparison by perturbation and reference."""
    return {(c.perturbation, c.reference): _comparison_cells(c) for c in comparisons(study, regime, metrics)}


def changes(study: Study) -> str:
    """Return the differences behind the verdict, bold where the interval over models excludes 0."""
    rows = []
    for regime in study.accuracies:
        by_family = {
            family: {pair: cells[2:4] for pair, cells in _cells_by_pair(study, regime, metrics).items()}
            for family, metrics in _families(study).items()
        }
        for perturbation in study.perturbations[1:]:
            cells = [
                " ".join(differences.get((perturbation, reference), []))
                for differences in by_family.values()
                for reference in _REFERENCES
            ]
            rows.append([regime_label(regime), perturbation, *cells])
    head = [f"{family} against {reference}" for family in _families(study) for reference in _REFERENCES]
    table = markdown(["regime", "perturbation", *head], rows)
    return (
        f"{table}\n\nDifferences of tau_w, mean over {len(study.averaged)} targets, with the 95 % bootstrap interval "
        f"over the {len(study.models)} models. Bold: the interval excludes 0."
    )


def means(study: Study, regime: str) -> str:
    """Return tau_w of every metric after every perturbation, bold above the band of random rankings."""
    low, high = random_ranking_band(study, regime)

    def cell(metric: str, perturbation: str) -> str:
        tau = study.taus(Cell(metric, perturbation), regime, study.averaged)[0]
        return f"**{tau:.2f}**" if tau > high else f"{tau:.2f}"

    rows = [[m, *(cell(m, p) for p in study.perturbations)] for m in study.perturbable]
    return (
        f"{markdown(['metric', *study.perturbations], rows)}\n\ntau_w with {regime_label(regime)}, mean over "
        f"{len(study.averaged)} targets, all training images scored. Bold: above [{low:.2f}, {high:.2f}], which holds "
        "95 % of random rankings (one ranking for all targets)."
    )


def further(study: Study) -> str:
    """Return tau_w of the metrics that were scored on raw features and after PCA only, by regime."""
    cells = [Cell(metric, perturbation) for metric in study.further for perturbation in ("none", "pca")]
    bands = {regime: random_ranking_band(study, regime) for regime in study.accuracies}

    def text(cell: Cell, regime: str) -> str:
        tau = study.taus(cell, regime, study.averaged)[0]
        return f"**{tau:.2f}**" if tau > bands[regime][1] else f"{tau:.2f}"

    rows = [[cell.metric, cell.perturbation, *(text(cell, regime) for regime in bands)] for cell in cells]
    notes = [f"[{low:.2f}, {high:.2f}] with {regime_label(regime)}" for regime, (low, high) in bands.items()]
    return (
        f"{markdown(['metric', 'perturbation', *map(regime_label, bands)], rows)}\n\ntau_w, mean over "
        f"{len(study.averaged)} targets, all training images scored. Bold: above {', '.join(notes)}, which holds 95 % "
        "of random rankings (one ranking for all targets)."
    )


def paired(study: Study, regime: str) -> str:
    """Return every perturbation against ``none`` and ``pca``: for LogME, and for the mean of all metrics."""
    rows = []
    for family, metrics in _families(study).items():
        rows += [[family, *_comparison_cells(c)] for c in comparisons(study, regime, metrics)]
    head = ["metric", "perturbation", "against", "difference", "95 % interval", "targets better, equal, worse"]
    head += ["Wilcoxon p", "sign-flip p", "Holm p", "flips"]
    n_targets, n_models = len(study.averaged), len(study.models)
    return (
        f"{markdown(head, rows)}\n\nDifferences of tau_w with {regime_label(regime)}, mean over {n_targets} targets. "
        f"The interval is over models; bold: it excludes 0. With {n_targets} targets no p-value can be below "
        f"{2.0 ** (1 - n_targets):.3f}. Holm p: the larger of the two p-values, corrected for the rows of the same "
        f"metric. Flips: share of the {comb(n_models, 2)} pools with two models left out in which the difference "
        "changes its sign."
    )


def scoring_set_sizes(study: Study, regime: str) -> str:
    """Return tau_w by number of images scored: raw, after PCA, and after the method of the paper and its release."""
    names = [p for p in ("none", "pca", "spread_attract", "released") if p in study.perturbations]
    columns = [(p, size) for p in names for size in study.sizes]
    taus = {m: [study.taus(Cell(m, *c), regime, study.averaged)[0] for c in columns] for m in study.perturbable}
    taus["mean"] = np.mean(list(taus.values()), axis=0).tolist()
    rows = [[name, *(f"{tau:.2f}" for tau in values)] for name, values in taus.items()]
    head = ["metric", *(f"{p} {size}" for p, size in columns)]
    return (
        f"{markdown(head, rows)}\n\ntau_w with {regime_label(regime)}, mean over targets, by perturbation and number "
        "of images per class."
    )


def scoring_set_size_effects(study: Study, regime: str) -> str:
    """Return every perturbation against ``none`` and ``pca`` by number of images scored, mean over metrics."""
    by_size = {size: comparisons(study, regime, study.perturbable, size) for size in study.sizes}
    rows = []
    for i, first in enumerate(next(iter(by_size.values()))):
        cells = [_comparison_cells(by_size[size][i]) for size in study.sizes]
        rows.append([first.perturbation, first.reference, *(f"{cell[2]} {cell[3]}" for cell in cells)])
    sizes = (f"{size} images" + " per class" * (size != "all") for size in study.sizes)
    return markdown(["perturbation", "against", *sizes], rows)


def without_features(study: Study) -> str:
    """Return tau_w of rankings that use no features: baselines, and metrics of source probabilities."""
    rows = []
    for regime in study.accuracies:
        static = {t: static_tau(study, regime, t) for t in study.targets}
        rows.append(_baseline_row(study, regime, "static_rank", len(study.models), static))
        for metric in study.blind:
            n_models = int(np.isfinite(study.scores[Cell(metric)]).all(axis=0).sum())
            taus = {t: study.tau(Cell(metric), regime, t) for t in study.targets}
            rows.append(_baseline_row(study, regime, metric, n_models, taus))
    sizes = sorted({int(row[2]) for row in rows})
    bands = ["[{:.2f}, {:.2f}] for {}".format(*null_band(size), size) for size in sizes]
    head = ["regime", "ranked by", "models", *study.targets, f"mean without {study.control}"]
    return f"{markdown(head, rows)}\n\ntau_w. The 95 % null band of one target is {' and '.join(bands)} models."


def _baseline_row(study: Study, regime: str, name: str, n_models: int, taus: Mapping[str, float]) -> list[str]:
    mean = float(np.mean([taus[t] for t in study.averaged]))
    return [regime_label(regime), name, str(n_models), *(f"{tau:.2f}" for tau in taus.values()), f"{mean:.2f}"]


def ground_truth(study: Study) -> str:
    """Return how far the accuracies of each target lie apart, and how much they differ between seeds."""
    rows = []
    for regime, runs in study.seed_accuracies.items():
        truth = study.truth(regime)
        for i, target in enumerate(study.targets):
            spread, ceiling = accuracy_spread(truth[i]), seed_ceiling(study, regime, target)
            complete = runs[np.isfinite(runs[:, i]).all(axis=1), i]
            noise = f"{100 * complete.std(axis=0, ddof=1).mean():.1f}" if len(complete) > 1 else ""
            best = study.models[int(truth[i].argmax())]
            row = [regime_label(regime), target, best, f"{spread.range:.0f}", f"{spread.lead:.1f}", noise]
            rows.append([*row, "" if ceiling is None else f"{ceiling:.2f}"])
    head = ["regime", "target", "best model", "best minus worst", "best minus second", "standard deviation over seeds"]
    head.append("tau_w between seeds")
    return (
        f"{markdown(head, rows)}\n\nPercentage points of accuracy; the standard deviation is a mean over models. The "
        "last column is the tau_w of one seed's accuracies with the mean of the others: a metric that reaches it ranks "
        "as well as a second fine-tuning run."
    )


def agreement(study: Study) -> str:
    """Return Kendall's tau between the accuracies of every two regimes, and the concordance of the targets."""
    rows = []
    for first, second in combinations(study.accuracies, 2):
        pairs = zip(study.truth(first), study.truth(second), strict=True)
        rows.append([f"{regime_label(first)}, {regime_label(second)}", *(f"{kendall(a, b):.2f}" for a, b in pairs)])
    averaged = [study.targets.index(t) for t in study.averaged]
    concordance = ", ".join(f"{regime_label(r)} {kendalls_w(study.truth(r)[averaged]):.2f}" for r in study.accuracies)
    return (
        f"{markdown(['regimes', *study.targets], rows)}\n\nKendall's tau of the accuracies. Agreement of the "
        f"{len(averaged)} targets on the order of the models (Kendall's W, 0 to 1): {concordance}."
    )


def accuracies(study: Study) -> str:
    """Return the accuracy of every model on every target by regime, mean over seeds, the best of each in bold."""
    regimes = {regime: study.truth(regime) for regime in study.accuracies}

    def cell(target: int, model: int) -> str:
        values = [truth[target] for truth in regimes.values()]
        return " ".join(f"**{v[model]:.2f}**" if v[model] == v.max() else f"{v[model]:.2f}" for v in values)

    rows = [[name, *(cell(t, m) for t in range(len(study.targets)))] for m, name in enumerate(study.models)]
    legend = [
        f"{regime_label(regime)} ({len(runs)} seed{'s' * (len(runs) > 1)}, {study.hours[regime]:.1f} hours)"
        for regime, runs in study.seed_accuracies.items()
    ]
    return f"Each cell: {', '.join(legend)}. Bold: the best.\n\n{markdown(['model', *study.targets], rows)}"


def all_taus(study: Study) -> pd.DataFrame:
    """Return tau_w of every cell and regime: a column per target, four digits, and the mean without the control."""
    rows = []
    for regime in study.accuracies:
        for cell in sorted(study.scores, key=lambda c: (c.metric, c.perturbation, study.sizes.index(c.images))):
            taus = {t: study.tau(cell, regime, t) for t in study.targets}
            mean = float(np.mean([taus[t] for t in study.averaged]))
            names = [regime, cell.metric, cell.perturbation, cell.images]
            rows.append([*names, *(round(tau, 4) for tau in (*taus.values(), mean))])
    head = ["regime", "metric", "perturbation", "images_per_class", *study.targets, f"mean without {study.control}"]
    return pd.DataFrame(rows, columns=head)


TABLES: Mapping[str, Callable[..., str]] = {
    "accuracies": accuracies,
    "agreement": agreement,
    "changes": changes,
    "further": further,
    "ground_truth": ground_truth,
    "means": means,
    "paired": paired,
    "scoring_set_size_effects": scoring_set_size_effects,
    "scoring_set_sizes": scoring_set_sizes,
    "verdict": verdict,
    "without_features": without_features,
}
"""Tables by the name of their block; an argument after the name is a regime."""
