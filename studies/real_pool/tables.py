"""The tables of a study's page by the names of their blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from studies.real_pool.score_tables import means, paired, probe_size_effects, probe_sizes
from studies.real_pool.truth_tables import accuracies, agreement, blind, ground_truth
from studies.real_pool.verdict import changes, verdict

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
