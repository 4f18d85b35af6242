"""MLflow: one run per job or per sweep, with parameters, metrics, tags and files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transfer_exp.errors import InputError, escape_all, first_line, one_line
from transfer_exp.tracker.tracker import (
    TrackedResults,
    TrackedRun,
    check_per,
    flat_settings,
    is_recorded,
    need_package,
    run_id,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

_LONGEST_VALUE, _LONGEST_KEY = 500, 250
"""Limits of MLflow for parameters, tags and names."""
_ID = "transfer_exp.run_id"
"""Tag with this package's id of the run; a later start finds and continues it by this tag."""


@dataclass(frozen=True)
class MlflowTracker:
    """Record runs with MLflow, in a local folder or on a server.

    Attributes:
        uri: Folder, or address of a server. None is ``MLFLOW_TRACKING_URI``, or else the folder ``outputs/mlruns``.
        experiment: Name of the experiment. None is ``MLFLOW_EXPERIMENT_NAME``, or else ``transfer_exp``.
        per: ``cell`` records every job, ``sweep`` one run per sweep, see `WandbTracker`.

    Raises:
        InputError: If ``per`` has another value, or the package mlflow is not installed.
    """

    uri: str | None = None
    experiment: str | None = None
    per: str = "cell"

    def __post_init__(self) -> None:
        check_per(self.per)
        need_package("mlflow", "mlflow")

    @property
    def address(self) -> str:
        """Tracking URI of MLflow."""
        uri = self.uri or os.environ.get("MLFLOW_TRACKING_URI", "").strip() or "outputs/mlruns"
        return uri if "://" in uri or uri == "databricks" else Path(uri).expanduser().absolute().as_uri()

    def start(self, run: TrackedRun, folder: Path) -> MlflowRun | None:
        """Start a run, or continue one with the same id; None if ``per`` excludes it.

        Raises:
            InputError: If the store cannot be reached.
        """
        if not is_recorded(run, self.per):
            return None
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when the library is imported
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # the only store of the small package mlflow-skinny
        with _explain_errors():
            from mlflow import MlflowClient  # Imported late, because the import is slow.

            client = MlflowClient(tracking_uri=self.address)
            name = self.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME", "").strip() or "transfer_exp"
            experiment = _experiment_id(client, name)
            earlier = client.search_runs([experiment], f"tags.`{_ID}` = '{run_id(run)}'", max_results=1)
            tags = {_ID: run_id(run), "stage": run.stage, "group": run.group or ""} | _texts(run.environment)
            if earlier:
                identifier = earlier[0].info.run_id
                client.update_run(identifier, status="RUNNING")
            else:
                identifier = client.create_run(experiment, run_name=escape_all(run.name) or None).info.run_id
            for key, value in tags.items():
                client.set_tag(identifier, key, value)
            settings = {key: value for key, value in run.settings.items() if key not in (*run.environment, "tracker")}
            recorded = earlier[0].data.params if earlier else {}  # a parameter cannot be recorded again
            for key, value in _texts(settings).items():
                if key not in recorded:
                    client.log_param(identifier, key, value)
        return MlflowRun(client, identifier, f"{self.address} run {identifier}")


class MlflowRun:
    """A run in progress, see `ActiveRun`.

    Args:
        client: Client of MLflow.
        identifier: Id of the run in MLflow.
        address: Tracking URI and run, for messages.
    """

    def __init__(self, client: MlflowClient, identifier: str, address: str) -> None:
        self._client, self._identifier, self._address = client, identifier, address

    def log(self, axis: str, position: float | int, values: Mapping[str, float | int | str]) -> None:
        """Record numbers as metrics and texts as tags, see `ActiveRun.log`.

        The step of a metric is the whole part of the position; MLflow has no named axes.
        """
        for name, value in values.items():
            if isinstance(value, str):
                self._client.set_tag(self._identifier, _key(name), escape_all(value)[:_LONGEST_VALUE])
            else:
                self._client.log_metric(self._identifier, _key(name), float(value), step=int(position))

    def finish(self, results: TrackedResults) -> str | None:
        """Record the results; return tracking URI and id of the run. Raises `InputError` if MLflow refuses them."""
        client, identifier, status = self._client, self._identifier, "FAILED"
        with _explain_errors():
            try:
                for name, value in results.summary.items():
                    client.log_metric(identifier, _key(name), float(value))
                for name, rows in results.tables.items():
                    client.log_dict(identifier, {"rows": escape_all([dict(row) for row in rows])}, f"{_key(name)}.json")
                for path in results.images.values():
                    client.log_artifact(identifier, str(path), "images")
                for artifact in results.output_artifacts:
                    for path in artifact.files:
                        client.log_artifact(identifier, str(path), artifact.type)
                references = {a.name: dict(a.addresses) for a in results.input_artifacts if a.addresses}
                if references:
                    client.log_dict(identifier, escape_all(references), "features.json")
                status = "FINISHED"
            finally:
                client.set_terminated(identifier, status)
        return self._address

    def fail(self, reason: str) -> None:
        """End the run as failed, with the reason as the tag ``error``."""
        self._client.set_tag(self._identifier, "error", escape_all(reason)[:_LONGEST_VALUE])
        self._client.set_terminated(self._identifier, "FAILED")


def _experiment_id(client: MlflowClient, name: str) -> str:
    """Return the id of an experiment; create it if there is none, even if another process does so at the same time."""
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    return str(experiment.experiment_id)


@contextmanager
def _explain_errors() -> Iterator[None]:
    """Raise errors of MLflow as one line with a fix."""
    try:
        yield
    except Exception as error:
        if isinstance(error, InputError):
            raise
        reason = one_line(first_line(error))
        raise InputError(f"tracker=mlflow: {reason} (check tracker.uri, or MLFLOW_TRACKING_URI)") from error


def _texts(settings: Mapping[str, object]) -> dict[str, str]:
    """Return nested settings as texts by dotted key, cut to the lengths that MLflow takes."""
    flat = flat_settings(escape_all(settings))
    return {_key(key): str(value)[:_LONGEST_VALUE] for key, value in flat.items()}


def _key(name: str) -> str:
    """Return a name that MLflow takes: of letters, digits and ``_-. /``, and a relative path."""
    parts = [re.sub(r"[^\w. -]", "_", part, flags=re.A).strip(". ") or "_" for part in name.split("/")]
    return "/".join(parts)[:_LONGEST_KEY]
