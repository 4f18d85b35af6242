"""The tables of the page by the names of their blocks; what follows the name is a regime."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from studies.calibration.error_tables import candidates, families, other_pools, sizes, targets
from studies.calibration.regret_tables import metrics, regret

TABLES: Mapping[str, Callable[..., str]] = {
    "candidates": candidates,
    "targets": targets,
    "families": families,
    "sizes": sizes,
    "other_pools": other_pools,
    "metrics": metrics,
    "regret": regret,
}
