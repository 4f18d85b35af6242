"""Agreement of a metric without labels with accuracies, from the stored rows of the built-in pool."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from transfer_exp.evaluation.intervals import mean_interval
from transfer_exp.leaderboard.rows import ALL_IMAGES, PoolRows, read_builtin_rows
from transfer_exp.leaderboard.standings import variant_name

_REGIME = "full"
_WITH_LABELS = ("pca", "logme")
"""Variant with labels to compare with: the default of ``transfer-exp rank``."""


def evidence_without_labels(metric: str, perturbation: str) -> str:
    """Return a sentence on the agreement of a metric's scores with accuracies of full fine-tuning, on stored targets.

    The interval is over the targets. It holds for small networks on small images, which the sentence says.

    Args:
        metric, perturbation: Names in tables; those with changed hyperparameters have no rows.
    """
    rows = read_builtin_rows()
    without, with_labels = (_taus(rows, variant) for variant in ((perturbation, metric), _WITH_LABELS))
    if len(without) < 2:
        return f"no stored rows show how well {variant_name((perturbation, metric))} ranks models"
    low, high = mean_interval(without)
    return (
        f"how far to trust the order: on {len(without)} stored targets, {variant_name((perturbation, metric))} ranked "
        f"{len(rows.models)} small networks with a mean tau_w of {without.mean():.2f} [{low:.2f}, {high:.2f}] "
        f"(0: chance, 1: perfect); {variant_name(_WITH_LABELS)}, which reads labels, had {with_labels.mean():.2f}"
    )


def _taus(rows: PoolRows, variant: tuple[str, str]) -> np.ndarray:
    """Return the weighted tau of a variant on each target, with the scores of all images."""
    keys = rows.scores.index.to_frame(index=False)
    is_chosen = (keys["perturbation"] == variant[0]) & (keys["metric"] == variant[1])
    scores = rows.scores[(is_chosen & (keys["images_per_class"] == ALL_IMAGES)).to_numpy()]
    if scores.empty:
        return np.empty(0)
    taus: pd.DataFrame = replace(rows, scores=scores, own_variant=variant).taus
    return taus.loc[taus["regime"] == _REGIME, "tau"].to_numpy(dtype=np.float64)
