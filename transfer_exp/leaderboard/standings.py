"""Standings: mean weighted tau of every variant over targets, with rank, interval, wins and paired comparisons.

Tau compares, over the models of a pool, the scores of a variant with the accuracies after fine-tuning on one target.
Targets drawn from one dataset are a family. A variant is a metric after a perturbation. For each target, tau is first
averaged over the regimes (ways of fine-tuning); then all targets have equal weight. Intervals and tests are over
targets.

A static ranking does not look at the images of a target: it orders the models by their mean rank of accuracy on the
other targets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from transfer_exp.evaluation.accuracy_spread import static_rank_tau
from transfer_exp.evaluation.correlation import weighted_tau_many
from transfer_exp.evaluation.intervals import mean_interval, resamples
from transfer_exp.evaluation.paired import DECIMALS, PairedComparison, compare_paired, holm, sign_flip_p_values
from transfer_exp.io.accuracies import PUBLISHED
from transfer_exp.leaderboard.rows import ALL_IMAGES, PoolRows, Variant, published_accuracies, read_builtin_rows

STATIC, STATIC_FAMILY = "static_rank", "static_rank_families"
"""Names of the static rankings; the second is by targets of other families only."""
RANDOM = "random"
"""Baseline of random scores, drawn again for each target. Its tau is a mean over many draws, so about 0."""
TARGET_FREE_METRICS = ("parameter_count", "imagenet_accuracy")
"""Metrics that do not look at the target."""
BEST = "best"
"""Name of the comparison with the best variant; that of the best one is with the next."""
LEVEL = 0.05
"""Corrected p-value below which a difference is called significant."""
ALL_REGIMES = "all"
_DRAWS, _NULL_DRAWS = 2000, 2000
_INTERVAL = (0.025, 0.975)
_WITH_LABELS = ("pca", "logme")
"""Variant that metrics without labels are compared with: the default of ``transfer-exp rank``."""


def variant_name(variant: Variant) -> str:
    """Return ``pca / logme`` for a metric after a perturbation, ``logme`` for one on unperturbed features."""
    perturbation, metric = variant
    return metric if perturbation == "none" else f"{perturbation} / {metric}"


@dataclass(frozen=True, eq=False)
class ComputedBaselines:
    """Weighted tau of random and static rankings on the targets of one pool, under each regime.

    Attributes:
        rows: Stored rows of the pool.
    """

    rows: PoolRows

    @cached_property
    def random(self) -> dict[str, pd.DataFrame]:
        """Tau of random scores by regime: a row per draw and a column per target.

        All regimes share the draws of a target.
        """
        n_models = len(self.rows.models)
        taus: dict[str, dict[str, np.ndarray]] = {regime: {} for regime in self.rows.accuracies}
        for number, target in enumerate(self.rows.averaged_targets):
            order = np.tile(np.arange(n_models, dtype=np.float64), (_NULL_DRAWS, 1))
            scores = np.random.default_rng(number).permuted(order, axis=1)
            for regime, by_target in taus.items():
                accuracies = self._accuracies(regime, target)
                if accuracies is None:
                    by_target[target] = np.full(_NULL_DRAWS, np.nan)
                else:
                    by_target[target] = weighted_tau_many(scores, np.tile(accuracies, (_NULL_DRAWS, 1)))
        return {regime: pd.DataFrame(by_target) for regime, by_target in taus.items()}

    @cached_property
    def static(self) -> dict[str, pd.DataFrame]:
        """Tau of the static rankings by regime: a row per ranking and a column per target, NaN where there is none."""
        targets = self.rows.averaged_targets
        families = [self.rows.families[target] for target in targets]
        # The second ranking differs from the first if some targets, but not all, share a family.
        names = [STATIC] + ([STATIC_FAMILY] if 1 < len(set(families)) < len(families) else [])
        return {
            regime: pd.DataFrame(
                {
                    target: [self._static_tau(regime, target, name) for name in names]
                    for target in self.rows.averaged_targets
                },
                index=names,
                dtype=np.float64,
            )
            for regime in self.rows.accuracies
        }

    def _static_tau(self, regime: str, target: str, name: str) -> float:
        """Return the tau of a static ranking by the other targets, or by those of other families; NaN without any."""
        families = self.rows.families
        is_left_out = {t: t == target or (name == STATIC_FAMILY and families[t] == families[target]) for t in families}
        tables = [self._accuracies(regime, t) for t in self.rows.averaged_targets if not is_left_out[t]]
        complete = [table for table in tables if table is not None]
        accuracies = self._accuracies(regime, target)
        if accuracies is None or not complete:
            return np.nan
        return static_rank_tau(accuracies, np.array(complete))

    def _accuracies(self, regime: str, target: str) -> np.ndarray | None:
        """Return the accuracies of all models, or None if one is missing."""
        table = self.rows.accuracies[regime]
        if target not in table.index or table.loc[target].isna().any():
            return None
        return table.loc[target].to_numpy(dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Standings:
    """Values of all variants on the targets of one pool, for one number of images per class.

    Attributes:
        rows: Stored rows of the pool.
        regime: Regime of the accuracies, or `ALL_REGIMES` for the mean over all.
        images_per_class: Number of images per class that were scored, as text; `ALL_IMAGES` for all.
        baselines: Random and static rankings of the pool.
    """

    rows: PoolRows
    regime: str
    images_per_class: str
    baselines: ComputedBaselines

    @property
    def uses_most_images(self) -> bool:
        """Whether the scores are those of the largest number of images per class."""
        return self.images_per_class == self.rows.images_per_class[-1]

    @property
    def is_main(self) -> bool:
        """Whether these are the main standings of the pool: over all regimes, with scores of most images."""
        return self.regime == ALL_REGIMES and self.uses_most_images

    @cached_property
    def regimes(self) -> tuple[str, ...]:
        """Regimes that the values are means over."""
        return tuple(self.rows.accuracies) if self.regime == ALL_REGIMES else (self.regime,)

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """Targets that the values are over: those with accuracies of all models under at least one of the regimes."""
        # Random scores have no tau on a target where an accuracy is missing.
        is_complete = [self.baselines.random[regime].notna().all() for regime in self.regimes]
        return tuple(
            target for target in self.rows.averaged_targets if any(of_regime[target] for of_regime in is_complete)
        )

    @cached_property
    def _selected(self) -> pd.DataFrame:
        """Rows of `PoolRows.taus` of these standings, without metrics that are computed here."""
        taus = self.rows.taus
        is_used = taus["regime"].isin(self.regimes) & (taus["images_per_class"] == self.images_per_class)
        return taus[is_used & ~taus["metric"].isin([STATIC, RANDOM])]

    @cached_property
    def values(self) -> pd.DataFrame:
        """Weighted tau, mean over regimes: a row per variant and a column per target, NaN without a score."""
        means = self._selected.groupby(["perturbation", "metric", "target"])["tau"].mean().unstack("target")
        return means.reindex(columns=list(self.targets))

    @cached_property
    def n_models(self) -> pd.Series:
        """Smallest number of models that a variant was compared on."""
        used = self._selected[self._selected["target"].isin(self.targets)]
        return used.groupby(["perturbation", "metric"])["models"].min().reindex(self.values.index)

    @cached_property
    def is_ranked(self) -> pd.Series:
        """Whether a variant has a value on every target, for as many models as any variant; others are not compared."""
        return self.values.notna().all(axis=1) & (self.n_models == self.n_models.max())

    def _mean(self, by_regime: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Return the mean of tables over the regimes of the standings; missing values count for nothing."""
        tables = [by_regime[regime][list(self.targets)] for regime in self.regimes]
        stacked = np.stack([table.to_numpy(dtype=np.float64) for table in tables])
        counts = np.isfinite(stacked).sum(axis=0)
        means = np.divide(np.nansum(stacked, axis=0), counts, out=np.full(counts.shape, np.nan), where=counts > 0)
        return pd.DataFrame(means, tables[0].index, list(self.targets))

    @cached_property
    def _random_taus(self) -> pd.DataFrame:
        """Weighted tau of random scores, independent between targets: a row per draw and a column per target."""
        return self._mean(self.baselines.random)

    @cached_property
    def null_band(self) -> tuple[float, float]:
        """Interval of 95 % of the mean weighted tau of random scores, which are independent between targets."""
        low, high = self._random_taus.mean(axis=1).quantile(list(_INTERVAL))
        return float(low), float(high)

    @cached_property
    def target_null_bands(self) -> dict[str, tuple[float, float]]:
        """Interval of 95 % of the weighted tau of random scores by target."""
        bands = self._random_taus.quantile(list(_INTERVAL))
        return {str(target): (float(low), float(high)) for target, (low, high) in bands.items()}

    @cached_property
    def computed_baselines(self) -> dict[str, pd.Series]:
        """Weighted tau by target of the baselines without stored scores, by name: random and static rankings."""
        static = self._mean(self.baselines.static)
        complete = {str(name): values for name, values in static.iterrows() if values.notna().all()}
        return {RANDOM: self._random_taus.mean(), **complete}

    @cached_property
    def all_baselines(self) -> dict[str, pd.Series]:
        """Weighted tau by target of every baseline that the pool has, by name."""
        values = self.values[self.is_ranked]
        scored = {name: _row(values, ("none", name)) for name in TARGET_FREE_METRICS if ("none", name) in values.index}
        return {**self.computed_baselines, **scored}

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row per variant and baseline; docs/output.md explains the columns.

        Rows with a rank come first, then the others, each by mean tau. Random and static rankings have no rank, and
        neither have variants that lack a score of a model or target. Ranked variants are compared with the best one
        (``difference_to_best``, ``p_to_best``), and in the main standings with each baseline X (``difference_to_X``).
        """
        values = pd.concat([self.values, self._computed_rows()])
        is_ranked = self.is_ranked.reindex(values.index, fill_value=False)
        means = values.mean(axis=1)
        ranks = pd.Series(rankdata(-means[is_ranked].round(DECIMALS), method="min"), means.index[is_ranked])
        models = self.n_models.reindex(values.index).fillna(len(self.rows.models))
        table = pd.DataFrame(
            {
                "rank": ranks.reindex(values.index).astype("Int64"),
                "is_shared": ranks.duplicated(keep=False).reindex(values.index, fill_value=False),
                "kind": [self._kind(variant) for variant in values.index],
                "tau": means,
                "targets": values.notna().sum(axis=1),
                "models": models.astype(int),
                "wins": self._wins(values, is_ranked).astype("Int64"),
                "milliseconds": [1000 * self.rows.costs.get(variant, np.nan) for variant in values.index],
            },
            index=values.index,
        )
        table["tau_low_95"], table["tau_high_95"] = _mean_intervals(values)
        table.loc[("none", RANDOM), ["tau_low_95", "tau_high_95"]] = self.null_band
        table = table.join(self._comparisons(values, is_ranked))
        order = table.assign(last=table["rank"].isna()).sort_values(["last", "tau"], ascending=[True, False]).index
        return table.loc[order]

    def _computed_rows(self) -> pd.DataFrame:
        index = pd.MultiIndex.from_tuples(
            [("none", name) for name in self.computed_baselines], names=["perturbation", "metric"]
        )
        return pd.DataFrame(list(self.computed_baselines.values()), index, columns=list(self.targets))

    def _kind(self, variant: Variant) -> str:
        """Return ``yours``, ``baseline`` or ``metric``."""
        if variant == self.rows.own_variant:
            return "yours"
        return "baseline" if variant[1] in (*TARGET_FREE_METRICS, *self.computed_baselines) else "metric"

    def _wins(self, values: pd.DataFrame, is_ranked: pd.Series) -> pd.Series:
        """Return the number of targets on which no other ranked variant has a higher tau."""
        ranked = values[is_ranked].round(DECIMALS)
        return (ranked == ranked.max()).sum(axis=1).reindex(values.index)

    def _comparisons(self, values: pd.DataFrame, is_ranked: pd.Series) -> pd.DataFrame:
        """Return the paired differences to the best variant, and in the main standings to each baseline, by column.

        Holm's correction is for all variants that are compared with the same one.
        """
        best = self._best(exclude=None)
        references = {BEST: _row(values, best)} if best else {}
        if self.is_main:
            references |= self.all_baselines
        compared = values[is_ranked]
        columns: dict[str, pd.Series] = {}
        for name, reference in references.items():
            reference_variant = ("none", name) if name != BEST else best
            rows = compared.drop(index=[reference_variant], errors="ignore")
            differences = (rows - reference.reindex(rows.columns)).round(DECIMALS)
            low, high = _mean_intervals(differences)
            p_values = holm(sign_flip_p_values(differences.to_numpy(dtype=np.float64).T))
            columns |= {
                f"difference_to_{name}": differences.mean(axis=1),
                f"difference_to_{name}_low_95": low,
                f"difference_to_{name}_high_95": high,
                f"p_to_{name}": pd.Series(p_values, rows.index, dtype=np.float64),
            }
        return pd.DataFrame(columns, index=values.index)

    def _best(self, exclude: Variant | None) -> Variant | None:
        """Return the ranked variant with the largest mean tau; None without any."""
        means = self.values[self.is_ranked].mean(axis=1).drop(index=[exclude] if exclude else [], errors="ignore")
        return None if means.empty else cast("Variant", means.idxmax())

    def compare(self, variant: Variant) -> dict[str, tuple[str, PairedComparison, float]]:
        """Compare one variant with the best other variant and with each baseline.

        Returns:
            By name of the comparison (`BEST` or a baseline): the name of the other variant, the comparison, and its
            sign-flip p-value after Holm's correction for the comparisons of this variant.
        """
        values = _by_target(_row(self.values, variant))
        best = self._best(exclude=variant)
        references = {BEST: (variant_name(best), _row(self.values, best))} if best else {}
        references |= {name: (name, row) for name, row in self.all_baselines.items() if ("none", name) != variant}
        paired = {name: compare_paired(values, _by_target(row)) for name, (_, row) in references.items()}
        corrected = holm(np.array([result.sign_flip_p for result in paired.values()]))
        return {
            name: (references[name][0], result, float(p))
            for (name, result), p in zip(paired.items(), corrected, strict=True)
        }


def _row(table: pd.DataFrame, variant: Variant) -> pd.Series:
    """Return the row of a variant."""
    return table.loc[[variant]].iloc[0]


def _by_target(values: pd.Series) -> dict[str, float | None]:
    return {str(target): float(value) for target, value in values.items()}


def _mean_intervals(values: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return the ends of the 95 % bootstrap interval of the mean of each row, NaN with missing values.

    All rows share the draws, which are those of `transfer_exp.evaluation.intervals.mean_interval`.
    """
    if values.shape[1] < 2 or values.empty:
        missing = pd.Series(np.nan, values.index)
        return missing, missing
    draws = resamples(values.shape[1], _DRAWS, seed=0)
    shares = np.array([np.bincount(draw, minlength=values.shape[1]) for draw in draws]) / values.shape[1]
    low, high = np.quantile(values.to_numpy(dtype=np.float64) @ shares.T, _INTERVAL, axis=1)
    return pd.Series(low, values.index), pd.Series(high, values.index)


