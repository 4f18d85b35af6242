"""Compare rules that choose the default metric of ``rank``: ``python -m studies.recommendation PAGE.md``.

Candidates are every metric after every perturbation that has a stored cost, without baselines. Every two candidates on
raw features or after PCA also give a fusion, the mean of their z-scores over the pool. Targets drawn from one dataset
are a *group*, whose measures are averaged. For each group in turn, a rule chooses a candidate by its weighted tau on
all *other* groups, and the choice is judged on the group that was left out.

Scores, accuracies and costs are the stored rows of the real networks and of the leaderboard (`PoolRows`).
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import pandas as pd
from scipy import stats

from studies.document_tables import fill_tables
from studies.leaderboard_rows import read_targets
from transfer_exp.cli.console import Parser
from transfer_exp.evaluation.accuracy_spread import static_rank_tau
from transfer_exp.evaluation.correlation import weighted_tau_many
from transfer_exp.evaluation.intervals import percentile_interval
from transfer_exp.evaluation.null_band import null_deviation
from transfer_exp.evaluation.paired import PairedComparison, compare_paired, holm
from transfer_exp.io.atomic import write_text
from transfer_exp.leaderboard.rows import PoolRows, read_builtin_rows, read_costs, read_real_rows
from transfer_exp.metric.pool_scaling import z_scores
from transfer_exp.report.markdown import markdown

Cell: TypeAlias = tuple[str, str]
"""Metric and perturbation."""
Group: TypeAlias = tuple[str, str]
"""Pool and dataset that the targets of a group are drawn from."""

POOLS: Mapping[str, Mapping[str, str]] = {
    "20": {"real_pool": "20", "builtin": "all"},
    "50": {"real_pool": "50"},
    "all": {"real_pool": "all", "builtin": "all"},
}
"""Images a class as on the page, and the rows of each pool by their column ``images_per_class``.

