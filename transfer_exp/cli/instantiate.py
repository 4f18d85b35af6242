"""Build an object from its part of the config: the only module that imports and calls a ``_target_``."""

from __future__ import annotations

import inspect
import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import is_dataclass, replace
from functools import cache
from importlib import import_module
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml  # type: ignore[import-untyped]
from hydra.utils import get_object

from transfer_exp import deprecated_names
from transfer_exp.cli.option_files import CONF
from transfer_exp.cli.settings import LARGEST_SEED, SETTINGS, is_whole
from transfer_exp.errors import InputError, first_line, is_missing, missing_value, show_value, suggestion

_TRUST = "TRANSFER_EXP_TRUST"
_RESERVED = ("_target_", "_convert_")
"""Keys that are not options of the target. ``_convert_`` asks Hydra for plain lists, which `build` always makes."""
_KINDS = {
    "metric": ("transfer_exp.metric.metric.Metric", "transfer_exp.metric.metric.PoolMetric"),
    "perturbation": (
        "transfer_exp.perturbation.perturbation.Perturbation",
        "transfer_exp.perturbation.strength_path.StrengthPath",
    ),
    "model_pool": ("transfer_exp.model_pool.pool.ModelPool",),
    "dataset": ("transfer_exp.dataset.target_dataset.TargetDataset", "transfer_exp.dataset.arrays.FeatureArrays"),
    "ground_truth": ("transfer_exp.ground_truth.regime.Regime",),
    "evaluation": ("transfer_exp.evaluation.ranking.Ranking",),
    "tracker": ("transfer_exp.tracker.tracker.Tracker",),
}
"""Types of the objects that a config group builds, by group."""
_NESTED = {"ground_truth": ("ground_truth", "protocol")}
"""Groups whose options may be inside an option of another group."""
_PATH = re.compile(r"[^\W\d]\w*(\.\w+)*")
"""Path of a target."""
_TYPES = {bool: "true or false", int: "a whole number", float: "a number", str: "text", NoneType: "null"}
"""Types of options in words."""
_trusted: tuple[str, ...] = ()


def read_trust() -> None:
    """Read the packages whose code may run from the environment, once, before any option file is read."""
    global _trusted
    _trusted = tuple(filter(None, os.environ.get(_TRUST, "").split(":")))


def with_trust(command: str) -> str:
    """Return a command that also sets the packages whose code may run, if there are any."""
    return f"{_TRUST}={shlex.quote(':'.join(_trusted))} {command}" if _trusted else command


read_trust()  # Workers import this module before Hydra sets their environment.


def build_all(groups: Sequence[str], config: Mapping[str, Any]) -> dict[str, Any]:
    """Build the options of several groups in this order, once the arguments of all of them are checked.

    Args:
        groups: Groups to build.
        config: Options by group, and the settings ``measure`` and ``shots``, which replace the measure and the scoring
            set of the dataset; ``seed`` draws that scoring set.

    Raises:
        InputError: As `build`, and before anything is built if an argument is wrong.
    """
    for group in groups:
        _check_arguments(group, config[group])
    built = {group: build(group, config[group]) for group in groups}
    if "dataset" in built:
        built["dataset"] = with_settings(built["dataset"], config)
    return built


def with_settings(dataset: Any, config: Mapping[str, Any]) -> Any:
    """Return a dataset with the measure and the scoring set of ``measure``, ``shots`` and ``seed``, see `build_all`."""
    if config.get("measure") is not None:
        dataset = replace(dataset, measure=config["measure"])
    if config.get("shots") is not None:
        dataset = dataset.with_shots(config["shots"], config["seed"])
    return dataset


def build(group: str, options: Mapping[str, Any]) -> Any:
    """Call the ``_target_`` of a config group with its other options.

    Targets are those of the package's own options of the same group, and anything in the packages that the environment
    variable ``TRANSFER_EXP_TRUST`` lists, separated by colons. No file can set that variable.

    Args:
        group: Name of the config group, for messages.
        options: Plain data: ``_target_`` and hyperparameters. Lists become tuples. A hyperparameter may hold mappings
            with a ``_target_`` at any depth: they are built first, under the same rules. ``_convert_`` is ignored.

    Returns:
        The object that the target returns.

    Raises:
        InputError: When the target is not allowed or missing, or an option is unknown, missing or of the wrong type.
    """
    target, values, hints = _check_arguments(group, options)
    built = {key: _map_targets(f"{group}.{key}", value, build) for key, value in values.items()}
    result = target(**{key: _check_type(f"{group}.{key}", value, hints.get(key, Any)) for key, value in built.items()})
    paths = _KINDS.get(group, ())
    if paths and not any(isinstance(result, get_object(path)) for path in paths):  # the last ones import the most
        kinds = [get_object(path) for path in paths]
        expected = " or ".join(kind.__name__ for kind in kinds)
        missing = [name for name in _members(kinds[0]) if not hasattr(result, name)]
        without = f" without {', '.join(missing)}" if inspect.isclass(target) else ""
        kind = f"{type(result).__name__}{without}"
        raise InputError(f"{group} needs a {expected}, and {options['_target_']} makes {kind}")
    return result


