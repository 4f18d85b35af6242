"""Build an object from its part of the config: the only module that imports and calls a ``_target_``."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args, get_origin, get_type_hints

from beartype import BeartypeConf
from beartype.door import is_bearable
from hydra.utils import get_object

from transfer_exp import deprecated_names
from transfer_exp.errors import InputError, suggestion

_INT_IS_FLOAT = BeartypeConf(is_pep484_tower=True)
_TRUST = "TRANSFER_EXP_TRUST"
_RESERVED = ("_target_", "_convert_")
"""Keys that are not options of the target. ``_convert_`` asks Hydra for plain lists, which `build` always makes."""


def build(group: str, options: Mapping[str, Any]) -> Any:
    """Call the ``_target_`` of a config group with its other options.

    Targets lie in this package, or in packages that the environment variable ``TRANSFER_EXP_TRUST`` lists, separated
    by colons. No file can set that variable.

    Args:
        group: Name of the config group, for messages.
        options: Plain data: ``_target_`` and hyperparameters. Lists become tuples. A hyperparameter may hold mappings
            with a ``_target_`` at any depth: they are built first, under the same rules. ``_convert_`` is ignored.

    Returns:
        The object that the target returns.

    Raises:
        InputError: When the target is not allowed or missing, or an option is unknown, missing or of the wrong type.
    """
    target = _find_target(group, str(options.get("_target_")))
    parameters = inspect.signature(target).parameters
    hints = get_type_hints(target.__init__ if inspect.isclass(target) else target)
    values = {deprecated_names.current_option(k, parameters): v for k, v in options.items() if k not in _RESERVED}
    for key in values:
        if key not in parameters:
            raise InputError(f"{group} has no option '{key}': {suggestion(key, parameters)}")
    built = {key: _build_nested(f"{group}.{key}", value) for key, value in values.items()}
    return target(**{key: _check_type(f"{group}.{key}", value, hints.get(key, Any)) for key, value in built.items()})


def _build_nested(name: str, option: Any) -> Any:
    """Build every ``_target_`` inside an option; lists become tuples, which can be hashed."""
    if isinstance(option, Mapping):
        if "_target_" in option:
            return build(name, option)
        return {key: _build_nested(f"{name}.{key}", item) for key, item in option.items()}
    if isinstance(option, list):
        return tuple(_build_nested(f"{name}.{i}", item) for i, item in enumerate(option))
    if isinstance(option, str) and option == "???":
        raise InputError(f"{name} has no value: set {name}=...")
    return option


def _find_target(group: str, path: str) -> Callable[..., Any]:
    """Return the callable at an allowed path; it must be defined in an allowed package as well."""
    path = deprecated_names.current_target(path)
    allowed = ("transfer_exp", *filter(None, os.environ.get(_TRUST, "").split(":")))
    if path.split(".")[0] not in allowed:
        raise InputError(f"{group} may not run '{path}': only {', '.join(allowed)} (add packages to {_TRUST})")
    try:
        target: Callable[..., Any] = get_object(path)
    except Exception as error:  # Hydra raises errors of several types for a path that does not exist
        raise InputError(f"{group}: there is no '{path}' to build: correct its _target_") from error
    if target.__module__.split(".")[0] not in allowed:
        # A path through one of our modules can lead to anything that the module imports.
        raise InputError(f"{group} may not run '{path}': it is not of this package")
    return target


def _check_type(name: str, value: Any, hint: Any) -> Any:
    """Check a value, and every item of a tuple, against its type; an int becomes a float where one is expected."""
    # Item by item, because the type checker only looks at one random item.
    if isinstance(value, tuple) and (get_origin(hint), *get_args(hint)[1:]) in ((tuple, ...), (Iterable,)):
        return tuple(_check_type(f"{name}.{i}", item, get_args(hint)[0]) for i, item in enumerate(value))
    if not is_bearable(value, hint, conf=_INT_IS_FLOAT):
        expected = str(hint) if get_origin(hint) else getattr(hint, "__name__", str(hint))
        raise InputError(f"{name}={value!r} is not of the right type: need {expected}")
    # 1 and 1.0 must give the same key in the store.
    return float(value) if hint is float and type(value) is int else value
