"""Tables of the page of the study, by the names of their blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from studies.real_pool.comparisons import Comparison, comparisons, random_ranking_band, seed_ceiling, static_tau
from studies.real_pool.data import Cell, Study
from studies.wilcoxon import wilcoxon_p
from transfer_exp.errors import InputError, suggestion
from transfer_exp.evaluation.accuracy_spread import kendalls_w
from transfer_exp.evaluation.correlation import kendall
from transfer_exp.report.markdown import markdown

HEADLINE = "logme"
"""The metric of the paper's main claim."""
RAW = "raw features"
"""Name of the perturbation ``none`` on the page."""
_REFERENCES = {"none": RAW, "pca": "PCA"}
_RANDOM = "random"


def regime_label(regime: str) -> str:
    """Return the name of a regime with spaces, for text."""
    return regime.replace("_", " ")


def perturbation_label(perturbation: str) -> str:
    """Return the name of a perturbation on the page."""
    return RAW if perturbation == "none" else perturbation


def tau_text(tau: float) -> str:
    """Return a tau_w with two digits and no sign on zero."""
    return f"{round(tau, 2) + 0.0:.2f}"


def _families(study: Study) -> dict[str, tuple[str, ...]]:
    """Return the sets of metrics whose mean is compared: LogME alone, and all metrics."""
    return {"LogME": (HEADLINE,), f"mean of {len(study.distinct)} metrics": study.distinct}


def _by_pair(study: Study, regime: str, metrics: tuple[str, ...]) -> dict[tuple[str, str], Comparison]:
    return {(c.perturbation, c.reference): c for c in comparisons(study, regime, metrics)}


def _heads(study: Study) -> list[str]:
    return [f"{family}, against {label}" for family in _families(study) for label in _REFERENCES.values()]


def verdict(study: Study) -> str:
    """Return whether each perturbation is clearly better or worse than the raw features and PCA, with target counts."""
    rows = []
    for perturbation in study.perturbations[1:]:
        cells = [
            "" if reference == perturbation else _outcome(study, metrics, perturbation, reference)
            for metrics in _families(study).values()
            for reference in _REFERENCES
        ]
        rows.append([f"`{perturbation}`", *cells])
    regimes = ", ".join(map(regime_label, study.accuracies))
    caption = (
        f"*Better*, *worse*: in every regime, the 95 % interval of the difference over the {len(study.models)} models "
        f"excludes zero. In brackets: on how many of the {len(study.averaged)} targets tau_w is higher ({regimes})."
    )
    return f"{caption}\n\n{markdown(['perturbation', *_heads(study)], rows)}"


def _outcome(study: Study, metrics: tuple[str, ...], perturbation: str, reference: str) -> str:
    """Return how a perturbation compares with its reference, and its wins by regime, such as ``better (5, 4, 5)``."""
    results = [_by_pair(study, regime, metrics)[perturbation, reference] for regime in study.accuracies]
    outcomes = Counter(("better" if c.mean > 0 else "worse") if c.is_clear else "not clear" for c in results)
    texts = [outcome if len(outcomes) == 1 else f"{outcome} in {n}" for outcome, n in outcomes.most_common()]
    return f"{', '.join(texts)} ({', '.join(str(c.paired.wins) for c in results)})"


def changes(study: Study, regime: str) -> str:
    """Return the differences behind the verdict for one regime, bold where the interval over models excludes 0."""
    families = [_by_pair(study, regime, metrics) for metrics in _families(study).values()]
    rows = []
    for perturbation in study.perturbations[1:]:
        results = [by_pair.get((perturbation, reference)) for by_pair in families for reference in _REFERENCES]
        rows.append([perturbation, *("" if c is None else _difference_text(c) for c in results)])
    caption = (
        f"Difference of tau_w with {regime_label(regime)}, mean over {len(study.averaged)} targets. Its 95 % interval "
        f"is over the {len(study.models)} models. Bold: the interval excludes 0."
    )
    return f"{caption}\n\n{markdown(['perturbation', *_heads(study)], rows)}"


def _difference_text(comparison: Comparison) -> str:
    low, high = comparison.interval
    mean = f"**{comparison.mean:+.3f}**" if comparison.is_clear else f"{comparison.mean:+.3f}"
    return f"{mean} [{low:+.3f}, {high:+.3f}]"


