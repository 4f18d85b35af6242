"""What a page shows and no record holds, kept as ``page.json``: what was typed, versions, seconds, and a few views."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from transfer_exp.errors import InputError
from transfer_exp.io.atomic import write_text
from transfer_exp.io.text import read_text
from transfer_exp.report.html.class_separation import STRICT
from transfer_exp.report.html.projection import LARGEST, Samples, View, check_size, samples_of, view_of
from transfer_exp.results.cell import CellResult
from transfer_exp.statistics.feature_set import FeatureSet
from transfer_exp.version import __version__

if TYPE_CHECKING:
    from transfer_exp.features.extraction import FeatureReader  # with torch, which pages of what is stored do without

NAME = "page.json"
_LARGEST = 1 << 24
_LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "torchvision", "timm", "hydra-core")


@dataclass(frozen=True)
class Notes:
    """Of a run, or of a sweep as a whole, which has a command and versions alone.

    Attributes
    ----------
    command
        What was typed, without secrets.
    versions
        Of this package, Python and the libraries that compute, by name.
    seconds
        By model, then by stage: ``features``, ``scoring``, ``ground_truth``; what was read from the store is missing.
    samples
        Of the scoring set, None where there is no view.
    views
        By model, for a few of the pool.
    left_out
        Why there is no view; empty where there is one.
    remarks
        What is worth saying of a model beside its score, by model.
    verdict
        What is worth saying of all, line by line.
    """

    __pydantic_config__: ClassVar = STRICT

    command: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    samples: Samples | None = None
    views: dict[str, View] = field(default_factory=dict)
    left_out: str = ""
    remarks: dict[str, str] = field(default_factory=dict)
    verdict: tuple[str, ...] = ()


def versions() -> dict[str, str]:
    """Return versions of what computes, by name."""
    known = {"transfer_exp": __version__, "python": platform.python_version()}
    return known | {name: version(name) for name in _LIBRARIES}


def notes_of(
    result: CellResult,
    command: str,
    seconds: Mapping[str, Mapping[str, float]],
    class_names: tuple[str, ...],
    scoring_sets: Mapping[str, FeatureReader],
    perturb: Callable[[FeatureSet], np.ndarray | None],
    most: int,
) -> Notes:
    """Return the notes of a run.

    Parameters
    ----------
    result
        Of the run: says which models are worth a view.
    command, seconds
        As `Notes` keeps them.
    class_names
        Of the target, in the order of the labels.
    scoring_sets
        Give the scoring set of each model by its name; a page computes no features.
    perturb
        Gives the features as the metric saw them, (N, D'); None where nothing perturbs them.
    most
        Models to show at most.
    """
    times = {model: {stage: round(time, 3) for stage, time in known.items()} for model, known in seconds.items()}
    samples, views, left_out = None, {}, "the scores of this run need no features"
    try:
        for model in _worth_a_view(result)[:most]:
            scoring_set = scoring_sets[model](LARGEST)
            if scoring_set is not None:
                check_size(scoring_set.features, scoring_set.labels)
                samples = samples or samples_of(scoring_set.labels, class_names)
                views[model], left_out = view_of(scoring_set.features, scoring_set.labels, perturb(scoring_set)), ""
    except InputError as reason:
        samples, views, left_out = None, {}, f"left out, for {reason}"
    return Notes(command, versions(), times, samples, views, left_out)


def write_notes(notes: Notes, folder: Path) -> None:
    """Write notes into the folder of a run or a sweep."""
    text = json.dumps(asdict(notes), allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    write_text(folder / NAME, text + "\n")


def read_notes(folder: Path) -> Notes:
    """Return the notes kept in a folder; empty ones where there are none, as in folders of earlier versions.

    Raises
    ------
    InputError
        When they cannot be read.
    """
    path = folder / NAME
    if not path.is_file():
        return Notes(left_out="nothing of the features was kept with this run")
    from pydantic import TypeAdapter, ValidationError  # runs write notes, and never read any

    text = read_text(path, _LARGEST)
    try:
        found = TypeAdapter(Notes).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise InputError(f"{path} is no notes of a page ({where}: {first['msg']}): delete it") from error
    _check(found, path)
    return found


def _check(notes: Notes, path: Path) -> None:
    """Refuse views whose parts do not fit each other, which a page would draw wrongly."""
    sides = [side for view in notes.views.values() for side in (view.before, view.after) if side is not None]
    if not sides:
        return
    samples = notes.samples or Samples((), (), ())
    classes = len(samples.names)
    known = [side.separation for side in sides]
    lengths = {len(samples.counts), *(len(column) for s in known for column in (s.recall, s.within, s.closest, s.gap))}
    indices = [*samples.labels, *(c for s in known for c in s.closest)]
    fits = lengths == {classes} and all(0 <= i < classes for i in indices)
    if not fits or any(len(side.points) != 2 * len(samples.labels) for side in sides):
        raise InputError(f"{path} holds views that do not fit its classes and points: delete it")


def _worth_a_view(result: CellResult) -> list[str]:
    """Return scored models: the first by score, the best by accuracy, the last by score, then the next by score."""
    scored = [line.result for line in result.ranking() if line.result.score is not None]
    known = [model for model in scored if model.accuracy is not None]
    best = sorted(known, key=lambda model: -(model.accuracy or 0.0))[:1]
    return list(dict.fromkeys(model.model for model in [*scored[:1], *best, *scored[-1:], *scored]))