def check_scalars(group: str, options: Mapping[str, Any]) -> None:
    """Check truth values and numbers against the types of the package's option file, without importing the target.

    Raises:
        InputError: When a value has another type than in the option file with the same ``_target_``.
    """
    for defaults in _shipped_options(group):
        if defaults.get("_target_") == options.get("_target_"):
            for key, default in defaults.items():
                if key in options and type(default) in (bool, int, float):
                    _check_type(f"{group}.{key}", options[key], type(default))


def check_regime(options: Mapping[str, Any]) -> None:
    """Check what can be checked of the options of ``ground_truth`` without its module, which imports torch.

    Raises:
        InputError: As `check_scalars`, for an option out of range, and for a wrong protocol.
    """
    from transfer_exp.ground_truth.protocol import check_regime_options

    check_scalars("ground_truth", options)
    if options.get("_target_") in shipped_targets("ground_truth"):
        check_regime_options(options)
    if isinstance(options.get("protocol"), Mapping):
        build("protocol", options["protocol"])


def check_needs(metric: Any, ground_truth: Mapping[str, Any]) -> None:
    """Raise InputError if a metric needs a table of accuracies, and the options of ``ground_truth`` are of another."""
    target = str(ground_truth.get("_target_"))
    has_none = target.startswith("transfer_exp.") and not target.startswith("transfer_exp.ground_truth.table.")
    if has_none and "accuracies_elsewhere" in metric.inputs:
        from transfer_exp.metric.metric import NEEDS_TABLE

        raise InputError(f"{metric.name} {NEEDS_TABLE}")


@cache
def _shipped_options(group: str) -> list[dict[str, Any]]:
    """Return the content of each of the package's own option files of a config group."""
    return [yaml.safe_load(file.read_text("utf-8")) for file in (CONF / group).glob("*.yaml")]


def _check_arguments(group: str, options: Mapping[str, Any]) -> tuple[Callable[..., Any], dict[str, Any], Any]:
    """Return a target, its arguments by current names, and its type hints; see `build` for what is checked.

    The types of options that hold a ``_target_`` themselves are known once these are built.
    """
    target = _find_target(group, str(options.get("_target_")))
    parameters = inspect.signature(target).parameters
    # Fields of a dataclass are named in the module of the class that declares them, which may be a base class.
    is_plain_class = inspect.isclass(target) and not is_dataclass(target)
    hints = get_type_hints(target.__init__ if is_plain_class else target)
    values = {
        deprecated_names.current_option(str(key), parameters): value
        for key, value in options.items()
        if key not in _RESERVED
    }
    for key, value in values.items():
        if key not in parameters:
            raise InputError(f"{group} has no setting '{key}': {suggestion(key, parameters)}")
        checked = _map_targets(f"{group}.{key}", value, _check_arguments)
        if not _has_target(value):
            _check_type(f"{group}.{key}", checked, hints.get(key, Any))
    for key, parameter in parameters.items():
        if key not in values and parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD:
            raise missing_value(f"{group}.{key}")
    return target, values, hints


def _has_target(option: Any) -> bool:
    items = option.values() if isinstance(option, Mapping) else option if isinstance(option, list) else ()
    return (isinstance(option, Mapping) and "_target_" in option) or any(map(_has_target, items))


def _map_targets(name: str, option: Any, make: Callable[[str, Mapping[str, Any]], Any]) -> Any:
    """Apply a function to every ``_target_`` inside an option; lists become tuples, which can be hashed."""
    if isinstance(option, Mapping):
        if "_target_" in option:
            return make(name, option)
        return {key: _map_targets(f"{name}.{key}", item, make) for key, item in option.items()}
    if isinstance(option, list):
        return tuple(_map_targets(f"{name}.{i}", item, make) for i, item in enumerate(option))
    if is_missing(name, option):
        raise missing_value(name)
    return option


