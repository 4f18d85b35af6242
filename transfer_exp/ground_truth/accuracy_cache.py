"""Cache of accuracies from training: a record per accuracy in the store, and a row of the store's ``accuracies.csv``.

A cached accuracy is read again if regime, model and images are unchanged. Killed training resumes from a checkpoint.
"""

from __future__ import annotations

import json
import logging
import platform
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from transfer_exp.errors import InputError, explain_model_failure
from transfer_exp.features.extraction import tuned_for
from transfer_exp.features.model_on_target import NetworkOnImages, Pairing
from transfer_exp.ground_truth.regime import Accuracy, HasGrid, PredictsSeconds, Regime, Validates
from transfer_exp.io.atomic import digest
from transfer_exp.io.code import outside_code
from transfer_exp.io.csv import read_table, write_table
from transfer_exp.io.text import read_text
from transfer_exp.progress import Track
from transfer_exp.store import Backend, Lock, Store
from transfer_exp.store.entries import READ_ERRORS, load_record
from transfer_exp.version import __version__

TABLE = "accuracies.csv"
COLUMNS = (
    *("pool", "model", "dataset", "regime", "protocol", "seed", "accuracy", "measure", "source"),
    *("chosen", "steps", "seconds", "device", "versions", "weights", "data", "key", "trainable_parameters"),
)
_EARLIER_COLUMNS = COLUMNS[:-1]
"""Columns of tables and records of version 0.1.0."""
_DAMAGED = f"{TABLE}.damaged"
_LIBRARIES = ("transfer-exp", "torch", "torchvision", "timm", "numpy", "scikit-learn")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class CachedAccuracies:
    """A regime whose accuracies are read from the store, or else computed and saved there.

    Attributes:
        regime: Computes the accuracy of one model.
        store: Holds accuracies, and the checkpoints of unfinished training.
        device: Device of the training, for the rows of the table.
        names: Values of the columns ``pool``, ``dataset``, ``regime``, ``protocol`` and ``seed``.
    """

    regime: Regime
    store: Store
    device: str
    names: Mapping[str, str]

    def __call__(self, pairing: Pairing, track: Track) -> Accuracy | None:
        """Return the accuracy of one model, or None if the regime has none.

        Raises:
            InputError, NotApplicableError: Under the conditions of the regime.
        """
        if not self.regime.trains or not isinstance(pairing, NetworkOnImages):
            return self.regime(pairing, track)
        self.store.backend.refuse_folder(TABLE)  # before the training
        identity, key = pairing.identity(), self._key(pairing)
        pairing.unfinished = self.store.unfinished_backend(key)

        def compute() -> dict[str, Any]:
            start = time.perf_counter()
            with _explain_failure(), tuned_for(pairing.model.backbone):
                accuracy = self.regime(pairing, track)
            assert accuracy is not None, "a regime that trains returns an accuracy"
            names = {**self.names, "model": pairing.name}
            row = accuracy_row(accuracy, names, identity, self.device, time.perf_counter() - start)
            return {"accuracy": asdict(accuracy), "row": row}

        record, pairing.cache_hits["accuracy"] = self.store.get_or_compute_record("accuracy", key, compute)
        append_row(self.store.backend, {**record["row"], "key": digest(key)})
        self.store.remove_unfinished(key)
        return Accuracy(**{**record["accuracy"], "seconds": record["row"].get("seconds")})

    def with_validation(self, pairing: Pairing, track: Track) -> Accuracy | None:
        """Return the accuracy of a call with ``validation`` in `Accuracy.chosen`, where the regime `Validates`."""
        accuracy, regime = self(pairing, track), self.regime
        if accuracy is None or "validation" in accuracy.chosen or not isinstance(regime, Validates):
            return accuracy
        assert isinstance(pairing, NetworkOnImages), "regimes that validate refuse arrays"
        key = self._key(pairing)

        def compute() -> dict[str, Any]:
            with _explain_failure(), tuned_for(pairing.model.backbone):
                return {"validation": regime.validate(pairing, track)}

        record, _ = self.store.get_or_compute_record("validation", key, compute)
        self.store.remove_unfinished(key)
        return replace(accuracy, chosen={**accuracy.chosen, **record})

    def predict_seconds(self, pairing: Pairing) -> float:
        """Predict the seconds of `with_validation`: 0 if the store has the accuracy, or if nothing is known."""
        if not isinstance(pairing, NetworkOnImages) or self.is_cached(pairing):
            return 0.0
        with _explain_failure(), tuned_for(pairing.model.backbone):
            return self.regime.predict_seconds(pairing) if isinstance(self.regime, PredictsSeconds) else 0.0

    def train_point(self, grid: HasGrid, pairing: NetworkOnImages, point: int, track: Track) -> None:
        """Call `HasGrid.train_point`, unless the accuracy is in the store or the grid has no such point."""
        key, label = self._key(pairing), "points of the grid"
        pairing.cache_hits[label] = True
        if point >= grid.n_points or self.is_cached(pairing):
            return
        pairing.unfinished = self.store.unfinished_backend(key)
        lock = Lock(pairing.unfinished, f"point{point}.lock", self.store.lock_timeout)
        with lock, _explain_failure(), tuned_for(pairing.model.backbone):
            pairing.cache_hits[label] = grid.train_point(pairing, point, track)
        if self.is_cached(pairing):  # another process finished the accuracy meanwhile
            self.store.remove_unfinished(key)

    def is_cached(self, pairing: NetworkOnImages) -> bool:
        """Return whether the store has the accuracy of a model."""
        return self.store.has("accuracy", self._key(pairing))

    def keys(self, pairings: Iterable[NetworkOnImages]) -> Iterator[dict[str, Any]]:
        """Yield the key of the accuracy of each model in the store."""
        regime, code = repr(self.regime), outside_code(self.regime)  # once, as this takes longer than the rest
        for pairing in pairings:
            yield {"version": __version__, "regime": regime, **pairing.identity(), **code}

    def _key(self, pairing: NetworkOnImages) -> dict[str, Any]:
        return next(self.keys([pairing]))


