"""Details of a run that only its page needs, saved as ``page.json``: command, versions, seconds and projections.

A projection shows the features of one model on the scoring set (the images that scores are computed on) as points.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from transfer_exp.errors import InputError, escape_all
from transfer_exp.io.atomic import write_text
from transfer_exp.io.text import read_text
from transfer_exp.report.html.projection import (
    MAX_VALUES,
    PlottedSamples,
    ProjectionPair,
    check_size,
    plotted_samples,
    project_features,
)
from transfer_exp.results.cell import CellResult
from transfer_exp.version import __version__

if TYPE_CHECKING:
    from transfer_exp.report.write_run import RunContext

NAME = "page.json"
_MAX_BYTES = 1 << 24
_MAX_MODELS, _MAX_MODELS_IN_SWEEP = 5, 3
"""Most models with a projection on a page; the page of a sweep shows all its cells."""
_SURROGATE = re.compile(r"\\ud[89a-f]", re.I)
_LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "torchvision", "timm", "hydra-core")


@dataclass(frozen=True)
class RunDetails:
    """Details of a run; those of a sweep have only a command and versions.

    Attributes:
        command: Command line, without secrets.
        versions: Versions of this package, Python and the numerical libraries, by name.
        seconds: Seconds by model, then by stage (``features``, ``scoring``, ``ground_truth``). Cached stages are
            missing.
        samples: Classes of the scoring set; None without projections.
        views: Projections of a few models, by name.
        left_out: Reason for having no projections; empty if there are some.
        remarks: Remark on a model next to its score, by model; only in files of searches of version 0.1.0.
        verdict: Remarks on the ranking, line by line; only in files of searches of version 0.1.0.
        findings: Possible faults of the images, line by line.
    """

    # Also applies to the dataclasses inside when pydantic reads a file.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"strict": True, "extra": "forbid", "allow_inf_nan": False}

    command: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    samples: PlottedSamples | None = None
    views: dict[str, ProjectionPair] = field(default_factory=dict)
    left_out: str = ""
    remarks: dict[str, str] = field(default_factory=dict)
    verdict: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()


@cache
def library_versions() -> dict[str, str]:
    """Return the versions of this package, Python and the numerical libraries, by name; they are read once."""
    versions = {"transfer_exp": __version__, "python": platform.python_version()}
    return versions | {name: version(name) for name in _LIBRARIES}


def collect_run_details(result: CellResult, context: RunContext, recommended: Sequence[str] = ()) -> RunDetails:
    """Return the details of a run, with projections of the recommended models and of the first `_models_to_draw`."""
    seconds = {
        model: {stage: round(time, 3) for stage, time in stages.items()} for model, stages in context.seconds.items()
    }
    samples, views, left_out = None, {}, "the scores of this run need no features"
    try:
        max_models = _MAX_MODELS if context.sweep is None else _MAX_MODELS_IN_SWEEP
        for model in list(dict.fromkeys([*recommended, *_models_to_draw(result)]))[:max_models]:
            scoring_set = context.scoring_sets[model](MAX_VALUES)
            if scoring_set is not None:
                features, labels = scoring_set.features, scoring_set.labels
                check_size(features, labels)
                samples = samples or plotted_samples(labels, context.class_names)
                views[model], left_out = project_features(features, labels, context.perturb(scoring_set)), ""
    except InputError as reason:
        samples, views, left_out = None, {}, f"left out because {reason}"
    findings = tuple(context.findings)
    return RunDetails(context.command, library_versions(), seconds, samples, views, left_out, findings=findings)


def write_run_details(details: RunDetails, folder: Path) -> None:
    """Write ``page.json`` into the folder of a run or a sweep."""
    text = json.dumps(escape_all(asdict(details)), allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    write_text(folder / NAME, text + "\n")


def read_run_details(folder: Path) -> RunDetails:
    """Read ``page.json`` from a folder; without the file the details are empty.

    Raises `InputError` if the file cannot be read, or its parts do not fit each other.
    """
    path = folder / NAME
    if not path.is_file():
        return RunDetails(left_out="this run kept no features to draw")
    from pydantic import TypeAdapter, ValidationError  # slow to import, and runs only write the file

    text = read_text(path, _MAX_BYTES)
    if _SURROGATE.search(text):  # 0.1.0 wrote the bytes of a path that are not characters in this form
        with suppress(ValueError, RecursionError):
            text = json.dumps(escape_all(json.loads(text)))
    try:
        details = TypeAdapter(RunDetails).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        location = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise InputError(f"{path} has no valid details of a page ({location}: {first['msg']}): delete it") from error
    _check_projections(details, path)
    return details


def _check_projections(details: RunDetails, path: Path) -> None:
    """Refuse projections that do not fit the classes and points, because a page would draw them wrongly."""
    projections = [p for pair in details.views.values() for p in (pair.before, pair.after) if p is not None]
    if not projections:
        return
    samples = details.samples or PlottedSamples((), (), ())
    classes = len(samples.names)
    separations = [projection.separation for projection in projections]
    columns = [column for s in separations for column in (s.recall, s.within, s.closest, s.gap)]
    indices = [*samples.labels, *(c for s in separations for c in s.closest)]
    indices += [c for s in separations for pair in s.confused for c in pair[:2]]
    fits = {len(samples.counts), *map(len, columns)} == {classes} and all(0 <= i < classes for i in indices)
    if not fits or any(len(projection.points) != 2 * len(samples.labels) for projection in projections):
        raise InputError(f"{path} has projections that do not fit its classes and points: delete it")


def _models_to_draw(result: CellResult) -> list[str]:
    """Return the scored models, interesting ones first: best score, best accuracy, worst score, the rest by score."""
    scored = [line.result for line in result.ranking() if line.result.score is not None]
    best = [model for model in [result.most_accurate] if model is not None]
    return list(dict.fromkeys(model.model for model in [*scored[:1], *best, *scored[-1:], *scored]))