def published_static_taus(path: Path = PUBLISHED) -> pd.DataFrame:
    """Return how well the static ranking does on the published accuracies that ship: a row per pool and regime.

    The columns are ``pool``, ``regime``, ``models``, ``targets``, ``tau``, ``tau_low_95`` and ``tau_high_95``. Targets
    that lack a model, accuracies that `published_accuracies` leaves out, and pools with one target are not used.
    """
    baselines = []
    for (pool, regime), group in published_accuracies(path).groupby(["pool", "regime"], sort=True):
        table = group.groupby(["dataset", "model"])["accuracy"].mean().unstack("model").dropna()
        if len(table) < 2:
            continue
        taus = [static_rank_tau(row.to_numpy(), table.drop(index=name).to_numpy()) for name, row in table.iterrows()]
        low, high = mean_interval(np.array(taus))
        counts = {"models": table.shape[1], "targets": len(table)}
        interval = {"tau": float(np.mean(taus)), "tau_low_95": low, "tau_high_95": high}
        baselines.append({"pool": pool, "regime": regime, **counts, **interval})
    return pd.DataFrame(baselines)


def evidence_without_labels(metric: str, perturbation: str) -> str:
    """Return a sentence on the agreement of a metric's scores with accuracies of full fine-tuning, on stored targets.

    The interval is over the targets. It holds for small networks on small images, which the sentence says.

    Args:
        metric, perturbation: Names in tables; those with changed hyperparameters have no rows.
    """
    rows = read_builtin_rows()
    without, with_labels = (_taus(rows, variant) for variant in ((perturbation, metric), _WITH_LABELS))
    if len(without) < 2:
        return f"no stored rows show how well {variant_name((perturbation, metric))} ranks models"
    low, high = mean_interval(without)
    return (
        f"how far to trust the order: on {len(without)} stored targets, {variant_name((perturbation, metric))} ranked "
        f"{len(rows.models)} small networks with a mean tau_w of {without.mean():.2f} [{low:.2f}, {high:.2f}] "
        f"(0: chance, 1: perfect); {variant_name(_WITH_LABELS)}, which reads labels, had {with_labels.mean():.2f}"
    )


def _taus(rows: PoolRows, variant: Variant) -> np.ndarray:
    """Return the weighted tau of a variant on each target, with the scores of all images."""
    keys = rows.scores.index.to_frame(index=False)
    is_chosen = (keys["perturbation"] == variant[0]) & (keys["metric"] == variant[1])
    scores = rows.scores[(is_chosen & (keys["images_per_class"] == ALL_IMAGES)).to_numpy()]
    if scores.empty:
        return np.empty(0)
    taus: pd.DataFrame = replace(rows, scores=scores, own_variant=variant).taus
    return taus.loc[taus["regime"] == "full", "tau"].to_numpy(dtype=np.float64)
