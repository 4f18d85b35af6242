"""What can be checked of the paper without its images: published accuracies, published correlations, our own study."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from transfer_exp.errors import InputError
from transfer_exp.evaluation.accuracy_spread import accuracy_spread, kendalls_w, static_rank_tau
from transfer_exp.evaluation.correlation import weighted_tau
from transfer_exp.evaluation.null_band import null_deviation
from transfer_exp.evaluation.paired import compare_paired, holm
from transfer_exp.evaluation.score_table import read_accuracies
from transfer_exp.io.accuracies import PUBLISHED
from transfer_exp.io.csv import read_table
from transfer_exp.report.markdown import markdown
from transfer_exp.report.published_comparison import read_published_taus

POOLS = {"group1_supervised_cnn11": "supervised", "group2_ssl_resnet50_12": "self-supervised"}
_LATER = ("resisc", "eurosat")
"""Targets that another source added to the second pool, for some of its models."""


def pools() -> str:
    """Return, for every pool and regime of the lineage, what its accuracies leave to rank and a static ranking gets."""
    rows = []
    for pool, name in POOLS.items():
        every_regime = read_accuracies(PUBLISHED, pool, include_unsound=True)
        for every, sound in zip(every_regime, read_accuracies(PUBLISHED, pool), strict=True):
            whole = every.table.drop(index=list(_LATER), errors="ignore")
            kept = sound.table.drop(index=list(_LATER), errors="ignore")
            lead = np.median([accuracy_spread(row).lead for row in kept.to_numpy()])
            static = [f"{np.mean(list(_static(table).values())):.3f} ({len(table)})" for table in (whole, kept)]
            agree = f"{kendalls_w(kept.to_numpy()):.2f}"
            deviation = f"{null_deviation(kept.shape[1], draws=100_000):.3f}"
            rows.append([name, every.regime, str(kept.shape[1]), *static, agree, f"{lead:.2f}", deviation])
    head = ["pool", "regime", "models", "static ranking, all targets", "sound targets"]
    return markdown([*head, "Kendall's W", "lead of the best (points)", "sd of random scores"], rows)


def ped() -> str:
    """Return what the printed correlations of the self-supervised pool say of PED, paired over its ten targets."""
    pool = "group2_ssl_resnet50_12"
    known, static = (
        read_published_taus(pool, "vanilla_ft"),
        _static(read_accuracies(PUBLISHED, pool, ["vanilla_ft"])[0].table),
    )
    metrics = [metric for metric, perturbation in known if perturbation == "ped"]
    pairs = [(f"{m} ped - none", known[m, "ped"].by_dataset, known[m, "none"].by_dataset) for m in metrics]
    pairs += [(f"{m} ped - static ranking", known[m, "ped"].by_dataset, static) for m in metrics]
    found = [(name, compare_paired(first, second)) for name, first, second in pairs]
    corrected = holm(np.array([paired.permutation_p for _, paired in found]))
    rows = []
    for (name, paired), adjusted in zip(found, corrected, strict=True):
        assert paired.mean is not None
        assert paired.interval is not None, "there are ten targets"
        low, high = paired.interval
        count = f"{paired.wins}-{paired.ties}-{paired.losses}"
        p_values = [f"{p:.3f}" for p in (paired.wilcoxon_p, paired.permutation_p, float(adjusted))]
        rows.append([name, f"{paired.mean:+.3f}", f"{low:+.2f}, {high:+.2f}", count, *p_values])
    return markdown(["difference of tau_w", "mean", "95 %", "won-tied-lost", "Wilcoxon p", "sign-flip p", "Holm"], rows)


def teaser(path: Path) -> str:
    """Return the correlations that the points of the paper's teaser have, read off its figure.

    Parameters
    ----------
    path
        CSV with columns ``panel``, ``model`` and ``score_digitised_approx``, on pets.
    """
    (truth,) = read_accuracies(PUBLISHED, "group1_supervised_cnn11", ["vanilla_ft"])
    stated, rows = {"before": 0.372, "after": 0.773}, []
    for panel, points in _read(path, ("panel", "model", "score_digitised_approx")).groupby("panel", sort=False):
        scores = points.set_index("model")["score_digitised_approx"]
        tau = weighted_tau(scores.to_numpy(dtype=float), truth.table.loc["pets", list(scores.index)].to_numpy())
        rows.append([str(panel), str(len(points)), f"{stated[str(panel)]:.3f}", f"{tau:.3f}"])
    return markdown(["panel", "models", "tau_w printed in the figure", "tau_w of its points"], rows)


def ours(path: Path) -> str:
    """Return what our own study measured of the claim: LogME by regime and perturbation, and the change in percent.

    Parameters
    ----------
    path
        Every tau_w of the study, as `every_tau` writes it.
    """
    rows = _read(path, ("regime", "metric", "perturbation", "images_per_class"))
    own = rows[(rows["metric"] == "logme") & (rows["images_per_class"].astype(str) == "all")]
    mean = next(name for name in own if str(name).startswith("mean without"))
    table: Mapping[str, Mapping[str, float]] = {
        str(regime): dict(zip(cells["perturbation"], cells[mean], strict=True))
        for regime, cells in own.groupby("regime")
    }
    names = sorted(set(own["perturbation"]), key=lambda p: ({"none": 0, "pca": 1}.get(p, 2), p))
    lines = [
        [regime, *(f"{taus[p]:.2f}" + ("" if p == "none" else f" ({_percent(taus, p)})") for p in names)]
        for regime, taus in table.items()
    ]
    return markdown(["regime", *names], lines)


def _percent(taus: Mapping[str, float], perturbation: str) -> str:
    """Return a change of tau in percent of what it was, which means nothing where that is not clearly positive."""
    return f"{(taus[perturbation] / taus['none'] - 1):+.0%}" if taus["none"] > 0.05 else "no ratio"


def _static(accuracies: pd.DataFrame) -> dict[str, float]:
    """Return the weighted tau of the static ranking on every target that has all models."""
    table = accuracies.drop(index=list(_LATER), errors="ignore")
    return {
        str(target): static_rank_tau(table.loc[target].to_numpy(), table.drop(index=target).to_numpy())
        for target in table.index
    }


def _read(path: Path, needed: tuple[str, ...]) -> pd.DataFrame:
    if not path.is_file():
        raise InputError(f"no rows {path}: a document's rows lie in results beside it")
    rows = read_table(path)
    if missing := [name for name in needed if name not in rows]:
        raise InputError(f"{path} lacks the column {', '.join(missing)}")
    return rows
