"""Old names that keep working for one release: import paths, commands, config options and their targets.

An old name warns once and leads to the new one. Names that are not installed any more say in one line where they are.
Delete an entry to end its support; delete this module, its three uses and its test to end all of it.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Container, Sequence
from functools import partial
from importlib import import_module
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from typing import Any

from transfer_exp.errors import InputError

OBJECTS = {
    "transfer_exp.dataset.unlabelled_images.unlabelled_images": "transfer_exp.dataset.image_folder.unlabelled_images",
    "transfer_exp.dataset.voc2007.voc2007": "transfer_exp.dataset.torchvision_sets.voc2007",
    "transfer_exp.evaluation.expectations.expectations": (
        "transfer_exp.evaluation.expected_accuracy.expected_accuracies"
    ),
    "transfer_exp.experiment.cell.Experiment": "transfer_exp.experiment.experiment.Experiment",
    "transfer_exp.experiment.plugin.build": "transfer_exp.cli.instantiate.build",
    "transfer_exp.experiment.pool_search.PoolSearch": "transfer_exp.experiment.search.PoolSearch",
    "transfer_exp.ground_truth.linear_probe_then_full.LinearProbeThenFull": (
        "transfer_exp.ground_truth.full.LinearProbeThenFull"
    ),
    "transfer_exp.ground_truth.none.NoGroundTruth": "transfer_exp.ground_truth.regime.NoGroundTruth",
    "transfer_exp.ground_truth.published.published": "transfer_exp.ground_truth.table.published",
    "transfer_exp.metric.debiased_h_score.DebiasedHScore": "transfer_exp.metric.h_score.DebiasedHScore",
    "transfer_exp.metric.debiased_logme.DebiasedLogME": "transfer_exp.metric.logme.DebiasedLogME",
    "transfer_exp.metric.debiased_sfda.DebiasedSFDA": "transfer_exp.metric.sfda.DebiasedSFDA",
    "transfer_exp.metric.logme_regression.LogMERegression": "transfer_exp.metric.logme.LogMERegression",
    "transfer_exp.metric.recommended.Recommended": "transfer_exp.metric.linear_classifier.Recommended",
    "transfer_exp.metric.regularised_h_score.RegularisedHScore": "transfer_exp.metric.h_score.RegularisedHScore",
    "transfer_exp.metric.sfda_released.SFDAReleased": "transfer_exp.metric.sfda.SFDAReleased",
    "transfer_exp.model_pool.embedded.embedded": "transfer_exp.model_pool.builtin.builtin",
    "transfer_exp.model_pool.joined.joined": "transfer_exp.model_pool.pool.combine_pools",
    "transfer_exp.perturbation.path.Path": "transfer_exp.perturbation.strength_path.StrengthPath",
    "transfer_exp.report.reproduction.writing.write_reproduction": (
        "transfer_exp.report.published_comparison.write_published_comparison"
    ),
    "transfer_exp.tracker.none.NoTracker": "transfer_exp.tracker.tracker.NoTracker",
    "transfer_exp.tracker.several.SeveralTrackers": "transfer_exp.tracker.tracker.SeveralTrackers",
    "transfer_exp.types.CellResult": "transfer_exp.results.cell.CellResult",
    "transfer_exp.types.ClassStatistics": "transfer_exp.statistics.class_statistics.ClassStatistics",
    "transfer_exp.types.FeatureSet": "transfer_exp.statistics.feature_set.FeatureSet",
    "transfer_exp.types.InputError": "transfer_exp.errors.InputError",
    "transfer_exp.types.ModelFacts": "transfer_exp.metric.metric.ModelFacts",
    "transfer_exp.types.ModelResult": "transfer_exp.results.cell.ModelResult",
    "transfer_exp.types.NotApplicableError": "transfer_exp.errors.NotApplicableError",
    "transfer_exp.types.Track": "transfer_exp.progress.Track",
    "transfer_exp.types.Work": "transfer_exp.cli.plan.StageWork",
    "transfer_exp.types.check_features": "transfer_exp.statistics.feature_set.check_features",
    "transfer_exp.types.check_source_probabilities": "transfer_exp.statistics.feature_set.check_source_probabilities",
    "transfer_exp.types.class_statistics": "transfer_exp.statistics.class_statistics.class_statistics",
    "transfer_exp.types.encode_labels": "transfer_exp.statistics.feature_set.encode_labels",
    "transfer_exp.types.silent": "transfer_exp.progress.silent",
    "transfer_exp.types.suggestion": "transfer_exp.errors.suggestion",
}
"""New path of each object, by its old path in an import or a ``_target_``."""

COMMANDS = {
    "transfer_exp.evaluate": "evaluate",
    "transfer_exp.report.__main__": "report",
    "transfer_exp.report.reproduction.__main__": "report",
}
"""Command of ``transfer-exp``, by the module that was run with ``python -m``."""

STUDIES = {
    "transfer_exp.experiment.pretrain": "studies.builtin_pool",
    "transfer_exp.report.calibration": "studies.calibration",
    "transfer_exp.report.method": "studies.method_figure",
    "transfer_exp.report.page": "studies.stored_rows_pages",
    "transfer_exp.report.reproduction.document": "studies.paper.document",
    "transfer_exp.report.reproduction.known": "studies.paper.tables",
    "transfer_exp.report.study": "studies.real_pool",
}
"""Module of a checkout, by the module that was installed before."""

OVERRIDES = {
    r"^(\+*model_pool=.*)\bembedded\b": r"\1builtin",
    r"^(\+*sweep=)embedded_pool$": r"\1builtin_pool",
    r"^(--config-name=|-cn=|)score_grid$": r"\1score_matrix",
    r"^\+*dataset\.probe_size=": r"dataset.scoring_set_size=",
}
"""Replacement in an argument of the command line, by the pattern of the old name."""

OPTIONS = {"probe_size": "scoring_set_size"}
"""New key, by the key in the user's own config files."""