The targets of the built-in pool have 5 to 20 training images a class, all of which are scored."""
DEFAULT, HIGHEST_MEAN = "pca / logme", "linear_classifier"
"""The default of ``rank``, and the single metric with the highest mean over all groups in the table `selection`."""
RULES = {"best": 0.0, "cheap": 0.02}
"""Tolerance of each rule: it chooses the cheapest candidate whose mean weighted tau is at most this much below the
best; with 0, the best one."""
# Three baselines; and `fusion`, because this module fuses all pairs itself.
_NOT_CANDIDATES = ("random", "parameter_count", "imagenet_accuracy", "fusion")
PRIOR_WEIGHTS = (0.0, 0.25, 0.5, 1.0)
_DRAWS = 500
_PLUS = " + "
"""Separator in the name of a fusion."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Quality of every candidate on every group of targets, for one number of images a class.

    A candidate is named like ``knn`` or ``pca / logme``, a fusion like ``knn + pca / lda``.

    Attributes:
        taus, regrets: A row per candidate and a column per group; means over the ways of fine-tuning (regimes) that
            were measured on a target, and over the targets of the group.
        static: Weighted tau of the ranking by mean accuracy rank on the other groups of the pool, by group.
        seconds: Processor time of every candidate for one model, without the forward pass.
    """

    taus: pd.DataFrame
    regrets: pd.DataFrame
    static: Mapping[Group, float]
    seconds: pd.Series

    @property
    def singles(self) -> list[str]:
        """Candidates that are not fusions."""
        return [name for name in self.taus.index if _PLUS not in name]

    def choose_without_each_group(self, tolerance: float, fusions: bool) -> dict[Group, str]:
        """Return, for each group, the candidate that a rule chooses by the other groups."""
        candidates = self.taus if fusions else self.taus.loc[self.singles]
        return {group: self._choose(candidates.drop(columns=[group]).mean(axis=1), tolerance) for group in self.static}

    def _choose(self, means: pd.Series, tolerance: float) -> str:
        if tolerance == 0:
            return str(means.idxmax())
        near = means.index[means >= means.max() - tolerance]
        return str(self.seconds[near].idxmin())


@cache
def read_pools() -> dict[str, PoolRows]:
    """Return the rows of the real networks and of the built-in pool, by pool.

    Raises:
        InputError: When a file is missing or invalid.
    """
    families = {target: overrides[0].removeprefix("dataset=") for target, overrides in read_targets().items()}
    return {"real_pool": read_real_rows(), "builtin": read_builtin_rows(families)}


@cache
def read_evidence(images: str) -> Evidence:
    """Evaluate all candidates on the targets of every pool that was scored with so many images a class.

    Raises:
        InputError: When a file is missing or invalid.
    """
    pools = {name: (read_pools()[name], size) for name, size in POOLS[images].items()}
    tables = {name: _scores(pool, size) for name, (pool, size) in pools.items()}
    by_cell = {(metric, perturbation): seconds for (perturbation, metric), seconds in read_costs().items()}
    cells = sorted(set.intersection(set(by_cell), *(_cells(tables[name], pool) for name, (pool, _) in pools.items())))
    raw_or_pca = [cell for cell in cells if cell[1] in ("none", "pca")]
    candidates = {_PLUS.join(map(_label, c)): c for c in [*((cell,) for cell in cells), *combinations(raw_or_pca, 2)]}
    taus, regrets, static = {}, {}, {}
    for key, accuracies, elsewhere in _targets(pools):
        scaled = {cell: z_scores(tables[key[0]][(key[2], *cell)]) for cell in cells}
        scores = np.array([np.mean([scaled[cell] for cell in parts], axis=0) for parts in candidates.values()])
        taus[key] = np.mean([weighted_tau_many(scores, np.tile(a, (len(scores), 1))) for a in accuracies], axis=0)
        regrets[key] = np.mean([_regrets(scores, a) for a in accuracies], axis=0)
        static[key] = float(np.mean([static_rank_tau(a, b) for a, b in zip(accuracies, elsewhere, strict=True)]))
    costs = pd.Series({name: sum(by_cell[cell] for cell in parts) for name, parts in candidates.items()})
    means = pd.Series(static).groupby(level=[0, 1], sort=False).mean()
    by_group = cast("dict[Group, float]", means.to_dict())
    return Evidence(_by_group(taus, costs.index), _by_group(regrets, costs.index), by_group, costs)


def _targets(
    pools: Mapping[str, tuple[PoolRows, str]],
) -> Iterator[tuple[tuple[str, str, str], list[np.ndarray], list[np.ndarray]]]:
    """Yield pool, group and target; for each regime the accuracies (M,) on it, and those (T, M) on other groups."""
    for name, (pool, _) in pools.items():
        for target in pool.averaged_targets:
            group = pool.families[target]
            others = [other for other in pool.averaged_targets if pool.families[other] != group]
            truths = [table for table in pool.accuracies.values() if target in table.index]
            accuracies = [truth.loc[target].to_numpy(dtype=float) for truth in truths]
            elsewhere = [truth.loc[truth.index.isin(others)].to_numpy(dtype=float) for truth in truths]
            yield (name, group, target), accuracies, elsewhere


def prior() -> str:
    """Return what adding the mean accuracy rank on other groups, as a prior, changes in the tau_w of two scores.

    Both are z-scores over the pool, and the prior is multiplied by a weight. Differences are paired over groups.
    """
    rows = []
    for images, sizes in POOLS.items():
        pools = {name: (read_pools()[name], size) for name, size in sizes.items()}
        tables = {name: _scores(pool, size) for name, (pool, size) in pools.items()}
        for metric, perturbation in (("logme", "pca"), ("linear_classifier", "none")):
            taus = {}
            for key, accuracies, elsewhere in _targets(pools):
                score = z_scores(tables[key[0]][(key[2], metric, perturbation)])
                taus[key] = np.mean(
                    [_taus_with_prior(score, a, b) for a, b in zip(accuracies, elsewhere, strict=True)], 0
                )
            means = _by_group(taus, pd.Index(PRIOR_WEIGHTS)).T
            values = [_join_names(cast("dict[Group, float]", means[weight].to_dict())) for weight in PRIOR_WEIGHTS]
            for weight, with_prior in zip(PRIOR_WEIGHTS[1:], values[1:], strict=True):
                result = compare_paired(with_prior, values[0])
                assert result.mean is not None
                assert result.interval is not None, "there are several groups"
                low, high = result.interval
                counts = f"{result.wins}-{result.ties}-{result.losses}"
                tau = f"{means[weight].mean():.3f}"
                cells = [f"{result.mean:+.3f}", f"{low:+.2f}, {high:+.2f}", counts, f"{result.sign_flip_p:.3f}"]
                rows.append([images, _label((metric, perturbation)), f"{weight:g}", tau, *cells])
    head = ["images a class", "score", "weight of the prior", "tau_w", "change", "95 % interval", "won-tied-lost"]
    return markdown([*head, "sign-flip p"], rows)


def _taus_with_prior(score: np.ndarray, accuracies: np.ndarray, elsewhere: np.ndarray) -> np.ndarray:
    """Return the weighted taus of a score (M,) plus the prior, for each of `PRIOR_WEIGHTS`."""
    complete = elsewhere[np.isfinite(elsewhere).all(axis=1)]
    ranks = z_scores(stats.rankdata(complete, axis=1).mean(axis=0))
    scores = score + np.array(PRIOR_WEIGHTS)[:, None] * ranks
    return weighted_tau_many(scores, np.tile(accuracies, (len(scores), 1)))


def _regrets(scores: np.ndarray, accuracies: np.ndarray) -> np.ndarray:
    """Return the best accuracy minus the mean accuracy of the models with the largest score, for each row of scores."""
    is_top = scores == scores.max(axis=1, keepdims=True)
    return cast("np.ndarray", accuracies.max() - is_top @ accuracies / is_top.sum(axis=1))


def _by_group(values: Mapping[tuple[str, str, str], Any], candidates: pd.Index) -> pd.DataFrame:
    """Return the mean over the targets of each group; ``values`` are by pool, group and target."""
    return pd.DataFrame(values, candidates).T.groupby(level=[0, 1], sort=False).mean().T


def _scores(pool: PoolRows, images: str) -> dict[tuple[str, ...], np.ndarray]:
    """Return the scores on so many images a class, mean over seeds, by target, metric and perturbation."""
    rows = pool.scores[pool.scores.index.get_level_values("images_per_class") == images]
    means = rows.groupby(["dataset", "metric", "perturbation"]).mean()
    return dict(zip(map(tuple, means.index), means.to_numpy(dtype=float), strict=True))


def _cells(scores: Mapping[tuple[str, ...], np.ndarray], pool: PoolRows) -> set[Cell]:
    """Return the cells that score every model on every target."""
    targets = set(pool.averaged_targets)
    counts = Counter(
        (metric, perturbation)
        for (target, metric, perturbation), values in scores.items()
        if target in targets and metric not in _NOT_CANDIDATES and np.isfinite(values).all()
    )
    return {cell for cell, count in counts.items() if count == len(targets)}


def selection() -> str:
    """Return what each rule chooses without a group and what the choice reaches on it, next to fixed candidates."""
    rows = []
    for images in POOLS:
        evidence = read_evidence(images)
        for rule, tolerance in RULES.items():
            for fusions in (False, True):
                chosen = evidence.choose_without_each_group(tolerance, fusions)
                counts = Counter(chosen.values()).most_common()
                names = ", ".join(f"{name} ({count})" for name, count in counts)
                rows.append(
                    [images, f"{rule}, {'with' if fusions else 'without'} fusions", names, *_row(evidence, chosen)]
                )
        for name, candidate in (("always", HIGHEST_MEAN), ("always (default of rank)", DEFAULT)):
            rows.append([images, name, candidate, *_row(evidence, dict.fromkeys(evidence.static, candidate))])
        rows.append([images, "baseline", "static ranking", f"{np.mean(list(evidence.static.values())):.3f}", "", ""])
    head = ["images a class", "rule", "chosen (groups)", "tau_w on the group left out", "regret (points)"]
    return markdown([*head, "seconds a model"], rows)


def by_pool() -> str:
    """Return the mean weighted tau of the best metrics in each pool, every one after its best perturbation."""
    rows = []
    for images, sizes in POOLS.items():
        evidence = read_evidence(images)
        for name in dict.fromkeys([*_best_variants(evidence)[:8], DEFAULT]):
            taus = evidence.taus.loc[name]
            values = [f"{taus[pool].mean():.3f}" if pool in sizes else "" for pool in ("real_pool", "builtin")]
            rows.append([images, name, f"{taus.mean():.3f}", *values, f"{evidence.seconds[name]:.2g}"])
    return markdown(["images a class", "metric", "tau_w", "real networks", "built-in pool", "seconds a model"], rows)


def against() -> str:
    """Return the paired differences over groups between `HIGHEST_MEAN` and the eight best other rankings.

    The others are every metric after its best perturbation, and the static ranking. Holm's correction is for all.
    """
    rows = []
    for images in POOLS:
        paired = compare_with_all(read_evidence(images))
        corrected = dict(zip(paired, holm(np.array([p.sign_flip_p for p in paired.values()])), strict=True))
        for name in list(paired)[:8]:
            result = paired[name]
            assert result.mean is not None
            assert result.interval is not None, "there are several groups"
            low, high = result.interval
            counts = f"{result.wins}-{result.ties}-{result.losses}"
            p_values = [f"{result.sign_flip_p:.3f}", f"{corrected[name]:.3f}"]
            rows.append([images, name, f"{result.mean:+.3f}", f"{low:+.2f}, {high:+.2f}", counts, *p_values])
    head = ["images a class", "compared with", "difference of tau_w", "95 % interval", "won-tied-lost", "sign-flip p"]
    return markdown([*head, f"Holm, all {len(paired)}"], rows)


def compare_with_all(evidence: Evidence) -> dict[str, PairedComparison]:
    """Compare `HIGHEST_MEAN` with every other metric after its best perturbation, and the static ranking.

    The result is by name, the candidate with the highest mean first.
    """
    values = {name: _values(evidence, name) for name in _best_variants(evidence)} | {"static ranking": evidence.static}
    chosen = _join_names(_values(evidence, HIGHEST_MEAN))
    order = sorted(values, key=lambda name: -float(np.mean(list(values[name].values()))))
    return {name: compare_paired(chosen, _join_names(values[name])) for name in order if name != HIGHEST_MEAN}


def _best_variants(evidence: Evidence) -> list[str]:
    """Return every metric after its best perturbation, the highest mean first."""
    means = evidence.taus.loc[evidence.singles].mean(axis=1).sort_values(ascending=False)
    return list(means.index[~means.index.str.split(" / ").str[-1].duplicated()])


def agreement() -> str:
    """Return Kendall's tau between the two pools' orders of the metrics, with a 95 % interval over the groups."""
    rows = []
    for images, sizes in POOLS.items():
        if len(sizes) < 2:
            continue
        evidence = read_evidence(images)
        raw = [name for name in evidence.singles if " / " not in name]
        for what, names in (("metrics on raw features", raw), ("metrics after every perturbation", evidence.singles)):
            pools: list[Any] = [evidence.taus.loc[names, pool].to_numpy(dtype=float) for pool in sizes]
            value = stats.kendalltau(*(pool.mean(axis=1) for pool in pools)).statistic
            rng = np.random.default_rng(0)
            draws = [
                stats.kendalltau(
                    *(pool[:, rng.integers(pool.shape[1], size=pool.shape[1])].mean(axis=1) for pool in pools)
                ).statistic
                for _ in range(_DRAWS)
            ]
            low, high = percentile_interval(np.array(draws), 0.95)
            rows.append([images, what, str(len(names)), f"{value:.2f}", f"{low:.2f}, {high:.2f}"])
    return markdown(["images a class", "order of", "number", "Kendall's tau", "95 % interval"], rows)


def chance() -> str:
    """Return the 95 % band of the mean weighted tau of random scores over the groups, by number of images."""
    rows = []
    for images, names in POOLS.items():
        variances = []
        for name in names:
            pool = read_pools()[name]
            counts = Counter(pool.families[target] for target in pool.averaged_targets)
            variances += [null_deviation(len(pool.models)) ** 2 / count for count in counts.values()]
        # The mean over groups of independent random scores, one draw for each target.
        band = 1.96 * float(np.sqrt(np.sum(variances))) / len(variances)
        targets = sum(len(read_pools()[name].averaged_targets) for name in names)
        rows.append([images, " and ".join(names), str(targets), str(len(variances)), f"-{band:.2f}, {band:.2f}"])
    return markdown(["images a class", "pools", "targets", "groups", "95 % of random scores"], rows)


TABLES = {
    "selection": selection,
    "by_pool": by_pool,
    "against": against,
    "agreement": agreement,
    "chance": chance,
    "prior": prior,
}


def _label(cell: Cell) -> str:
    metric, perturbation = cell
    return metric if perturbation == "none" else f"{perturbation} / {metric}"


def _row(evidence: Evidence, chosen: Mapping[Group, str]) -> list[str]:
    """Return mean weighted tau, regret in percentage points and cost of the candidates chosen for the groups."""
    tau = np.mean([evidence.taus.at[c, g] for g, c in chosen.items()])
    lost = np.mean([evidence.regrets.at[c, g] for g, c in chosen.items()])
    return [f"{tau:.3f}", f"{100 * lost:.1f}", f"{evidence.seconds[list(chosen.values())].mean():.2g}"]


def _values(evidence: Evidence, candidate: str) -> dict[Group, float]:
    return dict(zip(evidence.static, evidence.taus.loc[candidate].to_numpy(dtype=float).tolist(), strict=True))


def _join_names(values: Mapping[Group, float]) -> dict[str, float | None]:
    return {"/".join(group): value for group, value in values.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Rewrite the tables of the page, and return the exit code."""
    parser = Parser(prog="python -m studies.recommendation", description=__doc__)
    parser.add_argument("page", type=Path, metavar="PAGE.md")
    return parser.run(_fill, arguments)


def _fill(options: Namespace) -> None:
    write_text(options.page, fill_tables(options.page, TABLES))


if __name__ == "__main__":
    sys.exit(main())
