"""Stored rows of the leaderboard: scores of every metric after every perturbation, accuracies and costs, by pool.

The rows ship with the package, so the leaderboard needs no network and computes only what they lack. A variant is a
metric after a perturbation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from transfer_exp.errors import InputError, suggestion
from transfer_exp.evaluation.correlation import weighted_tau_many
from transfer_exp.evaluation.score_files import CELL
from transfer_exp.io.accuracies import PUBLISHED
from transfer_exp.io.csv import parse_numbers, read_table, require_columns

_FOLDER = Path(__file__).parent
_CHECKOUT = _FOLDER.parents[1]
_FIELDS = ["dataset", "images_per_class", "seed", "perturbation", "metric"]
_LABELS = ["model_pool", "splits"]
_REGIMES_OF_THE_PAPER = {"vanilla_ft": "full", "last_block_ft": "last_block", "linear_ft": "linear_probe"}
_OPTIONS_OF_THE_PAPER = (
    *("aircraft", "caltech101", "cars", "cifar10", "cifar100", "dtd", "flowers", "food", "pets", "sun397"),
    "voc2007_released",
)
PAPER_TARGETS = {option.removesuffix("_released"): option for option in _OPTIONS_OF_THE_PAPER}
"""Option of the group ``dataset`` by the name of a target of the paper."""
PAPER_SPLITS = ("train", "validation")
"""Splits that are scored together on the targets of the paper, where a target has both."""
ALL_IMAGES = "all"
"""Value of ``images_per_class`` of a score on all training images."""
Variant = tuple[str, str]
"""Perturbation and metric."""


@dataclass(frozen=True, eq=False)
class PoolRows:
    """Stored scores and accuracies of one pool.

    Attributes:
        name: Name of the pool.
        scores: A row per variant, target, number of images per class and seed, in the index `_FIELDS`; a column per
            model. NaN where a metric does not apply to a model.
        accuracies: Accuracies in [0, 1] by regime: a row per target and a column per model, mean over seeds.
        families: Name of the dataset that each target is drawn from. Targets of one family share their images.
        costs: Seconds of processor time for one model by variant.
        control: Target that is left out of every mean, because models of the pool were trained on it; may be empty.
        own_variant: Variant that the user asks about, which is never left out; or None.
    """

    name: str
    scores: pd.DataFrame
    accuracies: Mapping[str, pd.DataFrame]
    families: Mapping[str, str]
    costs: Mapping[Variant, float] = field(default_factory=dict)
    control: str = ""
    own_variant: Variant | None = None

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Names of the models, in the order of the columns."""
        return tuple(map(str, self.scores.columns))

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """Names of the targets, the control included, in the order of the families."""
        return tuple(name for name in self.families if name in set(self.scores.index.get_level_values("dataset")))

    @cached_property
    def averaged_targets(self) -> tuple[str, ...]:
        """Targets that means are over."""
        return tuple(name for name in self.targets if name != self.control)

    @cached_property
    def images_per_class(self) -> tuple[str, ...]:
        """Numbers of images per class that were scored, as text and ascending; the last may be `ALL_IMAGES`."""
        counts = set(map(str, self.scores.index.get_level_values("images_per_class")))
        return tuple(sorted(counts, key=lambda count: np.inf if count == ALL_IMAGES else int(count)))

    def select(self, targets: Sequence[str] | None) -> PoolRows:
        """Return the rows of some targets; raises `InputError` when a target does not exist."""
        if targets is None:
            return self
        for name in targets:
            if name not in self.targets:
                raise InputError(f"no target '{name}' in the pool {self.name}: {suggestion(name, self.targets)}")
        is_chosen = self.scores.index.get_level_values("dataset").isin(targets)
        families = {name: family for name, family in self.families.items() if name in targets}
        accuracies = {regime: table.loc[table.index.isin(targets)] for regime, table in self.accuracies.items()}
        return replace(self, scores=self.scores[is_chosen], accuracies=accuracies, families=families)

    def variants_on(self, target: str) -> set[Variant]:
        """Return the variants that have a score of all images of a target."""
        keys = self.scores.index.to_frame(index=False)
        keys = keys[(keys["dataset"] == target) & (keys["images_per_class"] == ALL_IMAGES)]
        return set(zip(keys["perturbation"], keys["metric"], strict=True))

    def missing_targets(self, variant: Variant) -> tuple[str, ...]:
        """Return the targets on which a variant has no score of all images."""
        return tuple(target for target in self.targets if variant not in self.variants_on(target))

    def add(self, variant: Variant, scores: Mapping[str, Mapping[str, float]], seconds: float | None) -> PoolRows:
        """Return the rows with scores of a variant on all images, by target and model, and its cost."""
        keys = [(target, ALL_IMAGES, "0", *variant) for target in scores]
        rows = pd.DataFrame(list(scores.values()), columns=list(self.models), dtype=np.float64)
        rows.index = pd.MultiIndex.from_tuples(keys, names=_FIELDS)
        costs = dict(self.costs) if seconds is None else {**self.costs, variant: seconds}
        return replace(self, scores=pd.concat([self.scores, rows]), costs=costs)

    @cached_property
    def taus(self) -> pd.DataFrame:
        """Weighted tau of every score row under every regime, mean over seeds.

        A row per regime, ``images_per_class``, perturbation, metric and target, with the columns ``tau`` and ``models``
        (number of models with both score and accuracy). Variants that a perturbation does not change are left out.
        """
        scores = self._changed_scores()
        targets = scores.index.get_level_values("dataset")
        tables = []
        for regime, table in self.accuracies.items():
            accuracies = table.reindex(index=targets, columns=list(self.models)).to_numpy(dtype=np.float64)
            taus, counts = row_taus(scores.to_numpy(dtype=np.float64), accuracies)
            rows = scores.index.to_frame(index=False).assign(regime=regime, tau=taus, models=counts)
            tables.append(rows[rows["models"] > 1])
        keys = ["regime", "images_per_class", "perturbation", "metric", "dataset"]
        means = pd.concat(tables).groupby(keys, sort=False).agg(tau=("tau", "mean"), models=("models", "min"))
        return means.reset_index().rename(columns={"dataset": "target"})

    def _changed_scores(self) -> pd.DataFrame:
        """Return the scores without variants that equal the same metric on unperturbed features."""
        fields = [name for name in _FIELDS if name != "perturbation"]
        raw = self.scores[self.scores.index.get_level_values("perturbation") == "none"].droplevel("perturbation")
        raw = raw.reindex(pd.MultiIndex.from_frame(self.scores.index.to_frame(index=False)[fields]))
        is_equal = (self.scores.to_numpy() == raw.to_numpy()) | (self.scores.isna().to_numpy() & raw.isna().to_numpy())
        keys = self.scores.index.to_frame(index=False)[["perturbation", "metric"]]
        is_unchanged = pd.Series(is_equal.all(axis=1)).groupby([keys["perturbation"], keys["metric"]]).transform("all")
        is_own = pd.Series(list(keys.itertuples(index=False, name=None))) == self.own_variant
        return self.scores[((keys["perturbation"] == "none") | ~is_unchanged | is_own).to_numpy()]