STUDY_SWEEPS = re.compile(r"^\+*sweep=(real_pool|real_pool_scores)$")
"""Sweeps that are only in a checkout."""

_printed_names: set[str] = set()


def current_overrides(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of a command line with current names, and print one line for each old name.

    Raises:
        InputError: For a sweep that is only in a checkout, without the folder of its config.
    """
    has_directory = any(argument.startswith(("--config-dir", "-cd")) for argument in arguments)
    current = []
    for argument in arguments:
        if STUDY_SWEEPS.match(argument) and not has_directory:
            raise InputError(f"{argument} is not installed any more: in a checkout, add --config-dir studies/conf")
        replaced = argument
        for pattern, replacement in OVERRIDES.items():
            replaced = re.sub(pattern, replacement, replaced)
        if replaced != argument:
            _print_once(argument, replaced)
        current.append(replaced)
    return current


def current_target(path: str) -> str:
    """Return the current path of a ``_target_``, and print one line for an old one."""
    if path in OBJECTS:
        _print_once(path, OBJECTS[path])
    return OBJECTS.get(path, path)


def current_option(key: str, parameters: Container[str]) -> str:
    """Return the current name of an option if its target does not take the old one."""
    if key in parameters or OPTIONS.get(key) not in parameters:
        return key
    _print_once(key, OPTIONS[key])
    return OPTIONS[key]


def _print_once(old: str, new: str) -> None:
    if old not in _printed_names:
        _printed_names.add(old)
        print(f"transfer_exp: {old} is deprecated: write {new}", file=sys.stderr)


class OldModules(MetaPathFinder):
    """Finder of old modules; it comes last in ``sys.meta_path``, so that existing modules win."""

    modules = sorted({*COMMANDS, *STUDIES, *(name.rpartition(".")[0] for name in OBJECTS)})

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Return the specification of an old module or its package, and None for any other."""
        if not any(f"{module}.".startswith(f"{fullname}.") for module in self.modules):
            return None
        is_package = any(module.startswith(f"{fullname}.") for module in self.modules)
        return spec_from_loader(fullname, _Loader(), is_package=is_package)


class _Loader(InspectLoader):
    def get_source(self, fullname: str) -> str:
        """Return the source that runs when the module is imported or run with ``python -m``."""
        return f"from transfer_exp import deprecated_names\ndeprecated_names._load({fullname!r}, globals())\n"


def _load(name: str, namespace: dict[str, Any]) -> None:
    """Run an old command, or let an old module look its names up at their new places."""
    is_command = namespace["__name__"] == "__main__"
    if name in STUDIES:
        message = f"{name} is not installed any more: in a checkout, use {STUDIES[name]}"
        if is_command:
            sys.exit(f"transfer_exp: {message}")
        raise ModuleNotFoundError(message, name=name)
    if is_command:
        old, new = name.removesuffix(".__main__"), COMMANDS[name]
        _print_once(f"python -m {old}", f"transfer-exp {new}")
        sys.argv[1:] = [new, *(re.sub("^--pool\\b", "--published", a) if new == "report" else a for a in sys.argv[1:])]
        sys.exit(import_module("transfer_exp.cli.main").main())
    namespace["__getattr__"] = partial(_find_object, name, namespace)


def _find_object(module: str, namespace: dict[str, Any], attribute: str) -> object:
    old = f"{module}.{attribute}"
    if old not in OBJECTS:
        raise AttributeError(f"module '{module}' has no attribute '{attribute}'")
    warnings.warn(f"{old} is deprecated: use {OBJECTS[old]}", DeprecationWarning, stacklevel=2)
    new_module, _, name = OBJECTS[old].rpartition(".")
    namespace[attribute] = getattr(import_module(new_module), name)
    return namespace[attribute]


def install() -> None:
    """Let old modules be imported."""
    if not any(isinstance(finder, OldModules) for finder in sys.meta_path):
        sys.meta_path.append(OldModules())
