"""``transfer-exp plan``: estimate the jobs, time and storage of a sweep before it is run.

It counts the jobs of each stage (extracting features, fine-tuning, scoring) that the store does not have, and times
every network on a few images.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from PIL.Image import Image
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from torch import Tensor

from transfer_exp.cli.instantiate import build, with_settings
from transfer_exp.cli.job_labels import to_plain
from transfer_exp.cli.overrides import CommandLine
from transfer_exp.cli.stages import is_irrelevant, options_key
from transfer_exp.dataset.split_names import Split
from transfer_exp.dataset.target_dataset import TargetDataset
from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.features.extraction import Extractor, best_device
from transfer_exp.features.model_on_target import NetworkOnImages
from transfer_exp.features.pixels import PixelCache
from transfer_exp.ground_truth.accuracy_cache import CachedAccuracies
from transfer_exp.ground_truth.regime import CountsPasses, Regime
from transfer_exp.io.atomic import digest
from transfer_exp.model_pool.backbone import Backbone
from transfer_exp.model_pool.layers import HEAD_INPUT
from transfer_exp.model_pool.loaded_model import LoadedModel
from transfer_exp.model_pool.pool import Candidate, ModelPool
from transfer_exp.progress import phase, show_progress, silent
from transfer_exp.results.search import format_seconds
from transfer_exp.store import Store
from transfer_exp.terminal import Terminal

_TIMED_IMAGES = 8
"""Number of images on which each network is timed."""
_BYTES_PER_VALUE = 4


@dataclass
class StageWork:
    """Number and cost of the jobs of one stage.

    Attributes:
        jobs: Number of jobs.
        done: Jobs whose result is in the store; None for a stage that stores no results.
        passes: Forward passes of single images in the remaining jobs; a backward pass counts as two.
        seconds, longest: Estimated time of the remaining jobs in total, and of the longest of them.
        values: Numbers that the remaining jobs add to the store.
    """

    jobs: int = 0
    done: int | None = 0
    passes: int = 0
    seconds: float = 0.0
    longest: float = 0.0
    values: int = 0

    def add(self, done: bool, passes: int, seconds_per_pass: float, values: int = 0) -> None:
        """Add a job."""
        self.jobs += 1
        if done:
            self.done = (self.done or 0) + 1
            return
        self.passes += passes
        self.seconds += passes * seconds_per_pass
        self.longest = max(self.longest, passes * seconds_per_pass)
        self.values += values

    @property
    def storage(self) -> int:
        """Size of ``values`` in bytes."""
        return self.values * _BYTES_PER_VALUE


@dataclass(frozen=True)
class _TransformText:
    """Text of a transform in its place: the keys of the store need no more, and making the text takes time."""

    text: str

    def __call__(self, image: Image) -> Tensor:
        raise NotImplementedError("a plan prepares no images after it has timed a model")

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, eq=False)
class _Target:
    """Target dataset of a plan, with the config and the extractor of its jobs."""

    config: Mapping[str, Any]
    dataset: TargetDataset
    extractor: Extractor


class _MissingDataError(InputError):
    """Raised for a dataset that cannot be read."""


def plan(arguments: Sequence[str], datasets: Mapping[str, Any]) -> None:
    """Print the work that the arguments of ``transfer-exp run`` would take on this device, one job after another.

    Args:
        arguments: Arguments of ``transfer-exp run``.
        datasets: Datasets of `read_datasets`, which are not read again.

    Raises `InputError` for bad input. Missing data or weights are listed as left out, unless nothing else remains.
    """
    planner = Planner(CommandLine(arguments), datasets)
    with show_progress():
        work = planner.work()
    if planner.left_out and not planner.pace:
        reason, *further_reasons = planner.left_out.values()
        more = f" ({len(further_reasons)} more left out)" if further_reasons else ""
        raise InputError(f"there is nothing to plan{more}: {reason}")
    print_plan(work, planner, Terminal())


@dataclass
class Planner:
    """Counts the jobs of a command line, and times each network on a few images.

    Attributes:
        line: Command line to plan.
        datasets: Datasets that were read before, see `read_datasets`.
        pace: Measured seconds per image, by model.
        left_out: Reason why a model or a target is not counted, by name.
    """

    line: CommandLine
    datasets: Mapping[str, Any] = field(default_factory=dict)
    pace: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    _width: dict[str, int] = field(default_factory=dict)
    _models: dict[str, LoadedModel] = field(default_factory=dict)
    _pools: dict[str, ModelPool] = field(default_factory=dict)
    """Pool by its config as a text."""
    _cached: dict[tuple[Store, str], set[str]] = field(default_factory=dict)
    """Digests of the keys in a store, by kind."""
    _target_at: dict[tuple[str, ...], _Target | None] = field(default_factory=dict)
    """Target at each point of the axes; None for one that cannot be read."""

    def work(self) -> dict[str, StageWork]:
        """Return the work of each stage; errors as for `plan`."""
        phase("counting jobs")
        scoring = StageWork(jobs=sum(1 for _ in self.line.points(lambda axis: True)), done=None)
        return {"features": self._features(), "finetune": self._accuracies(), "score": scoring}

    def _features(self) -> StageWork:
        work = StageWork()
        for target in self._targets("features"):
            splits = [getattr(target.dataset, split) for split in target.config.get("splits", ["scoring_set"])]
            images_of_splits = [images for images in splits if images]
            cached = self._digests(target.extractor.store, "features")
            for pairing in self._pairings(target):
                width, pace = self._width[pairing.name], self.pace[pairing.name]
                for images in images_of_splits:
                    done = bool(cached) and digest(target.extractor.cache_key(pairing.model, images)) in cached
                    work.add(done, len(images), pace, len(images) * width)
        return work

    def _digests(self, store: Store, kind: str) -> set[str]:
        """Return the digests of the keys of a kind in a store, which is listed once."""
        if (store, kind) not in self._cached:
            self._cached[store, kind] = store.digests(kind)
        return self._cached[store, kind]

    def _accuracies(self) -> StageWork:
        work = StageWork()
        for target in self._targets("finetune"):
            regime: Regime = build("ground_truth", target.config["ground_truth"])
            if not regime.trains or not isinstance(regime, CountsPasses):
                continue
            splits: tuple[Split, ...] = ("train", "validation", "test")
            passes = regime.forward_passes({split: len(getattr(target.dataset, split) or ()) for split in splits})
            accuracies = CachedAccuracies(regime, target.extractor.store, target.extractor.device, {})
            cached, pairings = self._digests(target.extractor.store, "accuracy"), list(self._pairings(target))
            done = [digest(key) in cached for key in accuracies.keys(pairings)] if cached else [False] * len(pairings)
            for pairing, is_done in zip(pairings, done, strict=True):
                work.add(is_done, passes, self.pace[pairing.name])
        return work

    def _targets(self, stage: str) -> Iterator[_Target]:
        """Yield the target at every point of the axes of a stage; one that cannot be read is left out."""
        if "model_pool" in self.line.axis_keys.values():
            raise InputError("stage=plan takes one model_pool at a time: run the command once for each")
        for point in self.line.points(lambda axis: not is_irrelevant(axis, stage)):
            if point not in self._target_at:  # stages have most points in common
                try:
                    self._target_at[point] = self._read_target(point)
                except _MissingDataError as error:
                    self._target_at[point] = None
                    self.left_out[next((value for value in point if value.startswith("dataset=")), "all")] = str(error)
            if (target := self._target_at[point]) is not None:
                yield target

    def _read_target(self, point: Sequence[str]) -> _Target:
        composed = self.line.compose(point)
        composed.device = str(best_device(composed.device))  # as jobs do: regimes repeat the device
        config = to_plain(composed)
        # No pixels are cached: the job of a model may have a process to itself, which decodes all images.
        # A pass takes about as long for any layer.
        settings = {**config["features"], "layer": HEAD_INPUT, "pooling": None}
        settings |= {"track": silent, "pixel_cache": PixelCache(0)}
        extractor = Extractor(Store(config["store"]), config["device"], **settings)
        try:
            key = options_key(config["dataset"])
            dataset = self.datasets[key] if key in self.datasets else build("dataset", config["dataset"])
            dataset = with_settings(dataset, config)
        except InputError as error:
            raise _MissingDataError(str(error)) from error
        if not isinstance(dataset, TargetDataset):
            raise InputError("stage=plan is for networks on images: scoring arrays takes almost no time")
        return _Target(config, dataset, extractor)

    def _pairings(self, target: _Target) -> Iterator[NetworkOnImages]:
        """Yield every model that can be used, on a target."""
        chosen = json.dumps([target.config["model_pool"], target.config["models"]], default=str)
        if chosen not in self._pools:
            self._pools[chosen] = build("model_pool", target.config["model_pool"]).select(target.config["models"])
        for candidate in self._pools[chosen].candidates:
            if candidate.name not in self.left_out and self._time(candidate, target.dataset, target.extractor):
                pairing = NetworkOnImages(candidate, target.dataset, target.extractor)
                pairing.model = self._models[candidate.name]  # so that it is not loaded again
                yield pairing

    def _time(self, candidate: Candidate, dataset: TargetDataset, extractor: Extractor) -> bool:
        """Time a model once, including the decoding of images, and return whether it can be used."""
        name, images = candidate.name, dataset.scoring_set
        if name in self._models:
            return True
        images = images.subset(np.arange(min(_TIMED_IMAGES, len(images))))
        try:
            phase(f"timing {name}")
            model = NetworkOnImages(candidate, dataset, extractor).model
            for _ in range(2):  # libraries warm up the first time
                start = time.perf_counter()
                arrays = extractor.compute(name, model, images)
                self.pace[name] = (time.perf_counter() - start) / len(images)
        except (InputError, NotApplicableError) as error:
            self.left_out[name] = str(error)
            return False
        self._width[name] = sum(array.shape[1] for array in arrays.values())
        # Only its cache keys are needed from here on.
        keys_only = Backbone()
        keys_only.logits_key = model.backbone.logits_key
        self._models[name] = replace(model, backbone=keys_only, transform=_TransformText(repr(model.transform)))
        return True


def print_plan(stages: Mapping[str, StageWork], planner: Planner, console: Console) -> None:
    """Print the work of each stage, what is left out, and the measured time per image."""
    table = Table("stage", box=SIMPLE_HEAD)
    for heading in ("jobs", "in the store", "passes of an image", "in all", "longest job", "to store"):
        table.add_column(heading, justify="right")
    for stage, work in stages.items():
        table.add_row(stage, f"{work.jobs:,}", *([] if work.done is None else _cells(work, work.done)))
    console.print(table)
    for name, reason in planner.left_out.items():
        console.print(f"{name} is left out: {reason}", markup=False, soft_wrap=True, style="yellow")
    if planner.pace:
        low, high = 1000 * min(planner.pace.values()), 1000 * max(planner.pace.values())
        console.print(f"{len(planner.pace)} models timed here: {low:.1f} to {high:.1f} ms an image")


def _cells(work: StageWork, done: int) -> list[str]:
    storage = f"{work.storage / 1e6:,.1f} MB" if work.storage else ""
    return [f"{done:,}", f"{work.passes:,}", format_seconds(work.seconds), format_seconds(work.longest), storage]
