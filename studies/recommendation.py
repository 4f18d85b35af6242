"""Compare rules that choose the default metric of ``rank``: ``python -m studies.recommendation PAGE.md``.

Candidates are every metric after every perturbation, without baselines. Every two candidates on raw features or after
PCA also give a fusion, the mean of their z-scores over the pool. For each target in turn, a rule chooses a candidate by
its weighted tau on all *other* targets, and the choice is judged on the target that was left out.

Scores and accuracies are the stored rows of the real and of the built-in pool (`pool_files`). Costs are in
``recommendation_costs.csv`` next to the page, which ``--measure`` writes.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import combinations
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from studies.calibration.data import PoolData, pool_files, read_pool
from studies.document_tables import fill_tables
from studies.real_pool.data import Cell
from transfer_exp.cli.console import Parser
from transfer_exp.cli.instantiate import build
from transfer_exp.evaluation.accuracy_spread import static_rank_tau
from transfer_exp.evaluation.correlation import weighted_tau_many
from transfer_exp.evaluation.null_band import null_deviation
from transfer_exp.evaluation.paired import compare_paired, holm
from transfer_exp.evaluation.selection import regret
from transfer_exp.io.atomic import write_atomically, write_text
from transfer_exp.io.csv import parse_numbers, read_table
from transfer_exp.leaderboard.costs import measure_seconds
from transfer_exp.metric.pool_scaling import z_scores
from transfer_exp.report.markdown import markdown

Target: TypeAlias = tuple[str, str]
"""Pool and dataset."""

SIZES: Mapping[str, tuple[str, ...]] = {"20": ("real_pool",), "50": ("real_pool",), "all": ("real_pool", "builtin")}
"""Images per class as in the column ``images`` of the rows, and the pools that were scored with them."""
DEFAULT, HIGHEST_MEAN = "pca / logme", "linear_classifier"
"""The default of ``rank``, and the single metric with the highest mean over all targets in the table `selection`."""
RULES = {"best": 0.0, "cheap": 0.02}
"""Tolerance of each rule: it chooses the cheapest candidate whose mean weighted tau is at most this much below the
best; with 0, the best one."""
# Two baselines; and `fusion`, because this module fuses all pairs itself.
_NOT_CANDIDATES = ("random", "parameter_count", "fusion")
_PLUS = " + "
"""Separator in the name of a fusion."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Quality of every candidate on every target, for one number of images a class.

    A candidate is named like ``knn`` or ``pca / logme``, a fusion like ``knn + pca / lda``.

    Attributes:
        taus, regrets: A row per candidate and a column per target; means over the ways of fine-tuning (regimes).
        static: Weighted tau of the ranking by mean accuracy rank on the other targets, by target.
        seconds: Processor time of every candidate for one model, without the forward pass.
    """

    taus: pd.DataFrame
    regrets: pd.DataFrame
    static: Mapping[Target, float]
    seconds: pd.Series

    @property
    def singles(self) -> list[str]:
        """Candidates that are not fusions."""
        return [name for name in self.taus.index if _PLUS not in name]

    def choose_without_each_target(self, tolerance: float, fusions: bool) -> dict[Target, str]:
        """Return, for each target, the candidate that a rule chooses by the other targets."""
        candidates = self.taus if fusions else self.taus.loc[self.singles]
        return {
            target: self._choose(candidates.drop(columns=[target]).mean(axis=1), tolerance) for target in self.static
        }

    def _choose(self, means: pd.Series, tolerance: float) -> str:
        if tolerance == 0:
            return str(means.idxmax())
        near = means.index[means >= means.max() - tolerance]
        return str(self.seconds[near].idxmin())


@cache
def read_evidence(results: Path, images: str) -> Evidence:
    """Evaluate all candidates on the targets of every pool that was scored with so many images a class.

    Raises:
        InputError: When a file is missing or invalid.
    """
    pools = {name: read_pool(pool_files(results)[name]) for name in SIZES[images]}
    cells = sorted(set.intersection(*(_cells(pool, images) for pool in pools.values())))
    raw_or_pca = [cell for cell in cells if cell.perturbation in ("none", "pca")]
    candidates = {_PLUS.join(map(_label, c)): c for c in [*((cell,) for cell in cells), *combinations(raw_or_pca, 2)]}
    taus, regrets, static = {}, {}, {}
    for name, pool in pools.items():
        for target in pool.averaged:
            row = pool.targets.index(target)
            others = [i for i, other in enumerate(pool.targets) if other in pool.averaged and i != row]
            truths = list(pool.accuracies.values())
            scaled = {cell: z_scores(pool.scores[cell._replace(images=images)][row]) for cell in cells}
            scores = np.array([np.mean([scaled[cell] for cell in parts], axis=0) for parts in candidates.values()])
            by_regime = [np.tile(truth[row], (len(scores), 1)) for truth in truths]
            taus[name, target] = np.mean([weighted_tau_many(scores, accuracies) for accuracies in by_regime], axis=0)
            regrets[name, target] = [np.mean([regret(s, truth[row]) for truth in truths]) for s in scores]
            static[name, target] = float(np.mean([static_rank_tau(truth[row], truth[others]) for truth in truths]))
    costs_file = results / "recommendation_costs.csv"
    rows = read_table(costs_file)
    by_cell = rows.assign(seconds=parse_numbers(rows["seconds"], costs_file)).set_index(["metric", "perturbation"])[
        "seconds"
    ]
    costs = pd.Series(
        {name: sum(by_cell[c.metric, c.perturbation] for c in parts) for name, parts in candidates.items()}
    )
    return Evidence(pd.DataFrame(taus, costs.index), pd.DataFrame(regrets, costs.index), static, costs)


def _cells(pool: PoolData, images: str) -> set[Cell]:
    """Return the cells that score every model on every target, named as if all images had been scored."""
    return {
        cell._replace(images="all")
        for cell, scores in pool.scores.items()
        if cell.images == images and cell.metric not in _NOT_CANDIDATES and np.isfinite(scores).all()
    }


def selection(results: Path) -> str:
    """Return what each rule chooses without a target and what the choice reaches on it, next to fixed candidates."""
    rows = []
    for images in SIZES:
        evidence = read_evidence(results, images)
        for rule, tolerance in RULES.items():
            for fusions in (False, True):
                chosen = evidence.choose_without_each_target(tolerance, fusions)
                counts = Counter(chosen.values()).most_common()
                names = ", ".join(f"{name} ({count})" for name, count in counts)
                rows.append(
                    [images, f"{rule}, {'with' if fusions else 'without'} fusions", names, *_row(evidence, chosen)]
                )
        for name, candidate in (("always", HIGHEST_MEAN), ("always (default of rank)", DEFAULT)):
            rows.append([images, name, candidate, *_row(evidence, dict.fromkeys(evidence.static, candidate))])
        rows.append([images, "baseline", "static ranking", f"{np.mean(list(evidence.static.values())):.3f}", "", ""])
    head = ["images a class", "rule", "chosen (targets)", "tau_w on the target left out", "regret (points)"]
    return markdown([*head, "seconds a model"], rows)


def against(results: Path) -> str:
    """Return the paired differences over targets between `HIGHEST_MEAN` and the eight best other rankings.

    The others are every metric after its best perturbation, and the static ranking. Holm's correction is for all.
    """
    rows = []
    for images in SIZES:
        evidence = read_evidence(results, images)
        means = evidence.taus.loc[evidence.singles].mean(axis=1).sort_values(ascending=False)
        metrics = means.index.str.split(" / ").str[-1]
        rivals = means.index[~metrics.duplicated() & (metrics != HIGHEST_MEAN)]
        values = {name: _by_target(evidence, name) for name in rivals} | {"static ranking": evidence.static}
        chosen = _by_target(evidence, HIGHEST_MEAN)
        paired = {name: compare_paired(_join_names(chosen), _join_names(value)) for name, value in values.items()}
        corrected = dict(zip(paired, holm(np.array([p.permutation_p for p in paired.values()])), strict=True))
        for name in sorted(paired, key=lambda name: -np.mean(list(values[name].values())))[:8]:
            result = paired[name]
            assert result.mean is not None
            assert result.interval is not None, "there are several targets"
            low, high = result.interval
            counts = f"{result.wins}-{result.ties}-{result.losses}"
            p_values = [f"{result.permutation_p:.3f}", f"{corrected[name]:.3f}"]
            rows.append([images, name, f"{result.mean:+.3f}", f"{low:+.2f}, {high:+.2f}", counts, *p_values])
    head = ["images a class", "compared with", "difference of tau_w", "95 % interval", "won-tied-lost", "sign-flip p"]
    return markdown([*head, f"Holm, all {len(paired)}"], rows)


def chance(results: Path) -> str:
    """Return the 95 % band of the mean weighted tau of random scores over the targets, by number of images."""
    rows = []
    for images, names in SIZES.items():
        pools = [read_pool(pool_files(results)[name]) for name in names]
        deviations = [null_deviation(len(pool.models)) for pool in pools for _ in pool.averaged]
        # The mean of independent random scores, one draw for each target.
        band = 1.96 * float(np.sqrt(np.sum(np.square(deviations)))) / len(deviations)
        rows.append([images, " and ".join(names), str(len(deviations)), f"-{band:.2f}, {band:.2f}"])
    return markdown(["images a class", "pools", "targets", "95 % of random scores"], rows)


TABLES = {"selection": selection, "against": against, "chance": chance}


def _label(cell: Cell) -> str:
    return cell.metric if cell.perturbation == "none" else f"{cell.perturbation} / {cell.metric}"


def _row(evidence: Evidence, chosen: Mapping[Target, str]) -> list[str]:
    """Return mean weighted tau, regret in percentage points and cost of the candidates chosen for the targets."""
    tau = np.mean([evidence.taus.at[c, t] for t, c in chosen.items()])
    lost = np.mean([evidence.regrets.at[c, t] for t, c in chosen.items()])
    return [f"{tau:.3f}", f"{100 * lost:.1f}", f"{evidence.seconds[list(chosen.values())].mean():.2g}"]


def _by_target(evidence: Evidence, candidate: str) -> dict[Target, float]:
    return dict(zip(evidence.static, evidence.taus.loc[candidate].to_numpy(dtype=float).tolist(), strict=True))


def _join_names(values: Mapping[Target, float]) -> dict[str, float | None]:
    return {"/".join(target): value for target, value in values.items()}


def measure_costs(path: Path, cells: Iterable[Cell], repeats: int = 3) -> None:
    """Write the seconds of processor time of each cell, see `measure_seconds`."""
    rows = []
    for cell in cells:
        seconds = measure_seconds(_build("metric", cell.metric), _build("perturbation", cell.perturbation), repeats)
        assert seconds is not None, "candidates need features and labels only"
        rows.append({"metric": cell.metric, "perturbation": cell.perturbation, "seconds": f"{seconds:.3g}"})
    table = pd.DataFrame(rows)
    write_atomically(path, lambda temporary: table.to_csv(temporary, index=False, lineterminator="\n"))


def _build(group: str, option: str) -> Any:
    options = OmegaConf.to_container(OmegaConf.load(Path(__file__).parents[1] / "conf" / group / f"{option}.yaml"))
    return build(group, cast("dict[str, Any]", options))


def main(arguments: Sequence[str] | None = None) -> int:
    """Rewrite the tables of the page, after measuring costs if asked to, and return the exit code."""
    parser = Parser(prog="python -m studies.recommendation", description=__doc__)
    parser.add_argument("page", type=Path, metavar="PAGE.md")
    parser.add_argument("--measure", action="store_true", help="measure the costs on this machine first (minutes)")
    return parser.run(_fill, arguments)


def _fill(options: Namespace) -> None:
    results = options.page.parent
    if options.measure:
        pool = read_pool(pool_files(results)["real_pool"])
        measure_costs(results / "recommendation_costs.csv", sorted(_cells(pool, "all")))
    write_text(
        options.page, fill_tables(options.page, {name: partial(maker, results) for name, maker in TABLES.items()})
    )


if __name__ == "__main__":
    sys.exit(main())
