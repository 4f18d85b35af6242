"""What a sweep will take before any of it is done: jobs, images, hours and storage, by stage."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from transfer_exp.cli.instantiate import build
from transfer_exp.cli.overrides import CommandLine
from transfer_exp.cli.stages import is_foreign
from transfer_exp.dataset.target_dataset import TargetDataset
from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.features.extraction import Extractor, best_device
from transfer_exp.features.model_on_target import NetworkOnImages, Split
from transfer_exp.features.pixels import PixelCache
from transfer_exp.ground_truth.accuracy_cache import CachedAccuracies
from transfer_exp.ground_truth.regime import CountsPasses, Regime
from transfer_exp.model_pool.backbone import Backbone
from transfer_exp.model_pool.pool import Candidate, LoadedModel
from transfer_exp.progress import silent
from transfer_exp.results.stage_work import Work
from transfer_exp.store import Store

_TRIED = 8
"""Images that each network is timed on."""


@dataclass
class Planner:
    """Counts the jobs of a command line, and times each network on a few images.

    Attributes
    ----------
    line
        What was asked for.
    pace
        Seconds an image takes, by model, as measured.
    left_out
        Why a model or a target is not counted.
    """

    line: CommandLine
    pace: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    _width: dict[str, int] = field(default_factory=dict)
    _known: dict[str, LoadedModel] = field(default_factory=dict)

    def work(self) -> dict[str, Work]:
        """Return the work of each stage.

        Raises
        ------
        InputError
            For bad input of any kind but data or weights that are missing, which are left out.
        """
        scoring = Work(jobs=sum(1 for _ in self.line.points(lambda axis: True)), done=None)
        return {"features": self._features(), "finetune": self._accuracies(), "score": scoring}

    def _features(self) -> Work:
        work = Work()
        for config, pairing, extractor in self._pairings("features"):
            splits: list[Split] = config.get("splits", ["scoring_set"])
            for images in filter(None, map(pairing.images, splits)):
                done = extractor.is_cached(pairing.model, images)
                work.add(done, len(images), self.pace[pairing.name], len(images) * self._width[pairing.name])
        return work

    def _accuracies(self) -> Work:
        work = Work()
        for config, pairing, extractor in self._pairings("finetune"):
            regime: Regime = build("ground_truth", config["ground_truth"])
            if not regime.trains or not isinstance(regime, CountsPasses):
                continue
            splits: tuple[Split, ...] = ("train", "validation", "test")
            sizes = {split: len(pairing.images(split) or ()) for split in splits}
            done = CachedAccuracies(regime, extractor.store, extractor.device, {}).is_cached(pairing)
            work.add(done, regime.forward_passes(sizes), self.pace[pairing.name])
        return work

    def _pairings(self, stage: str) -> Iterator[tuple[Mapping[str, Any], NetworkOnImages, Extractor]]:
        """Yield every model on every target of a stage, at every point of its axes."""
        if "model_pool" in self.line.axes.values():
            raise InputError("stage=plan takes one model_pool at a time: give them one after the other")
        for point in self.line.points(lambda axis: not is_foreign(axis, stage)):
            composed = self.line.composed(point)
            composed.device = str(best_device(composed.device))  # as jobs do: regimes repeat it
            config: dict[str, Any] = OmegaConf.to_container(composed, resolve=True)  # type: ignore[assignment]
            store = Store(config["store"])
            # Without cached pixels: the job of a model may run in its own process and decode all images.
            extractor = Extractor(
                store, config["device"], **config["features"], track=silent, pixel_cache=PixelCache(0)
            )
            try:
                dataset = build("dataset", config["dataset"])
            except InputError as error:
                self.left_out[next((value for value in point if value.startswith("dataset=")), "all")] = str(error)
                continue
            if not isinstance(dataset, TargetDataset):
                raise InputError("stage=plan is for networks on images: arrays take no time to speak of")
            for candidate in build("model_pool", config["model_pool"]).select(config["models"]).candidates:
                if candidate.name not in self.left_out and self._timed(candidate, dataset, extractor):
                    known = Candidate(candidate.name, partial(self._known.__getitem__, candidate.name))
                    yield config, NetworkOnImages(known, dataset, extractor), extractor

    def _timed(self, candidate: Candidate, dataset: TargetDataset, extractor: Extractor) -> bool:
        """See to it that a model was timed, reading and preparing images included; say whether it can be used."""
        name, few = candidate.name, dataset.scoring_set.subset(np.arange(min(_TRIED, len(dataset.scoring_set))))
        if name in self._known:
            return True
        try:
            model = candidate.load()
            for _ in range(2):  # the first time, libraries warm up
                start = time.perf_counter()
                arrays = extractor.compute(name, model, few)
                self.pace[name] = (time.perf_counter() - start) / len(few)
        except (InputError, NotApplicableError) as error:
            self.left_out[name] = str(error)
            return False
        self._width[name] = sum(array.shape[1] for array in arrays.values())
        self._known[name] = replace(model, backbone=Backbone())  # its keys are all that is wanted from here on
        return True
