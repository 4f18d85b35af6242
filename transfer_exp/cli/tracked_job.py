"""Descriptions of jobs and sweeps for trackers (services that log runs, such as W&B), and the run of a whole sweep."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from transfer_exp.cli.job_labels import AXES, to_plain
from transfer_exp.cli.settings import GROUPS
from transfer_exp.errors import redact_urls
from transfer_exp.results.folder import cell_folders
from transfer_exp.tracker.environment import describe_environment
from transfer_exp.tracker.tracker import (
    REPORT,
    SECONDS,
    ActiveRun,
    NoTracker,
    SeveralRuns,
    TrackedResults,
    TrackedRun,
    Tracker,
    further_labels,
)

if TYPE_CHECKING:
    from transfer_exp.dataset.arrays import FeatureArrays
    from transfer_exp.dataset.target_dataset import TargetDataset

_INTERVAL = 10.0
"""Seconds between two counts of the jobs of a sweep."""
_NAMED = ("dataset", "metric", "perturbation")
"""Labels that the name of every scoring run has."""
_NAMED_IF_VARIED = ("models", "model_pool", "ground_truth", "seed")
"""Labels that a name has if the sweep varies them, or the command of a single run sets them."""
_NOT_IN_NAME = ("stage", "device", "store", "tracker", "jobs", "inspect", "rows", "protocol", "halving", "hydra")
"""Settings that change no result, or that a label shows already."""


def describe_job(
    config: DictConfig,
    settings: Mapping[str, Any],
    labels: Mapping[str, str],
    sweep: str | None,
    tracker: Tracker,
    dataset: TargetDataset | FeatureArrays,
    trains: bool,
) -> TrackedRun:
    """Return the description of a job for its tracker.

    Without a tracker it has neither the digest of the data, which needs every file, nor the environment.

    Args:
        config: Configuration of the job.
        settings: The same as dictionaries and lists.
        labels: Labels of the job in tables, by column.
        sweep: Name of the sweep that the job belongs to, or None.
        tracker: Its tracker.
        dataset: Its images or arrays.
        trains: Whether it trains, and so reads the training images.
    """
    stage = "rank" if "halving" in config else str(config.stage)
    name = _display_name(stage, labels, single_run=sweep is None)
    is_tracked = not isinstance(tracker, NoTracker)
    digest = dataset.content_digest(trains) if is_tracked else ""
    environment = describe_environment() if is_tracked else {}
    return TrackedRun(stage, labels, settings, sweep, digest, name, _options(), environment)


def describe_sweep(config: DictConfig, axes: set[str], folder: Path) -> TrackedRun:
    """Return the description of a sweep as one run: the settings that its jobs share.

    Args:
        config: Configuration of the sweep.
        axes: Settings that it varies.
        folder: Folder of the sweep.
    """
    varied = {axis.partition(".")[0] for axis in axes}
    # Hydra's own settings are left out: some resolve only within a job. Varied settings are removed only after
    # resolving, because others may refer to them.
    all_settings = to_plain(OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]))
    shared = {key: value for key, value in all_settings.items() if key not in varied}
    options = {group: option for group, option in _options().items() if group not in varied}
    fields = ("model_pool", "dataset", "perturbation", "metric", "ground_truth")
    labels = {field: options[field] for field in fields if field in options}
    labels |= {} if "seed" in varied else {"seed": str(config.seed)}
    return TrackedRun(REPORT, labels, shared, folder.name, "", folder.name, options, describe_environment())


class SweepRun:
    """Run of a tracker for a sweep as a whole; a thread records how many of its jobs have results.

    The jobs may be in other processes and on other machines, so the thread counts their files of results.

    Args:
        active: The run.
        folder: Folder of the sweep.
        depth: Levels of folders from it down to those of its jobs, at least 1.
        jobs: Number of its jobs.
    """

    def __init__(self, active: ActiveRun, folder: Path, depth: int, jobs: int) -> None:
        self._active = SeveralRuns([active])  # keeps an error of the tracker from stopping the sweep
        self._folder, self._depth, self._jobs = folder, depth, jobs
        self._start, self._is_closed, self._done = time.monotonic(), threading.Event(), -1
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def finish(self, results: TrackedResults) -> str | None:
        """Record the results and end the run, see `ActiveRun.finish`."""
        self._stop()
        self._log()
        return self._active.finish(results)

    def fail(self) -> None:
        """End the run as failed, if it has not ended."""
        if not self._is_closed.is_set():
            self._stop()
            self._active.fail("the sweep stopped before its last job")

    def _stop(self) -> None:
        self._is_closed.set()
        self._thread.join()

    def _watch(self) -> None:
        self._log()
        while not self._is_closed.wait(_INTERVAL):
            self._log()

    def _log(self) -> None:
        """Record the number of jobs with results if it has changed."""
        done = len(cell_folders(self._folder, self._depth))
        if done == self._done:
            return
        self._done = done
        values = {"progress/jobs_done": done, "progress/jobs": self._jobs}
        self._active.log(SECONDS, round(time.monotonic() - self._start, 1), values)


def _options() -> dict[str, str]:
    """Return the chosen option of each config group."""
    choices = HydraConfig.get().runtime.choices
    return {group: str(choices[group]) for group in GROUPS if choices.get(group) is not None}


def _display_name(stage: str, labels: Mapping[str, str], single_run: bool) -> str:
    """Return the name of a run: its stage unless it scores, its main labels, and what tells it from similar runs.

    Similar runs differ in what the sweep varies, or in what the command of a single run sets.
    """
    hydra_config: Any = HydraConfig.get()
    overrides = OverridesParser.create().parse_overrides(list(hydra_config.overrides.task)) if single_run else []
    axes = [o.key_or_group for o in overrides] if single_run else list(OmegaConf.select(hydra_config, AXES) or ())
    varied = {axis.partition(".")[0] for axis in axes} | ({"ground_truth"} if "protocol" in axes else set())
    fields = _NAMED if stage in ("score", "rank") else ("dataset", "models", "ground_truth", "point")
    fields = (*fields, *(field for field in _NAMED_IF_VARIED if field in varied and field not in fields))
    parts = [f"seed={labels[field]}" if field == "seed" else labels[field] for field in fields if field in labels]
    parts += [label for label in further_labels(labels) if label.partition("=")[0] not in fields]
    for override in overrides:
        if _is_named(override.key_or_group, labels):
            parts.append(redact_urls(f"{override.key_or_group}={override.get_value_element_as_str()}"))
    return " ".join(parts if stage == "score" else [stage, *parts])


def _is_named(key: str, labels: Mapping[str, str]) -> bool:
    """Return whether the name of a single run shows a setting, as no label does.

    Options of the dataset and the pool are shown, except their paths; other settings unless a label shows them or they
    change no result, as those of ``features`` besides ``layer`` and ``pooling``.
    """
    group, _, option = key.partition(".")
    if group in ("dataset", "model_pool") and option:
        return not key.endswith((".root", ".path"))
    if group == "features":
        return option in ("layer", "pooling")
    return group not in (*labels, *_NOT_IN_NAME)
