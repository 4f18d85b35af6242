"""Tables of published results, of the claim on our study, and of the cost of a reproduction."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from studies.wilcoxon import wilcoxon_p
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
IMAGES = {
    "aircraft": 6_667,
    "caltech101": 3_030,
    "cars": 8_144,
    "cifar10": 50_000,
    "cifar100": 50_000,
    "dtd": 3_760,
    "flowers": 2_040,
    "food": 75_750,
    "pets": 3_680,
    "sun397": 19_850,
    "voc2007": 5_011,
}
"""Training and validation images as published, by target; `transfer_exp.dataset` names the splits."""
_COST_COLUMNS = ("model_pool", "model", "networks", "input_size", "gflops", "seconds_per_image")


def pools(*names: str) -> str:
    """Return the weighted tau of the static ranking and the spread of accuracies, for every regime of published pools.

    The table has a column with all targets and one with the sound targets only; targets that lack a model are left out.

    Args:
        names: Names of the pools in the published table.
    """
    rows = []
    for pool in names:
        name = POOLS.get(pool, pool)
        unfiltered = read_accuracies(PUBLISHED, pool, include_unsound=True)
        for every, sound in zip(unfiltered, read_accuracies(PUBLISHED, pool), strict=True):
            all_targets, sound_targets = every.table.dropna(), sound.table.dropna()
            lead = np.median([accuracy_spread(row).lead for row in sound_targets.to_numpy()])
            static = [
                f"{np.mean(list(_static_taus(table).values())):.3f} ({len(table)})"
                for table in (all_targets, sound_targets)
            ]
            concordance = f"{kendalls_w(sound_targets.to_numpy()):.2f}"
            n_models = sound_targets.shape[1]
            deviation = f"{null_deviation(n_models, draws=100_000):.3f}"
            rows.append([name, every.regime, str(n_models), *static, concordance, f"{lead:.2f}", deviation])
    head = ["pool", "regime", "models", "static ranking, all targets", "sound targets"]
    return markdown([*head, "Kendall's W", "lead of the best (points)", "sd of random scores"], rows)


def ped() -> str:
    """Return the published effect of PED on the self-supervised pool, paired over its ten targets."""
    pool = "group2_ssl_resnet50_12"
    published = read_published_taus(pool, "vanilla_ft")
    static = _static_taus(read_accuracies(PUBLISHED, pool, ["vanilla_ft"])[0].table)
    metrics = [metric for metric, perturbation in published if perturbation == "ped"]
    pairs = [(f"{m} ped - none", published[m, "ped"].by_dataset, published[m, "none"].by_dataset) for m in metrics]
    pairs += [(f"{m} ped - static ranking", published[m, "ped"].by_dataset, static) for m in metrics]
    comparisons = [(name, compare_paired(first, second)) for name, first, second in pairs]
    corrected = holm(np.array([paired.sign_flip_p for _, paired in comparisons]))
    rows = []
    for (name, paired), holm_p in zip(comparisons, corrected, strict=True):
        assert paired.mean is not None
        assert paired.interval is not None, "there are ten targets"
        low, high = paired.interval
        count = f"{paired.wins}-{paired.ties}-{paired.losses}"
        p_values = [f"{p:.3f}" for p in (wilcoxon_p(paired), paired.sign_flip_p, float(holm_p))]
        rows.append([name, f"{paired.mean:+.3f}", f"{low:+.2f}, {high:+.2f}", count, *p_values])
    return markdown(["difference of tau_w", "mean", "95 %", "won-tied-lost", "Wilcoxon p", "sign-flip p", "Holm"], rows)


def teaser(path: Path) -> str:
    """Return the weighted tau of the points in the first figure of the paper, next to the values printed in it.

    Args:
        path: CSV with columns ``panel``, ``model`` and ``score_digitised_approx``; the target is pets.
    """
    (truth,) = read_accuracies(PUBLISHED, "group1_supervised_cnn11", ["vanilla_ft"])
    printed_taus, rows = {"before": 0.372, "after": 0.773}, []
    for panel, points in _read(path, ("panel", "model", "score_digitised_approx")).groupby("panel", sort=False):
        scores = points.set_index("model")["score_digitised_approx"]
        tau = weighted_tau(scores.to_numpy(dtype=float), truth.table.loc["pets", list(scores.index)].to_numpy())
        rows.append([str(panel), str(len(points)), f"{printed_taus[str(panel)]:.3f}", f"{tau:.3f}"])
    return markdown(["panel", "models", "tau_w printed in the figure", "tau_w of its points"], rows)


def real_pool_changes(path: Path) -> str:
    """Return tau_w of LogME in our study by regime and perturbation, with the change in percent.

    Args:
        path: Every tau_w of the study, as ``python -m studies.real_pool`` writes it.
    """
    rows = _read(path, ("regime", "metric", "perturbation", "images_per_class"))
    logme = rows[(rows["metric"] == "logme") & (rows["images_per_class"].astype(str) == "all")]
    mean = next(name for name in logme if str(name).startswith("mean without"))
    taus_by_regime: Mapping[str, Mapping[str, float]] = {
        str(regime): dict(zip(cells["perturbation"], cells[mean], strict=True))
        for regime, cells in logme.groupby("regime")
    }
    names = sorted(set(logme["perturbation"]), key=lambda p: ({"none": 0, "pca": 1}.get(p, 2), p))
    lines = [
        [regime, *(f"{taus[p]:.2f}" + ("" if p == "none" else f" ({_percent(taus, p)})") for p in names)]
        for regime, taus in taus_by_regime.items()
    ]
    return markdown(["regime", *names], lines)


def extraction_cost(path: Path) -> str:
    """Return the cost of one image by pool, and the hours of one core for each target and for all.

    The cost is one forward pass of every image through every network; nothing is trained.

    Args:
        path: CSV that ``python -m benchmarks.extraction`` writes: for every network, operations in 1e9 and seconds per
            image; ``networks`` is the number of networks of the pool with this cost.

    Raises:
        InputError: When the rows are missing or lack a column.
    """
    if not path.is_file():
        raise InputError(f"no costs {path}: measure them with python -m benchmarks.extraction --rows {path}")
    rows = _read(path, _COST_COLUMNS)
    rows = rows.assign(
        seconds=rows["seconds_per_image"] * rows["networks"], operations=rows["gflops"] * rows["networks"]
    )
    totals = rows.groupby("model_pool", sort=False)[["networks", "operations", "seconds"]].sum()
    n_images = sum(IMAGES.values())
    lines = [
        ["networks", *(f"{n}" for n in totals["networks"])],
        ["GFLOPs per image, all networks", *(f"{n:.0f}" for n in totals["operations"])],
        ["core-seconds per image, all networks", *(f"{s:.1f}" for s in totals["seconds"])],
        *([f"{t} ({n:,} images), core-hours", *_core_hours(totals["seconds"], n)] for t, n in IMAGES.items()),
        [f"**all ({n_images:,} images), core-hours**", *_core_hours(totals["seconds"], n_images)],
        ["all, in 1e15 operations", *(f"{n * n_images / 1e6:.0f}" for n in totals["operations"])],
    ]
    return markdown(["", *map(str, totals.index)], lines)


def _core_hours(seconds: pd.Series, images: int) -> list[str]:
    return [f"{s * images / 3600:.1f}" for s in seconds]


def _percent(taus: Mapping[str, float], perturbation: str) -> str:
    """Return the change of tau in percent; it has no meaning unless the original value is clearly positive."""
    return f"{(taus[perturbation] / taus['none'] - 1):+.0%}" if taus["none"] > 0.05 else "no ratio"


def _static_taus(accuracies: pd.DataFrame) -> dict[str, float]:
    """Return the weighted tau of the static ranking on every target that has all models."""
    table = accuracies.dropna()
    return {
        str(target): static_rank_tau(table.loc[target].to_numpy(), table.drop(index=target).to_numpy())
        for target in table.index
    }


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    if not path.is_file():
        raise InputError(f"no rows {path}: the rows of a document belong into the folder results next to it")
    rows = read_table(path)
    if missing := [name for name in columns if name not in rows]:
        raise InputError(f"{path} lacks the column {', '.join(missing)}")
    numbers = rows.apply(pd.to_numeric, errors="coerce")
    return rows.assign(**{str(name): numbers[name] for name in rows if numbers[name].notna().all()})
