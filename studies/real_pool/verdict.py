"""What can be said of each perturbation: in words, and the numbers behind them."""

from __future__ import annotations

from collections import Counter

from studies.real_pool.comparison import comparisons
from studies.real_pool.data import Study
from studies.real_pool.words import compared, families, words
from transfer_exp.report.markdown import markdown

_CONTROLS = ("none", "pca")


def verdict(study: Study) -> str:
    """Return what can be said of each perturbation, in words that follow from the comparisons by rule."""
    lines = []
    for perturbation in study.perturbations[1:]:
        said = []
        for name, metrics in families(study).items():
            found = [
                f"{_outcomes(study, metrics, perturbation, control)} {name_of_control}"
                for control, name_of_control in (("none", "the raw features"), ("pca", "PCA alone"))
                if control != perturbation
            ]
            said.append(f"{name} {' and '.join(found)}")
        lines.append(f"- `{perturbation}`: {'; '.join(said)}.")
    counted = f"{len(study.accuracies)} regimes" if len(study.accuracies) > 1 else "one regime"
    return "\n".join(lines) + f"\n\nIn brackets, in how many of {counted}."


def changes(study: Study) -> str:
    """Return the numbers behind the verdict, bold where the interval over models leaves out 0."""
    rows = []
    for regime in study.accuracies:
        by_family = {
            name: {(c.perturbation, c.control): compared(c)[2:4] for c in comparisons(study, regime, metrics)}
            for name, metrics in families(study).items()
        }
        for perturbation in study.perturbations[1:]:
            cells = [
                " ".join(found.get((perturbation, control), []))
                for found in by_family.values()
                for control in _CONTROLS
            ]
            rows.append([words(regime), perturbation, *cells])
    head = [f"{name} against {control}" for name in families(study) for control in _CONTROLS]
    table = markdown(["regime", "perturbation", *head], rows)
    return (
        f"{table}\n\nDifferences of tau_w, mean over {len(study.averaged)} targets, with the 95 % interval when the "
        f"{len(study.models)} models are drawn anew; bold where it leaves out 0."
    )


def _outcomes(study: Study, metrics: tuple[str, ...], perturbation: str, control: str) -> str:
    """Say in how many regimes a perturbation does better or worse, which only counts where the models cannot be why."""
    found = []
    for regime in study.accuracies:
        pairs = {(c.perturbation, c.control): c for c in comparisons(study, regime, metrics)}
        one = pairs[perturbation, control]
        found.append(
            ("better than" if one.mean > 0 else "worse than") if one.beyond_the_models else "not told apart from"
        )
    counts = Counter(found).most_common()
    return " or ".join(f"{outcome} ({count})" for outcome, count in counts)
