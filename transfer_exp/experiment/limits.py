"""Limits on what a model may cost: models beyond them are left out before any image passes through a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transfer_exp.errors import InputError, NotApplicableError, format_apart
from transfer_exp.features.cost import ModelCost
from transfer_exp.features.extraction import Extractor
from transfer_exp.model_pool.pool import Candidate, ModelPool
from transfer_exp.results.search import format_count


@dataclass(frozen=True)
class Limits:
    """Limits on the models of a search; None is no limit.

    Attributes:
        parameters: Most parameters.
        images_per_second: Fewest images per second, as measured on this device by earlier searches.
        memory: Most bytes of the weights and of the activations of a batch.
        licence: Licences of weights that may be used, in any capitals.
    """

    parameters: int | float | None = None
    images_per_second: int | float | None = None
    memory: int | float | None = None
    licence: tuple[str, ...] | None = None

    def apply(self, pool: ModelPool, extractor: Extractor) -> tuple[ModelPool, tuple[str, ...]]:
        """Return the models within the limits, and remarks on the others.

        A model that cannot be loaded, or whose speed was never measured, stays in the pool.

        Raises:
            InputError: If no model is within the limits.
        """
        if self == Limits():
            return pool, ()
        reasons, unmeasured = dict[str, str](), list[str]()
        for candidate in pool.candidates:
            reason = self._check_facts(candidate) or self._check_cost(candidate, extractor, unmeasured)
            if reason:
                reasons[candidate.name] = reason
        left_out = [f"{name} ({reason})" for name, reason in reasons.items()]
        if len(reasons) == len(pool.candidates):
            raise InputError(f"no model of {pool.name} is within the limits, such as {left_out[0]}: change them")
        remarks: tuple[str, ...] = (f"left out by the limits: {_join(left_out)}",) if left_out else ()
        if unmeasured:
            remarks += (f"not left out, because their speed was not measured before: {_join(unmeasured)}",)
        return ModelPool(pool.name, tuple(c for c in pool.candidates if c.name not in reasons)), remarks

    def _check_facts(self, candidate: Candidate) -> str:
        """Return why a model is beyond a limit that needs no network; empty if it is within."""
        if self.licence is not None:
            licence = candidate.licence()
            if licence is None or licence.lower() not in [name.lower() for name in self.licence]:
                return f"licence {licence or 'unknown'}"
        count = None if self.parameters is None else candidate.count_parameters()
        if count is not None and self.parameters is not None and count > self.parameters:
            return f"{format_apart(count, self.parameters, format_count)[0].rstrip()} parameters"
        return ""

    def _check_cost(self, candidate: Candidate, extractor: Extractor, unmeasured: list[str]) -> str:
        """Return why a model is beyond a limit of its network; empty if it is within, or if the cost is unknown."""
        if self.memory is None and self.images_per_second is None:
            return ""
        try:
            cost: ModelCost | None = extractor.cost(candidate.name, candidate.load())
        except (InputError, NotApplicableError):
            return ""  # The search names the reason.
        if cost is None:
            return ""
        memory = cost.peak_memory(extractor.batch_size)
        if self.memory is not None and memory > self.memory:
            return f"{format_apart(memory, self.memory, format_count)[0]}B of memory"
        if self.images_per_second is not None and cost.images_per_second is None:
            unmeasured.append(candidate.name)
        elif self.images_per_second is not None and (cost.images_per_second or 0.0) < self.images_per_second:
            speeds = cost.images_per_second or 0.0, self.images_per_second
            return f"{format_apart(*speeds, lambda speed, digits: f'{speed:.{digits}f}')[0]} images per second"
        return ""


def _join(names: Sequence[str]) -> str:
    """Return names with commas; of more than ten, the first five and the number of the others."""
    return ", ".join(names) if len(names) <= 10 else f"{', '.join(names[:5])} and {len(names) - 5} more"
