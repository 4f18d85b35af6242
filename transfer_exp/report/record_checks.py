"""Checks of the values in a record, which somebody may have edited: a report must not fail on them or repeat them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from transfer_exp.io.measures import is_possible
from transfer_exp.results.cell import CellResult
from transfer_exp.results.search import MAX_RECOMMENDED, AdaptedModel, SearchedModel, SearchResult

STATUSES = ("finalist", "dropped", "not looked at", "failed")
"""Possible values of ``status`` of a model of a search."""
_PAIR_STATUSES = ("measured", "not tried", "failed")
_LABELS = ("dataset", "perturbation", "metric")
_STOP_REASONS = ("all images", "budget")
_ORDERS = ("expected accuracy", "score")
_LARGEST_COUNT = 2**63 - 1
_ONE = 1 + 1e-9
"""One, after rounding."""
_AMOUNTS = ("images", "parameters", "multiply_adds", "peak_memory", "file_bytes", "images_per_second", "seconds")
_RANKS = ("rank", "best_rank_95", "worst_rank_95")
_EXPECTED = ("expected_accuracy", "expected_accuracy_low_80", "expected_accuracy_high_80")


def check_cell(result: CellResult) -> None:
    """Raise ValueError for the first value of a cell that no run writes."""
    _check_names(model.model for model in result.models)
    for model in result.models:
        _check_accuracy(model.model, model.accuracy, result.measure)
        _require_range(f"trainable_parameters of {model.model}", model.trainable_parameters, 0, _LARGEST_COUNT)
        _require_range(f"training_seconds of {model.model}", model.training_seconds, 0)
    if result.null_band is not None and not -_ONE <= result.null_band[0] <= result.null_band[1] <= _ONE:
        raise ValueError(f"null_band {list(result.null_band)} is not an interval in [-1, 1]")
    if not 0 < result.null_level < 1:
        raise ValueError(f"null_level {result.null_level} is not between 0 and 1")


def check_search(search: SearchResult) -> None:
    """Raise ValueError for the first value of a search that `rank` does not write."""
    for label in _LABELS:
        if label not in search.cell:
            raise ValueError(f"its cell has no {label}")
    _require_one_of("stop_reason", search.stop_reason, _STOP_REASONS)
    _require_one_of("ordered_by", search.ordered_by, _ORDERS)
    _require_range("images", search.images, 1, _LARGEST_COUNT)
    _require_range("classes", search.classes, 1, _LARGEST_COUNT)
    _require_range("forward_passes", search.forward_passes, 0, _LARGEST_COUNT)
    for name in ("seconds", "budget_seconds", "seconds_missing"):
        _require_range(name, getattr(search, name), 0)
    _check_names(model.model for model in search.models)
    for model in search.models:
        _check_searched_model(model, search)
    names = {model.model for model in search.models}
    for pair in search.pairs:
        if pair.model not in names:
            raise ValueError(f"it has a pair of {pair.model}, which is not one of its models")
        _check_pair(pair, search.measure)
    if not search.models:
        raise ValueError("it has no model")
    if not search.with_status("finalist"):
        raise ValueError("it has no finalist")
    if sum(model.accuracy is not None for model in search.models) > MAX_RECOMMENDED:
        raise ValueError(f"more than {MAX_RECOMMENDED} models have an accuracy")


def check_status(model: str, status: object) -> None:
    """Raise ValueError if a model of a search has an unknown status."""
    _require_one_of(f"status of {model}", status, STATUSES)


def _check_searched_model(model: SearchedModel, search: SearchResult) -> None:
    name, is_finalist = model.model, model.status == "finalist"
    check_status(name, model.status)
    if is_finalist and (model.score is None or model.rank is None):
        raise ValueError(f"finalist {name} has no {'score' if model.score is None else 'rank'}")
    for field in _AMOUNTS:
        _require_range(f"{field} of {name}", getattr(model, field), int(is_finalist and field == "images"))
    for field in _RANKS:
        _require_range(f"{field} of {name}", getattr(model, field), 1, len(search.models))
    for field in _EXPECTED:
        _require_range(f"{field} of {name}", getattr(model, field), 0, _ONE)
    if len({getattr(model, field) is None for field in _EXPECTED}) > 1:
        raise ValueError(f"expected_accuracy of {name} has no interval, or the interval has no value")
    if (model.best_rank_95 is None) != (model.worst_rank_95 is None):
        raise ValueError(f"the interval of the rank of {name} has one end")
    _check_accuracy(name, model.accuracy, search.measure)


def _check_pair(pair: AdaptedModel, measure: str) -> None:
    name = f"{pair.model} with {pair.regime}"
    _require_one_of(f"status of {name}", pair.status, _PAIR_STATUSES)
    if (pair.status == "measured") != (pair.accuracy is not None and pair.validation is not None):
        raise ValueError(f"{name} is {pair.status}, and its accuracies do not fit that")
    for value in (pair.accuracy, pair.validation):
        _check_accuracy(name, value, measure)
    for field in ("trainable_parameters", "training_seconds", "expected_seconds"):
        _require_range(f"{field} of {name}", getattr(pair, field), 0)


def _check_names(names: Iterable[str]) -> None:
    seen = set[str]()
    for name in names:
        if name in seen:
            raise ValueError(f"model {name} appears twice")
        seen.add(name)


def _check_accuracy(model: str, accuracy: float | None, measure: str) -> None:
    if accuracy is not None and not is_possible(accuracy, measure):
        raise ValueError(f"accuracy {accuracy:g} of {model} is out of the range of {measure}")


def _require_one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r:.40} and not one of {', '.join(allowed)}")


def _require_range(name: str, value: Any, low: int, high: int | float = _LARGEST_COUNT) -> None:
    """Raise ValueError if a number is out of a range; None is allowed."""
    if value is not None and not low <= value <= high:
        raise ValueError(f"{name} is {value!r:.20}, and not from {low} to {high:g}")