def means(study: Study, regime: str) -> str:
    """Return tau_w of every metric after every perturbation and of the baselines, bold above the random band."""
    low, high = random_ranking_band(study, regime)
    rows = []
    for metric in study.distinct:
        taus = [study.taus(Cell(metric, p), regime, study.averaged)[0] for p in study.perturbations]
        rows.append([metric, *(_marked(tau, high) for tau in taus)])
    static = float(np.mean([static_tau(study, regime, target) for target in study.averaged]))
    rows.append(["static_rank (baseline)", _marked(static, high), *[""] * (len(study.perturbations) - 1)])
    head = ["metric", *map(perturbation_label, study.perturbations)]
    return f"{_tau_caption(study, regime, low, high)}\n\n{markdown(head, rows)}"


def _tau_caption(study: Study, regime: str, low: float, high: float) -> str:
    return (
        f"Mean tau_w over {len(study.averaged)} targets with {regime_label(regime)}, all training images scored. Bold: "
        f"above [{low:.2f}, {high:.2f}], which holds 95 % of random rankings (one ranking for all targets)."
    )


def _marked(tau: float, high: float) -> str:
    return f"**{tau_text(tau)}**" if tau > high else tau_text(tau)


def further(study: Study, regime: str) -> str:
    """Return tau_w of the metrics that were scored on raw features and after PCA only."""
    low, high = random_ranking_band(study, regime)
    rows = []
    for metric in study.further:
        taus = [study.taus(Cell(metric, p), regime, study.averaged)[0] for p in _REFERENCES]
        rows.append([metric, *(_marked(tau, high) for tau in taus)])
    return f"{_tau_caption(study, regime, low, high)}\n\n{markdown(['metric', *_REFERENCES.values()], rows)}"


def scoring_set_sizes(study: Study, regime: str, *metrics: str) -> str:
    """Return tau_w on raw features and after PCA by number of images scored: some metrics, and the mean of all."""
    for metric in metrics:
        if metric not in study.distinct:
            raise InputError(f"the study has no metric '{metric}': {suggestion(metric, study.distinct)}")
    columns = [(p, size) for p in _REFERENCES for size in study.sizes]
    taus = {m: [study.taus(Cell(m, *c), regime, study.averaged)[0] for c in columns] for m in study.distinct}
    mean = np.mean(list(taus.values()), axis=0).tolist()
    rows = [[m, *map(tau_text, taus[m])] for m in metrics]
    rows.append([f"mean of {len(taus)} metrics", *map(tau_text, mean)])
    low, high = random_ranking_band(study, regime)
    caption = (
        f"Mean tau_w over {len(study.averaged)} targets with {regime_label(regime)}, by number of images scored per "
        f"class. Random rankings: {low:.2f} to {high:.2f} (95 %)."
    )
    return f"{caption}\n\n{markdown(['metric', *(f'{_REFERENCES[p]}, {size}' for p, size in columns)], rows)}"


def without_features(study: Study) -> str:
    """Return the mean tau_w of rankings that use no features, with the band of random rankings of the same models."""
    every_model = tuple(range(len(study.models)))
    rows = {"static_rank": (every_model, {r: _static_mean(study, r) for r in study.accuracies})}
    for metric in study.blind:
        if metric != _RANDOM:  # its stored scores are a single draw
            models = tuple(np.flatnonzero(np.isfinite(study.scores[Cell(metric)]).all(axis=0)).tolist())
            taus = {r: float(study.taus(Cell(metric), r, study.averaged)[0]) for r in study.accuracies}
            rows[metric] = models, taus
    lines = []
    for name, (models, taus) in sorted(rows.items(), key=lambda row: (-len(row[1][0]), row[0])):
        bands = [random_ranking_band(study, regime, models) for regime in study.accuracies]
        low, high = min(band[0] for band in bands), max(band[1] for band in bands)
        lines.append([name, str(len(models)), *map(tau_text, taus.values()), f"{low:.2f} to {high:.2f}"])
    caption = (
        f"Mean tau_w over {len(study.averaged)} targets. Random rankings of the same models: 95 %, the widest band of "
        "the regimes. Compare only rows with the same number of models."
    )
    head = ["ranked by", "models", *map(regime_label, study.accuracies), "random rankings"]
    return f"{caption}\n\n{markdown(head, lines)}"


def _static_mean(study: Study, regime: str) -> float:
    return float(np.mean([static_tau(study, regime, target) for target in study.averaged]))


