"""Accuracies: from the store where they were measured before, else by training; each kept as a row of one table."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from transfer_exp import __version__
from transfer_exp.experiment.accuracy_rows import keep_row, row_of
from transfer_exp.features.pairing import NetworkOnImages, Pairing
from transfer_exp.ground_truth.regime import Accuracy, Regime
from transfer_exp.store import Store, digest
from transfer_exp.types import Track


@dataclass(frozen=True, eq=False)
class Measuring:
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
        pairing.unfinished = self.store.folder("unfinished", key)

        def measure() -> dict[str, Any]:
            start = time.perf_counter()
            accuracy = self.regime(pairing, track)
            assert accuracy is not None, "a regime that trains measures"
            names = {**self.names, "model": pairing.name}
            row = row_of(accuracy, names, identity, self.device, time.perf_counter() - start)
            return {"accuracy": asdict(accuracy), "row": row}

        record, pairing.found["accuracy"] = self.store.record("accuracy", key, measure)
        keep_row(self.store.root / "accuracies.csv", {**record["row"], "key": digest(key)})
        shutil.rmtree(pairing.unfinished, ignore_errors=True)
        return Accuracy(**record["accuracy"])

    def known(self, pairing: NetworkOnImages) -> bool:
        """Tell whether the store has the accuracy of a model."""
        return self.store.has("accuracy", self._key(pairing))

    def _key(self, pairing: NetworkOnImages) -> dict[str, Any]:
        return {"version": __version__, "regime": repr(self.regime), **pairing.identity()}
