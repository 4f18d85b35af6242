"""Accuracies: from the store where they were measured before, else by training; each kept as a row of one table."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from transfer_exp.errors import explain_out_of_memory
from transfer_exp.features.model_on_target import NetworkOnImages, Pairing
from transfer_exp.ground_truth.accuracy_log import keep_row, row_of
from transfer_exp.ground_truth.regime import Accuracy, HasGrid, Regime
from transfer_exp.io.atomic import digest
from transfer_exp.progress import Track
from transfer_exp.store import Store
from transfer_exp.version import __version__


@dataclass(frozen=True, eq=False)
class CachedAccuracies:
    """A regime with a memory.

    Attributes
    ----------
    regime
        Measures one model.
    store
        Remembers, and holds what is unfinished: a run that was killed goes on where it last wrote.
    device
        Where networks are trained, for the rows.
    names
        ``pool``, ``dataset``, ``regime``, ``protocol`` and ``seed`` as the rows call them.
    """

    regime: Regime
    store: Store
    device: str
    names: Mapping[str, str]

    def __call__(self, pairing: Pairing, track: Track) -> Accuracy | None:
        """Return the accuracy of one model, or None where there is no ground truth.

        Raises
        ------
        InputError, NotApplicableError
            As the regime.
        """
        if not self.regime.trains or not isinstance(pairing, NetworkOnImages):
            return self.regime(pairing, track)
        identity, key = pairing.identity(), self._key(pairing)
        pairing.unfinished = self.store.unfinished(key)

        def measure() -> dict[str, Any]:
            start = time.perf_counter()
            with explain_out_of_memory(pairing.name, "protocol.batch_size"):
                accuracy = self.regime(pairing, track)
            assert accuracy is not None, "a regime that trains measures"
            names = {**self.names, "model": pairing.name}
            row = row_of(accuracy, names, identity, self.device, time.perf_counter() - start)
            return {"accuracy": asdict(accuracy), "row": row}

        record, pairing.found["accuracy"] = self.store.record("accuracy", key, measure)
        keep_row(self.store.place, {**record["row"], "key": digest(key)})
        self.store.forget_unfinished(key)
        return Accuracy(**record["accuracy"])

    def reach(self, grid: HasGrid, pairing: NetworkOnImages, point: int, track: Track) -> None:
        """Train one point of the regime's grid, unless it or the accuracy is there, or the grid has no such point.

        Parameters
        ----------
        grid
            The regime, as one that has a grid.
        pairing, point, track
            As `HasGrid`.

        Raises
        ------
        InputError, NotApplicableError
            As the regime.
        """
        key, found = self._key(pairing), "points of the grid"
        pairing.found[found] = True
        if point >= grid.points or self.is_cached(pairing):
            return
        pairing.unfinished = self.store.unfinished(key)
        lease = pairing.unfinished.lease(f"point{point}.lease", self.store.patience)
        with lease, explain_out_of_memory(pairing.name, "protocol.batch_size"):
            pairing.found[found] = grid.reach(pairing, point, track)
        if self.is_cached(pairing):  # somebody finished meanwhile, and this was not needed any more
            self.store.forget_unfinished(key)

    def is_cached(self, pairing: NetworkOnImages) -> bool:
        """Tell whether the store has the accuracy of a model."""
        return self.store.has("accuracy", self._key(pairing))

    def _key(self, pairing: NetworkOnImages) -> dict[str, Any]:
        return {"version": __version__, "regime": repr(self.regime), **pairing.identity()}
