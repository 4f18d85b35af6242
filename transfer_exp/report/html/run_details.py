"""Details of a run that only its page needs, saved as ``page.json``: command, versions, seconds and projections.

A projection shows the features of one model on the scoring set (the images that scores are computed on) as points. A
run scores one cell: a pool of models on one dataset. A search (the command ``rank``) scores it in rounds.
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

FILE_NAME = "page.json"
_MAX_BYTES = 1 << 24
_MAX_PROJECTED_MODELS, _MAX_PROJECTED_MODELS_IN_SWEEP = 5, 3
"""Most models with projections in a run; those of a sweep have fewer, because its page shows all of its runs."""
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
        samples: Classes and labels of the projected samples of the scoring set; None without projections.
        views: Projections of a few models before and after the perturbation, by model.
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
    """Return the details of a run, with projections of the recommended models and of the first `_models_to_draw`.

    There are at most `_MAX_PROJECTED_MODELS`, and none if the features of any of these models cannot be projected.
    """
    seconds = {
        model: {stage: round(time, 3) for stage, time in stages.items()} for model, stages in context.seconds.items()
    }
    max_models = _MAX_PROJECTED_MODELS if context.sweep is None else _MAX_PROJECTED_MODELS_IN_SWEEP
    models = list(dict.fromkeys([*recommended, *_models_to_draw(result)]))[:max_models]
    samples, views = None, {}
    left_out = "the scores of this run need no features" if models else "no model has a score"
    try:
        for model in models:
            scoring_set = context.scoring_sets[model](MAX_VALUES)
            if scoring_set is not None:
                features, labels = scoring_set.features, scoring_set.labels
                check_size(features, labels)
                samples = samples or plotted_samples(labels, context.class_names)
                views[model] = project_features(features, labels, context.perturb(scoring_set))
                left_out = ""
    except InputError as reason:
        samples, views, left_out = None, {}, f"left out because {reason}"
    findings = tuple(context.findings)
    return RunDetails(context.command, library_versions(), seconds, samples, views, left_out, findings=findings)


def write_run_details(details: RunDetails, folder: Path) -> None:
    """Write ``page.json`` into the folder of a run or a sweep."""
    text = json.dumps(escape_all(asdict(details)), allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    write_text(folder / FILE_NAME, text + "\n")


def read_run_details(folder: Path) -> RunDetails:
    """Read ``page.json`` from a folder; without the file, only ``left_out`` is set.

    Raises `InputError` if the file cannot be read, or its parts do not fit each other.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return RunDetails(left_out="this run kept no features to draw")
    from pydantic import TypeAdapter, ValidationError  # slow to import, and runs only write the file

    text = read_text(path, _MAX_BYTES)
    if _SURROGATE.search(text):  # 0.1.0 wrote undecodable bytes of paths as ``\udcXX``
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
    """Refuse projections that do not fit the classes and points, because a page would draw them wrongly.

    A `ClassSeparation` has lists with one value for each class, and other classes as indices.
    """
    projections = [p for pair in details.views.values() for p in (pair.before, pair.after) if p is not None]
    if not projections:
        return
    samples = details.samples or PlottedSamples((), (), ())
    n_classes, indices, lengths = len(samples.names), list(samples.labels), {len(samples.counts)}
    for separation in (projection.separation for projection in projections):
        lengths |= set(map(len, (separation.recall, separation.within, separation.closest, separation.gap)))
        indices += separation.closest
        indices += [label for confusion in separation.confused for label in confusion[:2]]
    fits = lengths == {n_classes} and all(0 <= index < n_classes for index in indices)
    # The points are a flat list of x and y.
    if not fits or any(len(projection.points) != 2 * len(samples.labels) for projection in projections):
        raise InputError(f"{path} has projections that do not fit its classes and points: delete it")


def _models_to_draw(result: CellResult) -> list[str]:
    """Return the scored models, interesting ones first: best score, best accuracy, worst score, the rest by score."""
    scored = [line.result for line in result.ranking() if line.result.score is not None]
    most_accurate = [] if result.most_accurate is None else [result.most_accurate]
    return list(dict.fromkeys(entry.model for entry in [*scored[:1], *most_accurate, *scored[-1:], *scored]))
