"""Build an object from its part of the config: the one place where a ``_target_`` becomes code."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args, get_origin, get_type_hints

from beartype import BeartypeConf
from beartype.door import is_bearable
from hydra.utils import get_object

from transfer_exp.errors import InputError, suggestion

_NUMBERS_WIDEN = BeartypeConf(is_pep484_tower=True)
_TRUST = "TRANSFER_EXP_TRUST"
_NOT_OPTIONS = ("_target_", "_convert_")
"""Words to whoever builds; the second asks Hydra for plain lists, which is all there is here."""


def build(group: str, options: Mapping[str, Any]) -> Any:
    """Call the ``_target_`` of a config group with its other options.

    Targets lie in this package, or in packages named (with colons between) in the environment variable
    ``TRANSFER_EXP_TRUST``, which no file can set.

    Parameters
    ----------
    group
        Name of the config group, for messages.
    options
        Plain data: ``_target_`` and hyperparameters; lists become tuples. A hyperparameter may hold mappings
        with a ``_target_`` of their own, at any depth: they are built first, under the same rules. Hydra's
        ``_convert_`` is passed over.

    Raises
    ------
    InputError
        For a target that is not allowed, an option it does not take, a missing one, or a value of the wrong type.
    """
    target = _target(group, str(options.get("_target_")))
    given = {key: value for key, value in options.items() if key not in _NOT_OPTIONS}
    parameters = inspect.signature(target).parameters
    hints = get_type_hints(target.__init__ if inspect.isclass(target) else target)
    for key in given:
        if key not in parameters:
            raise InputError(f"{group} has no option '{key}': {suggestion(key, parameters)}")
    built = {key: _built(f"{group}.{key}", value) for key, value in given.items()}
    return target(**{key: _typed(f"{group}.{key}", value, hints.get(key, Any)) for key, value in built.items()})


def _built(name: str, option: Any) -> Any:
    """Build every ``_target_`` inside an option; lists become tuples, to be printed, hashed and kept."""
    if isinstance(option, Mapping):
        if "_target_" in option:
            return build(name, option)
        return {key: _built(f"{name}.{key}", item) for key, item in option.items()}
    if isinstance(option, list):
        return tuple(_built(f"{name}.{place}", item) for place, item in enumerate(option))
    if isinstance(option, str) and option == "???":
        raise InputError(f"{name} has no value: set {name}=...")
    return option


def _target(group: str, path: str) -> Callable[..., Any]:
    """Find the callable at an allowed path, which must be defined in an allowed package as well."""
    allowed = ("transfer_exp", *filter(None, os.environ.get(_TRUST, "").split(":")))
    if path.split(".")[0] not in allowed:
        raise InputError(f"{group} may not run '{path}': only {', '.join(allowed)} (add packages to {_TRUST})")
    try:
        target: Callable[..., Any] = get_object(path)
    except Exception as error:  # Hydra's own, of several types, for a path that leads nowhere
        raise InputError(f"{group}: there is no '{path}' to build: correct its _target_") from error
    if target.__module__.split(".")[0] not in allowed:
        # A module of ours imports others, and a path may go through it to anything.
        raise InputError(f"{group} may not run '{path}': it is not of this package")
    return target


def _typed(name: str, value: Any, hint: Any) -> Any:
    """Hold a value to its type, every item of a tuple too; whole numbers become real ones where those are asked for."""
    # Item by item, because a type checker looks at one of them, drawn at random.
    if isinstance(value, tuple) and (get_origin(hint), *get_args(hint)[1:]) in ((tuple, ...), (Iterable,)):
        return tuple(_typed(f"{name}.{place}", item, get_args(hint)[0]) for place, item in enumerate(value))
    if not is_bearable(value, hint, conf=_NUMBERS_WIDEN):
        wanted = str(hint) if get_origin(hint) else getattr(hint, "__name__", str(hint))
        raise InputError(f"{name}={value!r} is not of the right type: need {wanted}")
    # 1 and 1.0 are one key of the store.
    return float(value) if hint is float and type(value) is int else value