def row_taus(
    scores: Float[np.ndarray, "rows models"], accuracies: Float[np.ndarray, "rows models"]
) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
    """Return the weighted tau of each row over the models with both values, and their number.

    The tau is NaN where fewer than two models have both values.
    """
    is_complete = np.isfinite(scores) & np.isfinite(accuracies)
    counts = is_complete.sum(axis=1).astype(np.float64)
    taus = np.full(len(scores), np.nan)
    patterns, groups = np.unique(is_complete, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        rows = np.flatnonzero(groups.ravel() == number)
        if pattern.sum() > 1:
            taus[rows] = weighted_tau_many(scores[rows][:, pattern], accuracies[rows][:, pattern])
    return taus, counts


def read_rows(
    name: str, scores: Path, accuracies: Path, families: Mapping[str, str] | None = None, control: str = ""
) -> PoolRows:
    """Read the stored rows of a pool; targets without accuracies are left out.

    Args:
        name: Name of the pool.
        scores: CSV in the matrix form of `transfer_exp.evaluation.score_files`.
        accuracies: CSV with columns model, dataset, regime, seed and accuracy.
        families: Family of each target in order; by default every target is its own family.
        control: See `PoolRows`.
    """
    accuracy_rows = pd.read_csv(accuracies, usecols=["model", "dataset", "regime", "seed", "accuracy"])
    table = pd.read_csv(scores, dtype={"images_per_class": str, "seed": str})
    return build_rows(name, table, accuracy_rows, families, control)


def build_rows(
    name: str,
    scores: pd.DataFrame,
    accuracies: pd.DataFrame,
    families: Mapping[str, str] | None = None,
    control: str = "",
) -> PoolRows:
    """Return the rows of a pool from tables with the columns of the files of `read_rows`."""
    table = scores.drop(columns=_LABELS).set_index(_FIELDS).astype(np.float64)
    # The regime of an experiment may name its protocol, such as full/short.
    accuracies = accuracies.assign(regime=accuracies["regime"].str.partition("/")[0])
    means = accuracies.groupby(["regime", "dataset", "model"])["accuracy"].mean().round(12)
    regimes = sorted(set(accuracies["regime"]), key=lambda regime: (regime != "full", regime))
    by_regime = {regime: means[regime].unstack("model")[list(table.columns)] for regime in regimes}
    names = dict.fromkeys(table.index.get_level_values("dataset"))
    families = {target: target for target in names} if families is None else families
    families = {t: f for t, f in families.items() if t in names and any(t in a.index for a in by_regime.values())}
    table = table[table.index.get_level_values("dataset").isin(list(families))]
    return PoolRows(name, table, by_regime, families, read_costs(), control)


def published_accuracies(path: Path = PUBLISHED) -> pd.DataFrame:
    """Return the published accuracies that ship, without those that are marked as unsound."""
    rows = pd.read_csv(path, usecols=["pool", "model", "dataset", "regime", "accuracy", "sound"], dtype={"sound": str})
    return rows[rows["sound"].fillna("") != "no"]


def paper_accuracies() -> pd.DataFrame:
    """Return the published accuracies of the paper's CNNs on its targets; regimes have the names of this project."""
    rows = published_accuracies()
    rows = rows[rows["pool"] == "group1_supervised_cnn11"]
    return rows.assign(regime=rows["regime"].map(_REGIMES_OF_THE_PAPER))


def read_paper_rows(path: Path) -> PoolRows:
    """Read rows that the sweep ``paper_supervised`` wrote, scores on the training and validation images.

    Raises:
        InputError: When the file has no such rows, or a score is not a number.
    """
    table, accuracies = read_table(path), paper_accuracies()
    require_columns(table, CELL, path)
    models = [name for name in table if name in set(accuracies["model"])]
    table = table[(table["splits"] == "+".join(PAPER_SPLITS)) & table["dataset"].isin(list(PAPER_TARGETS))]
    if table.empty or not models:
        raise InputError(f"{path} has no scores of the paper's CNNs on its targets: name another file, or remove it")
    scores = table[CELL].assign(**{str(name): parse_numbers(table[name], path) for name in models})
    return build_rows("paper", scores, accuracies)


def read_costs(path: Path = _FOLDER / "costs.csv") -> dict[Variant, float]:
    """Return the stored seconds of processor time for one model by variant."""
    table = pd.read_csv(path)
    keys = zip(table["perturbation"], table["metric"], strict=True)
    return dict(zip(keys, table["seconds"].astype(float), strict=True))


def read_builtin_rows(families: Mapping[str, str] | None = None) -> PoolRows:
    """Return the stored rows of the built-in pool; ``families`` names the dataset of each target, see `read_rows`."""
    return read_rows("builtin", _FOLDER / "scores.csv", _FOLDER / "accuracies.csv", families)


def read_real_rows() -> PoolRows:
    """Return the stored rows of 23 real networks; those trained on its target ``cifar10`` make that a control."""
    in_wheel = _FOLDER / "real_pool_scores.csv", _FOLDER / "real_pool_accuracies.csv"
    in_checkout = (
        _CHECKOUT / "docs" / "results" / "real_pool_scores.csv",
        _CHECKOUT / "studies" / "real_pool" / "accuracies.csv",
    )
    files = in_wheel if in_wheel[0].is_file() else in_checkout
    return read_rows("real_pool", *files, control="cifar10")
