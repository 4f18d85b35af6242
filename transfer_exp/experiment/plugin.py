"""Build an object from its part of the config: the one place where a ``_target_`` becomes code."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_origin, get_type_hints

from beartype import BeartypeConf
from beartype.door import is_bearable
from hydra.utils import get_object

from transfer_exp.types import InputError, suggestion

_NUMBERS_WIDEN = BeartypeConf(is_pep484_tower=True)
_TRUST = "TRANSFER_EXP_TRUST"


def build(group: str, options: Mapping[str, Any]) -> Any:
    """Call the ``_target_`` of a config group with its other options.

    Targets lie in this package, or in packages named (with colons between) in the environment variable
    ``TRANSFER_EXP_TRUST``, which no file can set.

    Parameters
    ----------
    group
        Name of the config group, for messages.
    options
        Plain data: ``_target_`` and hyperparameters; lists become tuples.

    Raises
    ------
    InputError
        For a target that is not allowed, an option it does not take, a missing one, or a value of the wrong type.
    """
    target = _target(group, str(options.get("_target_")))
    given = {key: _frozen(value) for key, value in options.items() if key != "_target_"}
    parameters = inspect.signature(target).parameters
    hints = get_type_hints(target.__init__ if inspect.isclass(target) else target)
    for key, value in given.items():
        if key not in parameters:
            raise InputError(f"{group} has no option '{key}': {suggestion(key, parameters)}")
        if value == "???":
            raise InputError(f"{group}.{key} has no value: set {group}.{key}=...")
        if key in hints and not is_bearable(value, hints[key], conf=_NUMBERS_WIDEN):
            wanted = getattr(hints[key], "__name__", None) or str(hints[key])
            raise InputError(f"{group}.{key}={value!r} is not of the right type: need {wanted}")
    return target(**{key: _widened(value, hints.get(key)) for key, value in given.items()})


def _target(group: str, path: str) -> Callable[..., Any]:
    """Find the callable at an allowed path, which must be defined in an allowed package as well."""
    allowed = ("transfer_exp", *filter(None, os.environ.get(_TRUST, "").split(":")))
    if path.split(".")[0] not in allowed:
        raise InputError(f"{group} may not run '{path}': only {', '.join(allowed)} (add packages to {_TRUST})")
    try:
        target: Callable[..., Any] = get_object(path)
    except Exception as error:  # Hydra's own, of several types, for a path that leads nowhere
        raise InputError(f"{group}: there is no '{path}' to build") from error
    if target.__module__.split(".")[0] not in allowed:
        # A module of ours imports others, and a path may go through it to anything.
        raise InputError(f"{group} may not run '{path}': it is not of this package")
    return target


def _frozen(value: Any) -> Any:
    """Turn lists into tuples, so that what is built can be printed, hashed and kept."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _widened(value: Any, hint: Any) -> Any:
    """Turn whole numbers into real ones where those are asked for: 1 and 1.0 are one key of the store."""
    if isinstance(value, tuple) and get_origin(hint) is tuple:
        return tuple(_widened(item, get_args(hint)[0]) for item in value)
    return float(value) if hint is float and type(value) is int else value