def ground_truth(study: Study) -> str:
    """Return how much accuracies and rankings differ between seeds, by target and regime."""
    rows = []
    for i, target in enumerate(study.targets):
        noise, ceilings = [], []
        for regime, runs in study.seed_accuracies.items():
            ceiling = seed_ceiling(study, regime, target)
            complete = runs[np.isfinite(runs[:, i]).all(axis=1), i]
            noise.append(f"{100 * complete.std(axis=0, ddof=1).mean():.1f}" if len(complete) > 1 else "")
            ceilings.append("" if ceiling is None else f"{ceiling:.2f}")
        rows.append([target, *noise, *ceilings])
    regimes = [regime_label(regime) for regime in study.seed_accuracies]
    head = ["target", *(f"SD (points), {r}" for r in regimes), *(f"tau_w, {r}" for r in regimes)]
    caption = (
        "SD is the standard deviation of the accuracy over seeds in percentage points, mean over models. The tau_w is "
        "that of one seed's accuracies with the mean of the other seeds. A metric that reaches it ranks as well as "
        "another fine-tuning run."
    )
    return f"{caption}\n\n{markdown(head, rows)}"


def agreement(study: Study) -> str:
    """Return Kendall's tau between the accuracies of every two regimes, and the concordance of the targets."""
    rows = []
    for first, second in combinations(study.accuracies, 2):
        pairs = zip(study.truth(first), study.truth(second), strict=True)
        rows.append([f"{regime_label(first)}, {regime_label(second)}", *(f"{kendall(a, b):.2f}" for a, b in pairs)])
    averaged = [study.targets.index(t) for t in study.averaged]
    concordance = ", ".join(f"{regime_label(r)} {kendalls_w(study.truth(r)[averaged]):.2f}" for r in study.accuracies)
    return (
        "Kendall's tau between the accuracies of the models under two regimes, by target.\n\n"
        f"{markdown(['regimes', *study.targets], rows)}\n\nThe {len(averaged)} targets agree on the order of the "
        f"models with Kendall's W (0 to 1) of {concordance}."
    )


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


def all_comparisons(study: Study) -> pd.DataFrame:
    """Return every perturbation against ``none`` and ``pca``: for LogME, and for the mean of all metrics.

    Rows of other numbers of images than all are of the mean of the metrics with the first regime.
    """
    sets = [(r, "all", *family) for r in study.accuracies for family in _families(study).items()]
    mean_name, metrics = list(_families(study).items())[-1]
    first = next(iter(study.accuracies))
    sets += [(first, size, mean_name, metrics) for size in study.sizes if size != "all"]
    rows = []
    for regime, size, name, members in sets:
        for c in comparisons(study, regime, members, size):
            effect = (c.mean, *c.interval)
            p_values = (wilcoxon_p(c.paired), c.paired.sign_flip_p, c.holm_p)
            rows.append(
                [regime, size, name, c.perturbation, c.reference]
                + [round(value, 4) for value in effect]
                + [c.paired.wins, c.paired.ties, c.paired.losses]
                + [round(float(value), 4) for value in (*p_values, c.flips)]
            )
    head = ["regime", "images_per_class", "metric", "perturbation", "against", "difference", "low_95", "high_95"]
    head += ["targets_better", "targets_equal", "targets_worse", "wilcoxon_p", "sign_flip_p", "holm_p", "flips"]
    return pd.DataFrame(rows, columns=head)


def mean_accuracies(study: Study) -> pd.DataFrame:
    """Return the accuracy of every model on every target, mean over seeds: a column per regime, four digits."""
    columns = {regime: study.truth(regime).ravel().round(4) for regime in study.accuracies}
    index = pd.MultiIndex.from_product([study.targets, study.models], names=["target", "model"])
    return pd.DataFrame(columns, index).reset_index()


CSV_FILES: Mapping[str, Callable[[Study], pd.DataFrame]] = {
    "taus": all_taus,
    "comparisons": all_comparisons,
    "mean_accuracies": mean_accuracies,
}
"""CSV files next to the page, by the end of their name."""
TABLES: Mapping[str, Callable[..., str]] = {
    "agreement": agreement,
    "changes": changes,
    "further": further,
    "ground_truth": ground_truth,
    "means": means,
    "scoring_set_sizes": scoring_set_sizes,
    "verdict": verdict,
    "without_features": without_features,
}
"""Tables by the name of their block; arguments after the name are a regime and metrics."""
