"""The page of a reproduction: every way to score under every regime, beside its controls and what was printed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from transfer_exp.evaluation.null_band import null_band, null_deviation
from transfer_exp.evaluation.paired import PairedComparison
from transfer_exp.evaluation.score_table import Joined
from transfer_exp.evaluation.summary import Summary, interval, summaries
from transfer_exp.report.markdown import markdown
from transfer_exp.report.reproduction.printed import Printed, printed
from transfer_exp.report.reproduction.stability import stability

_REGIMES = {
    "vanilla_ft": "Full fine-tuning",
    "last_block_ft": "Last block",
    "linear_ft": "Linear probe",
}
_HEAD = ("metric", "perturbation", "tau_w", "95 % over models", "above band")
_WORDS = """\
tau_w is the mean over targets. The interval resamples the models. *Above band*: on how many targets tau_w is above
what random scores of as many models reach 39 times of 40. *vs none*, *vs pca*: the difference of tau_w, then
wins-ties-losses over targets and the p of flipped signs after Holm's correction for all differences of that column.
Metrics that no perturbation changes stand once."""


def page(joined: Sequence[Joined], pool: str, notes: Sequence[str], command: str) -> str:
    """Return the page as Markdown.

    Parameters
    ----------
    joined
        Scores beside accuracies, by regime.
    pool
        As the published tables call it.
    notes
        What was left out of all regimes.
    command
        That writes this page.
    """
    parts = [f"# {pool}, reproduced", f"Written by `{command}`.", _WORDS, *notes]
    for regime in joined:
        parts += _regime(regime, printed(pool, regime.truth.regime))
    return "\n\n".join(parts) + "\n"


def _regime(joined: Joined, known: dict[tuple[str, str], Printed]) -> Iterator[str]:
    """Yield the sections of one regime."""
    name = joined.truth.regime
    models = max(joined.sizes)
    yield f"## {_REGIMES.get(name, name)}: {models} models, {len(joined.datasets)} targets"
    yield from joined.notes
    rows = [row for row in summaries(joined, "none") if not _repeats(row, joined)]
    rows.sort(key=lambda row: (row.fields["metric"], _place(row), -row.mean("weighted_tau")))
    against = {tuple(row.fields.items()): row for row in summaries(joined, "pca")}
    head = [*_HEAD, "vs none", "vs pca", *(["printed", "ours - printed"] if known else [])]
    yield markdown(head, [_line(row, against[tuple(row.fields.items())], joined, known) for row in rows])
    yield from _baselines(joined, models)
    yield from stability(rows, joined)
    by_target = [line for row in rows for line in _by_target(row, known.get(_key(row)))]
    if by_target:
        yield "Target by target, where a tau_w was printed:"
        yield markdown(["metric", "perturbation", "target", "ours", "printed", "difference", "source"], by_target)


def _line(row: Summary, beside_pca: Summary, joined: Joined, known: dict[tuple[str, str], Printed]) -> list[str]:
    low, high = interval(row, joined)
    tau = "tied" if row.mean("tied") == 1 else f"{row.mean('weighted_tau'):.3f}"
    line = [*_key(row), tau, f"{low:.2f}, {high:.2f}", f"{row.above}/{len(row.by_dataset)}"]
    bare = row.fields["perturbation"] == "none"  # beside pca it would say what pca beside none says
    line += ["" if bare else _difference(own.paired, own.holm_p) for own in (row, beside_pca)]
    if not known:
        return line
    found = known.get(_key(row))
    shared = [] if found is None else [t for t in row.by_dataset.index if t in found.taus]
    if found is None or not shared:
        return [*line, "", ""]
    theirs = float(np.mean([found.taus[target] for target in shared]))
    ours = float(row.by_dataset["weighted_tau"][shared].mean())
    few = "" if len(shared) == len(row.by_dataset) else f" ({len(shared)} targets)"
    return [*line, f"{theirs:.3f}{few}", f"{ours - theirs:+.3f}"]


def _by_target(row: Summary, found: Printed | None) -> Iterator[list[str]]:
    for target, ours in row.by_dataset["weighted_tau"].items():
        if found is not None and target in found.taus:
            theirs = found.taus[str(target)]
            yield [*_key(row), str(target), f"{ours:.3f}", f"{theirs:.3f}", f"{ours - theirs:+.3f}", found.source]


def _difference(paired: PairedComparison | None, holm_p: float | None) -> str:
    if paired is None or paired.mean is None:
        return ""
    return f"{paired.mean:+.3f} ({paired.wins}-{paired.ties}-{paired.losses}, p {holm_p:.3f})"


def _baselines(joined: Joined, models: int) -> Iterator[str]:
    """Say what rankings reach that look at no image."""
    low, high = null_band(models)
    said = f"Random scores: sd {null_deviation(models):.3f} on one target, 95 % in [{low:.2f}, {high:.2f}]."
    if joined.static:
        taus = np.mean(list(joined.static.values()))
        said = f"Static ranking (mean accuracy rank on the other targets): {taus:.3f}. {said}"
    yield said


def _repeats(row: Summary, joined: Joined) -> bool:
    """Tell whether a perturbation left every score as it was."""
    if row.fields["perturbation"] == "none" or row.paired is None:
        return False
    cells, own = joined.cells, np.concatenate(list(row.runs.values()))
    bare = (cells[list(row.fields)] == {**row.fields, "perturbation": "none"}).all(axis=1).to_numpy()
    return np.array_equal(np.sort(joined.scores[own], axis=0), np.sort(joined.scores[bare], axis=0), equal_nan=True)


def _place(row: Summary) -> int:
    """``none`` and ``pca`` first, which the others are compared with."""
    return {"none": 0, "pca": 1}.get(row.fields["perturbation"], 2)


def _key(row: Summary) -> tuple[str, str]:
    return row.fields["metric"], row.fields["perturbation"]
