"""The tables of a study that tell of metrics after perturbations."""

from __future__ import annotations

from math import comb

import numpy as np
import pandas as pd

from studies.real_pool.baselines import blind_band
from studies.real_pool.comparison import comparisons
from studies.real_pool.data import Cell, Study
from studies.real_pool.words import compared, families, words
from transfer_exp.report.markdown import markdown


def means(study: Study, regime: str) -> str:
    """Return tau_w of every metric after every perturbation, mean over targets, bold above what blind luck reaches."""
    low, high = blind_band(study, regime)

    def shown(metric: str, perturbation: str) -> str:
        tau = study.taus(Cell(metric, perturbation), regime, study.averaged)[0]
        return f"**{tau:.2f}**" if tau > high else f"{tau:.2f}"

    rows = [[m, *(shown(m, p) for p in study.perturbations)] for m in study.perturbable]
    return (
        f"{markdown(['metric', *study.perturbations], rows)}\n\ntau_w with {words(regime)}, mean over "
        f"{len(study.averaged)} targets, all training images scored. Bold lies above the 95 % band of rankings drawn "
        f"blindly and kept for all targets, [{low:.2f}, {high:.2f}]."
    )


def paired(study: Study, regime: str) -> str:
    """Return every perturbation against ``none`` and ``pca``: for the headline metric, and for the mean of all."""
    rows = []
    for label, metrics in families(study).items():
        rows += [[label, *compared(c)] for c in comparisons(study, regime, metrics)]
    head = ["", "perturbation", "against", "difference", "over models", "better, equal, worse"]
    head += ["Wilcoxon p", "permutation p", "Holm p", "flips"]
    targets, models = len(study.averaged), len(study.models)
    return (
        f"{markdown(head, rows)}\n\nDifferences of tau_w with {words(regime)}, mean over {targets} targets; bold "
        f"where the 95 % bootstrap interval over models leaves out 0. With {targets} targets no p can fall below "
        f"{2.0 ** (1 - targets):.3f}. `flips`: share of the {comb(models, 2)} sub-pools without two models that turn "
        "the sign."
    )


def probe_sizes(study: Study, regime: str) -> str:
    """Return tau_w by number of images scored: every metric as it is, after PCA, and after the paper's method."""
    shown = [p for p in ("none", "pca", "spread_attract", "released") if p in study.perturbations]
    places = [(p, size) for p in shown for size in study.sizes]
    taus = {m: [study.taus(Cell(m, *at), regime, study.averaged)[0] for at in places] for m in study.perturbable}
    taus["mean"] = np.mean(list(taus.values()), axis=0).tolist()
    rows = [[name, *(f"{tau:.2f}" for tau in values)] for name, values in taus.items()]
    head = ["metric", *(f"{p} {size}" for p, size in places)]
    return f"{markdown(head, rows)}\n\ntau_w with {words(regime)}, mean over targets, by images a class."


def probe_size_effects(study: Study, regime: str) -> str:
    """Return every perturbation against ``none`` and ``pca`` by number of images scored, mean over metrics."""
    by_size = {size: comparisons(study, regime, study.perturbable, size) for size in study.sizes}
    rows = []
    for at, first in enumerate(next(iter(by_size.values()))):
        found = [by_size[size][at] for size in study.sizes]
        rows.append([first.perturbation, first.control, *(compared(c)[2] + " " + compared(c)[3] for c in found)])
    return markdown(
        ["perturbation", "against", *(f"{size} images" + " a class" * (size != "all") for size in study.sizes)], rows
    )


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
