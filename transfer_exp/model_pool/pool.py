"""Model pools: pretrained models ("candidates") that are ranked together.

This module and the functions of the config options do not import torch, so that wrong options are reported at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transfer_exp.errors import InputError, suggestion

if TYPE_CHECKING:
    from transfer_exp.model_pool.loaded_model import LoadedModel


@dataclass(frozen=True, eq=False)
class Candidate:
    """One model of a pool.

    Attributes:
        name: Name of the model in tables.
        load: Returns the model; raises `NotApplicableError` with the reason when the model cannot be used.
        count_parameters: Returns the approximate number of parameters without loading the model, or None if unknown. A
            search looks at small models first.
        licence: Returns the licence of the weights without loading the model, or None if unknown.
    """

    name: str
    load: Callable[[], LoadedModel]
    count_parameters: Callable[[], int | None] = lambda: None
    licence: Callable[[], str | None] = lambda: None


@dataclass(frozen=True, eq=False)
class ModelPool:
    """M candidates, in the order in which they are scored."""

    name: str
    candidates: tuple[Candidate, ...]

    def select(self, names: Sequence[str] | None) -> ModelPool:
        """Return the pool reduced to ``names``, in that order, or the pool itself for None.

        Raises:
            InputError: If a name is unknown or repeated, or the list is empty.
        """
        by_name = {candidate.name: candidate for candidate in self.candidates}
        return ModelPool(self.name, tuple(by_name[n] for n in select_names(names, by_name, self.name)))


def combine_pools(pools: Sequence[ModelPool], name: str, names: Sequence[str] | None = None) -> ModelPool:
    """Return one pool with the candidates ``names`` (None for all) of several pools; ``name`` appears in tables.

    Raises:
        InputError: If two models have the same name, or ``names`` has an unknown name.
    """
    candidates = tuple(candidate for pool in pools for candidate in pool.candidates)
    for model, count in Counter(candidate.name for candidate in candidates).items():
        if count > 1:
            raise InputError(f"{count} models of {name} are called '{model}': rename all but one")
    return ModelPool(name, candidates).select(names)


def select_names(names: Sequence[str] | None, available: Iterable[str], source: str) -> tuple[str, ...]:
    """Return ``names`` after checking each against ``available``, or all available names for None.

    One name may be given without a list.

    Raises:
        InputError: If a name is unknown (the message has near matches) or repeated, or the list is empty.
    """
    available = tuple(available)
    names = (names,) if isinstance(names, str) else names
    selected = available if names is None else tuple(names)
    if not selected:
        raise InputError(f"{source} has no models to rank: set model_pool.names=[...]")
    available_names, counts = set(available), Counter(selected)
    for name in selected:
        if name not in available_names:
            raise InputError(f"no model '{name}' in {source}: {suggestion(name, available)}")
        if counts[name] > 1:
            raise InputError(f"model '{name}' is listed twice in model_pool.names: remove one")
    return selected
