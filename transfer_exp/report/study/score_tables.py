"""The tables of a study that tell of metrics after perturbations."""

from __future__ import annotations

from math import comb

import numpy as np
import pandas as pd

from transfer_exp.report.markdown import markdown
from transfer_exp.report.study.baselines import blind_band
from transfer_exp.report.study.comparison import comparisons
from transfer_exp.report.study.data import Cell, Study
from transfer_exp.report.study.words import compared, families, words


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
        f"{body}\n\ntau_w with {words(regime)}, mean over {len(study.averaged)} targets, all training images scored. "
        f"Bold lies above the 95 % band of rankings drawn blindly and kept for all targets, [{low:.2f}, {high:.2f}]."
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
    rows = []
    for metric in study.perturbable:
        cells = [Cell(metric, p, size) for p in shown for size in study.sizes]
        rows.append([metric, *(f"{study.taus(c, regime, study.averaged)[0]:.2f}" for c in cells)])
    everywhere = np.array([[float(value) for value in row[1:]] for row in rows])
    rows.append(["mean", *(f"{value:.2f}" for value in everywhere.mean(axis=0))])
    head = ["metric", *(f"{p} {size}" for p in shown for size in study.sizes)]
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


def _bold(value: float, above: float) -> str:
    return f"**{value:.2f}**" if value > above else f"{value:.2f}"
