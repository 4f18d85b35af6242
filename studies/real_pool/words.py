"""How a study's tables put things."""

from __future__ import annotations

from studies.real_pool.comparison import Comparison
from studies.real_pool.data import Study

HEADLINE = "logme"
"""The metric of the paper's headline."""


def words(regime: str) -> str:
    """Return the name of a regime as prose has it."""
    return regime.replace("_", " ")


def compared(found: Comparison) -> list[str]:
    """Return a comparison as the cells of a row, bold where the models cannot be why."""
    low, high = found.interval
    mean = f"**{found.mean:+.3f}**" if found.beyond_the_models else f"{found.mean:+.3f}"
    p = found.paired
    counts = f"{p.wins}, {p.ties}, {p.losses}"
    tests = [f"{value:.3f}" for value in (p.wilcoxon_p, p.permutation_p, found.holm_p)]
    return [found.perturbation, found.control, mean, f"[{low:+.2f}, {high:+.2f}]", counts, *tests, f"{found.flips:.0%}"]


def families(study: Study) -> dict[str, tuple[str, ...]]:
    """Return the sets of metrics that are told of together."""
    return {"LogME": (HEADLINE,), f"the mean of {len(study.perturbable)} metrics": study.perturbable}
