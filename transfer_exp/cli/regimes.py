"""Regimes that ``transfer-exp rank --then fine-tune --regimes`` compares: their options, and the comparison."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from transfer_exp.cli.hydra_errors import UNREADABLE_OPTIONS, explain
from transfer_exp.cli.instantiate import build, check_regime
from transfer_exp.cli.job_labels import cell_labels, resolve_settings, to_plain
from transfer_exp.cli.overrides import quote
from transfer_exp.cli.score_matrix import split_label
from transfer_exp.errors import InputError

if TYPE_CHECKING:
    from transfer_exp.experiment.budget import Budget
    from transfer_exp.experiment.search import PoolSearch
    from transfer_exp.ground_truth.regime import Regime
    from transfer_exp.results.search import SearchResult

_COMMA = re.compile(r",(?![^()]*\))")
"""Comma that is not inside parentheses."""


@dataclass(frozen=True)
class ComposedRegime:
    """An option of the config group ``ground_truth``, with the settings of the search.

    Attributes:
        label, protocol: Names of the regime and of its protocol in tables, see `cell_labels`.
        config: Config of the search with this option.
    """

    label: str
    protocol: str
    config: DictConfig


def regimes_setting(text: str) -> str:
    """Return the setting for a list on the command line, such as ``full,lora(rank=4),last_block``."""
    return f"regimes=[{','.join(quote(name.strip()) for name in _COMMA.split(text))}]"


def compose_regimes(config: DictConfig) -> list[ComposedRegime]:
    """Return the regimes that a search compares, none unless it compares some.

    Raises:
        InputError: If the search does not fine-tune, ``ground_truth`` is set too, or an option cannot be used.
    """
    if config.regimes is None:
        return []
    names = [config.regimes] if isinstance(config.regimes, str) else list(config.regimes)
    if config.then is None:
        raise InputError("regimes are ways to fine-tune the ranked models: add --then fine-tune, or leave them out")
    overrides = list(HydraConfig.get().overrides.task)
    for override in overrides:
        if override.lstrip("+~").partition("=")[0].partition(".")[0] == "ground_truth":
            raise InputError(f"{override} has no effect next to regimes: list it there, such as 'lora(rank=4)'")
    composed = [_compose(name, overrides) for name in names]
    return list({regime.label: regime for regime in composed}.values())


def _compose(text: str, overrides: Sequence[str]) -> ComposedRegime:
    """Return the regime of a text such as ``lora(rank=4)``; InputError if there is no such option or setting."""
    name, changes = split_label("ground_truth", text)
    # In quotes, because an option is a name even where it reads like a number or a truth value.
    regime = [f"ground_truth='{name}'", *(f"ground_truth.{change}" for change in changes)]
    try:
        config = hydra.compose(str(HydraConfig.get().job.config_name), [*overrides, *regime], return_hydra_config=True)
    except UNREADABLE_OPTIONS as error:
        raise InputError(explain(error)) from error
    check_regime(to_plain(config.ground_truth))
    labels, protocol = cell_labels(config, config.hydra)
    with open_dict(config):
        del config["hydra"]
    return ComposedRegime(labels["ground_truth"], protocol, config)


def build_regimes(composed: Sequence[ComposedRegime]) -> dict[str, tuple[Regime, str]]:
    """Return the object and the protocol of each regime by its label; InputError if one trains nothing."""
    regimes = {}
    for item in composed:
        regime = build("ground_truth", resolve_settings(item.config)["ground_truth"])
        if not regime.trains:
            raise InputError(f"regimes has {item.label}, which trains nothing: list full, lora or others that train")
        regimes[item.label] = regime, item.protocol
    return regimes


def compare_regimes(
    regimes: Mapping[str, tuple[Regime, str]], search: PoolSearch, result: SearchResult, budget: Budget
) -> SearchResult:
    """Fine-tune pairs of model and regime with what is left of a budget; result and errors as `RegimeComparison.run`.

    Args:
        regimes: Regimes of `build_regimes`.
        search, result: The search and its ranking.
        budget: Time budget of the search and the comparison together.
    """
    from transfer_exp.experiment.regime_comparison import RegimeComparison

    # The result names regimes without the protocol, which is the same for all of them.
    caches = {
        label.removesuffix(f"/{protocol}"): search.cached_accuracies(regime, label, protocol)
        for label, (regime, protocol) in regimes.items()
    }
    return RegimeComparison(search, caches, budget).run(result)