def _explain_failure() -> AbstractContextManager[None]:
    return explain_model_failure("it cannot be trained", "protocol.batch_size")


def accuracy_row(
    accuracy: Accuracy, names: Mapping[str, str], identity: Mapping[str, Any], device: str, seconds: float
) -> dict[str, Any]:
    """Return the row of an accuracy, with all columns except ``key``.

    Args:
        accuracy, device, seconds: Result, device and duration of the training.
        names: Values of the columns ``pool``, ``model``, ``dataset``, ``regime``, ``protocol`` and ``seed``.
        identity: Digests of the model and the data, see `NetworkOnImages.identity`.
    """
    splits = {name: identity[name] for name in ("train", "validation", "test")}
    return {
        **names,
        "accuracy": accuracy.value,
        "measure": accuracy.measure,
        "source": accuracy.source,
        "chosen": json.dumps(dict(accuracy.chosen), sort_keys=True),
        "steps": accuracy.steps,
        "seconds": round(seconds, 3),
        "device": device,
        "versions": ", ".join([f"python {platform.python_version()}", *(f"{n} {version(n)}" for n in _LIBRARIES)]),
        "weights": identity["model"]["weights"],
        "data": digest(splits),
        "trainable_parameters": accuracy.trainable_parameters,
    }


def append_row(backend: Backend, row: Mapping[str, Any]) -> None:
    """Append a row to the ``accuracies.csv`` of a store, unless the table has a row with the same ``key``.

    Processes may write the table at the same time, and one that was suspended may overwrite the rows of others. No row
    is lost: each accuracy is also a record in the store, and each process that writes the table reads it again and
    adds the records that it lacks.

    A damaged table is rebuilt from the records.

    Raises:
        InputError: When the existing file has other columns.
    """
    table = _read_rows(backend)
    if row["key"] in set(table["key"]):
        return
    rows: dict[str, Mapping[str, Any] | None] = {row["key"]: row}
    while True:
        for name in backend.list_files("accuracy"):
            key = PurePosixPath(name).stem
            if key not in rows and key not in set(table["key"]):
                rows[key] = _recorded_row(backend, name)
        missing = [r for key, r in rows.items() if r is not None and key not in set(table["key"])]
        if not missing:
            return
        added = pd.DataFrame([{n: "" if r.get(n) is None else str(r[n]) for n in COLUMNS} for r in missing])
        backend.write(TABLE, partial(write_table, table=pd.concat([table, added], ignore_index=True)))
        table = _read_rows(backend)


def _read_rows(backend: Backend) -> pd.DataFrame:
    """Return the table of a store, empty if there is none or it is damaged; a damaged one is copied."""
    table = pd.DataFrame(columns=list(COLUMNS), dtype=str)
    if not backend.exists(TABLE):
        return table
    with backend.local_file(TABLE) as path:
        try:
            read = read_table(path).reset_index(drop=True)  # text, so that rows do not change
        except InputError as error:
            if isinstance(error.__cause__, OSError):  # the file cannot be read, which says nothing about the table
                raise
            message = "%s/%s is damaged and will be rebuilt from the records; %s is a copy of it (%s)"
            _log.warning(message, backend, TABLE, _DAMAGED, error)
            backend.write(_DAMAGED, partial(shutil.copyfile, path))
            return table
    if len(read) == 0 and ",".join(COLUMNS).startswith(",".join(read.columns)):
        return table  # cut off within the names of the columns
    table = read
    if list(table.columns) == list(_EARLIER_COLUMNS):
        table[COLUMNS[-1]] = ""
    if list(table.columns) != list(COLUMNS):
        raise InputError(f"{backend}/{TABLE} is not a table of accuracies of this version: move it away")
    return table


def _recorded_row(backend: Backend, name: str) -> dict[str, Any] | None:
    """Return the row in the record of an accuracy; None if the file is not such a record, or is damaged."""
    with suppress(*READ_ERRORS), backend.local_file(name) as path:
        content = json.loads(read_text(path))
        row = {**load_record(path, content["key"])["row"], "key": PurePosixPath(name).stem}
        return row if set(row) in (set(COLUMNS), set(_EARLIER_COLUMNS)) else None
    return None
