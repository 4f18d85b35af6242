"""Figures of the page; the digest of their rows is in their metadata."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from studies.real_pool.data import Cell, Study
from transfer_exp.io.atomic import write_atomically

_LIMIT = 1.0


def heat_map(study: Study, path: Path, source: str) -> None:
    """Draw the mean tau_w of every metric after every perturbation, one panel per regime."""
    metrics, perturbations = study.perturbable, study.perturbations
    figure = Figure(figsize=(4.4 * len(study.accuracies) + 1, 0.3 * len(metrics) + 1.8), layout="constrained")
    axes = figure.subplots(1, len(study.accuracies), sharey=True, squeeze=False)[0]
    for axis, regime in zip(axes, study.accuracies, strict=True):
        values = np.array([[study.taus(Cell(m, p), regime, study.averaged)[0] for p in perturbations] for m in metrics])
        image = axis.imshow(values, cmap="RdBu", vmin=-_LIMIT, vmax=_LIMIT, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            colour = "white" if abs(value) > 0.65 else "black"
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
        axis.set_xticks(range(len(perturbations)), perturbations, rotation=40, ha="right", fontsize=8)
        axis.set_yticks(range(len(metrics)), metrics, fontsize=8)
        axis.set_title(regime.replace("_", " "), fontsize=10)
    figure.colorbar(image, ax=axes, label=f"tau_w, mean over {len(study.averaged)} targets", fraction=0.03)
    _save(figure, path, source)


def before_after(study: Study, path: Path, source: str) -> None:
    """Draw tau_w before and after each perturbation, one point per metric and target, for the first regime."""
    pairs = [(p, c) for c in ("none", "pca") for p in study.perturbations if p not in ("none", c)]
    columns = max(sum(c == control for _, c in pairs) for control in ("none", "pca"))
    figure = Figure(figsize=(2.3 * columns, 5.6), layout="constrained")
    axes = figure.subplots(2, columns, sharex=True, sharey=True)
    for axis in axes.flat:
        axis.set_visible(False)
    regime = next(iter(study.accuracies))
    row_of_control = {"none": 0, "pca": 1}
    for i, (perturbation, control) in enumerate(pairs):
        axis = axes[row_of_control[control]][i - row_of_control[control] * columns]
        axis.set_visible(True)
        axis.axline((0, 0), slope=1, color="0.6", linewidth=0.8)
        wins = 0
        for target in study.averaged:
            before, after = (
                np.array([study.tau(Cell(m, p), regime, target) for m in study.perturbable])
                for p in (control, perturbation)
            )
            wins += int((after > before).sum())
            axis.scatter(before, after, s=9, alpha=0.75, label=target, linewidths=0)
        count = len(study.averaged) * len(study.perturbable)
        axis.set_title(f"{perturbation} against {control}\nhigher in {wins} of {count}", fontsize=8)
        axis.set(xlim=(-_LIMIT, _LIMIT), ylim=(-_LIMIT, _LIMIT), aspect="equal")
        axis.tick_params(labelsize=7)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=8)
    figure.supxlabel("tau_w of the control", fontsize=9)
    figure.supylabel(f"tau_w after the perturbation, {regime.replace('_', ' ')}", fontsize=9)
    _save(figure, path, source)


def _save(figure: Figure, path: Path, source: str) -> None:
    metadata = {"Source": source, "Software": ""}  # no library version: an update must not change the file
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=130, metadata=metadata))
