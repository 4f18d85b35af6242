"""The tables of a study's page by the names of their blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from transfer_exp.report.study.score_tables import means, paired, probe_size_effects, probe_sizes
from transfer_exp.report.study.truth_tables import accuracies, agreement, blind, ground_truth
from transfer_exp.report.study.verdict import changes, verdict

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
