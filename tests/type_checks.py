"""Cheap type checks in the tests: jaxtyping only where a function has shapes, and beartype alone everywhere else.

The import hook of jaxtyping decorates every function of the package. Its wrapper takes 7 microseconds a call and that
of beartype half of one, which matters for functions that are called for every row of a table. The import of this module
lets the hook use `check_types` for all modules that are imported afterwards.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import partial
from typing import Any, get_args, get_type_hints

import jaxtyping

_jaxtyped = jaxtyping.jaxtyped


def check_types(item: Any = None, *, typechecker: Callable[[Any], Any]) -> Any:
    """Decorate a function, or the ``__init__`` of a dataclass, to check types and shapes; `jaxtyping.jaxtyped` for all.

    As in jaxtyping, annotations that cannot be evaluated are not checked.
    """
    if item is None:
        return partial(check_types, typechecker=typechecker)
    if inspect.isclass(item):
        if is_dataclass(item) and "__init__" in vars(item):
            item.__init__ = check_types(item.__init__, typechecker=typechecker)
        return item
    if not inspect.isfunction(item):
        return _jaxtyped(item, typechecker=typechecker)
    written = item.__annotations__
    types = {name: _evaluate(annotation, item.__globals__) for name, annotation in written.items()}
    if any(map(_has_shape, types.values())):
        return _jaxtyped(item, typechecker=typechecker)
    item.__annotations__ = types
    checked = typechecker(item)
    item.__annotations__ = checked.__annotations__ = written
    return checked


def _evaluate(annotation: Any, names: dict[str, Any]) -> Any:
    def function(value: annotation) -> None: ...

    try:
        return get_type_hints(function, names, include_extras=True)["value"]
    except Exception:  # a name that is only imported for type checkers
        return Any


def _has_shape(annotation: Any) -> bool:
    if isinstance(annotation, list | tuple):
        return any(map(_has_shape, annotation))
    if inspect.isclass(annotation) and issubclass(annotation, jaxtyping.AbstractArray):
        return True
    return any(map(_has_shape, get_args(annotation)))


jaxtyping.jaxtyped = check_types