def _find_target(group: str, path: str) -> Callable[..., Any]:
    """Return the callable at an allowed path; outside this package it must be defined in a trusted package as well."""
    if path == "None":
        raise InputError(f"{group} has no _target_: choose an option, {group}=NAME")
    if not _PATH.fullmatch(path):
        raise InputError(f"{group} has _target_={path}, which names nothing in Python: write package.module.Name")
    path = deprecated_names.current_target(path)
    package = path.split(".")[0]
    shipped = shipped_targets(group.split(".")[0])
    if package == "transfer_exp":
        if path not in shipped:
            raise InputError(f"{group} may not run '{path}': {suggestion(path, shipped)}")
    elif package not in _trusted:
        fix = f"if you trust its code, set {_TRUST}={':'.join((*_trusted, package))} in the environment"
        raise InputError(f"{group} may not run '{path}', which is not of this package: {fix}")
    target = _import(group, path)
    if package != "transfer_exp" and getattr(target, "__module__", "").split(".")[0] not in _trusted:
        # A path through a trusted module can lead to anything that the module imports.
        raise InputError(f"{group} may not run '{path}': it is not of {package}")
    return target


def _import(group: str, path: str) -> Callable[..., Any]:
    """Return the object at a path such as ``package.module.Class``.

    Raises:
        InputError: If the module cannot be imported, or has no such object.
    """
    module_path, _, name = path.rpartition(".")
    try:
        module = import_module(module_path)
    except (Exception, SystemExit) as error:  # Also an error in the user's code.
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(f"{group}: cannot import '{module_path}' of _target_={path} ({reason}): correct it") from error
    if not hasattr(module, name):
        names = [attribute for attribute in vars(module) if not attribute.startswith("_")]
        raise InputError(f"{group}: '{module_path}' has no '{name}': {suggestion(name, names)}")
    target: Callable[..., Any] = getattr(module, name)
    return target


def _members(kind: type) -> list[str]:
    """Return the names of the attributes and methods that a protocol requires."""
    protocols = [base for base in reversed(kind.__mro__) if base.__module__.split(".")[0] == __package__.split(".")[0]]
    names = [name for protocol in protocols for name in (*protocol.__annotations__, *vars(protocol))]
    return [name for name in dict.fromkeys(names) if not name.startswith("_") or name == "__call__"]


@cache
def shipped_targets(group: str) -> frozenset[str]:
    """Return the targets in the package's own option files of a config group."""
    files = (file for name in _NESTED.get(group, (group,)) for file in (CONF / name).glob("*.yaml"))
    return frozenset(re.findall(r"_target_: (\S+)", "\n".join(file.read_text("utf-8") for file in files)))


def _check_type(name: str, value: Any, hint: Any) -> Any:
    """Check a value, and every item of a tuple, against its type; an int becomes a float where one is expected."""
    # Item by item, because the type checker only looks at one random item.
    if isinstance(value, tuple) and _is_list_type(hint):
        return tuple(_check_type(f"{name}.{i}", item, get_args(hint)[0]) for i, item in enumerate(value))
    if hint == Sequence[str] and isinstance(value, str):
        value = (value,)  # one name where a list belongs
    if not _is_of_type(value, hint):
        raise InputError(f"{name}={show_value(value)}: need {_describe_type(hint)}")
    if name.endswith(".seed") and type(value) is int and not is_whole(value, 0, LARGEST_SEED):
        raise InputError(f"{name}={value}: need {SETTINGS['seed'][0]}")
    # 1 and 1.0 must give the same key in the store.
    return float(value) if hint in (float, float | None) and type(value) is int else value


def _is_of_type(value: Any, hint: Any) -> bool:
    """Return whether a value has a type; an int is also a float."""
    from beartype import BeartypeConf  # a fifth of the time of the help
    from beartype.door import is_bearable

    return is_bearable(value, hint, conf=BeartypeConf(is_pep484_tower=True))


def _is_list_type(hint: Any) -> bool:
    """Return whether a type is ``tuple[X, ...]`` or ``Iterable[X]``."""
    is_tuple = get_origin(hint) is tuple and get_args(hint)[1:] == (...,)
    return is_tuple or get_origin(hint) is Iterable


def _describe_type(hint: Any) -> str:
    """Return in words which values an option of a type takes."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is None:
        return _TYPES.get(hint) or str(getattr(hint, "__name__", hint))
    if origin is Literal:
        return " or ".join(map(str, arguments))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "a mapping"
    if isinstance(origin, type) and issubclass(origin, Iterable):
        items = {_describe_type(argument).removeprefix("a ") for argument in arguments if argument is not ...}
        return f"a list of {' or '.join(sorted(items))}{'s' if items <= {'whole number', 'number'} else ''}"
    return ", or ".join(map(_describe_type, arguments))
