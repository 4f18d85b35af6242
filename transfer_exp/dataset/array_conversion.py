"""Conversion of a user's arrays, data frames, tensors and sparse matrices of features and labels to NumPy arrays."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from transfer_exp.dataset.targets import check_multi_label
from transfer_exp.errors import InputError
from transfer_exp.io.text import clean_name
from transfer_exp.statistics.feature_set import FeaturesInMemory

NUMBERS_ADVICE = "numbers to predict are the argument numbers of rank(), or the array target of a file"
"""Where the user states numbers, in messages about labels that may be numbers."""


def convert_features(features: Any, labels: Any = None, numbers: Any = None) -> FeaturesInMemory:
    """Return arrays, frames, tensors or sparse matrices as NumPy arrays.

    Args:
        features: (N, D) of one model, or of each model by its name.
        labels: (N,) or (N, 1) integers, strings or truth values, or (N, C) with a single one in each row; (N, C) zeros
            and ones for several labels; or (N,) floats that are not all whole, for numbers to predict.
        numbers: (N,) or (N, 1) numbers to predict, instead of labels.

    Raises:
        InputError: If the values cannot be converted without a loss. The message names the model.
    """
    models = features if isinstance(features, Mapping) else {"features": features}
    is_list = isinstance(features, list | tuple) and len(features) > 0
    if is_list and all(hasattr(item, "shape") and len(item.shape) == 2 for item in features):
        raise InputError(f"features are a list of {len(features)} matrices: pass a mapping {{name: features}}")
    if not models:
        raise InputError("there are features of no model: pass {name: features}")
    for name in models:
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"{name!r} is not the name of a model: use a text")
    _check_rows(
        {
            **{f"features of model {name}": values for name, values in models.items()},
            "labels": labels,
            "numbers": numbers,
        }
    )
    arrays = {clean_name(name): _convert(values, f"features of model {name}") for name, values in models.items()}
    if len(arrays) < len(models):
        raise InputError("two models have the same name in different Unicode forms: rename one")
    if numbers is not None:
        return FeaturesInMemory(arrays, flatten_numbers(_convert(numbers, "numbers"), "numbers"), "target")
    names = None
    if isinstance(labels, pd.DataFrame):
        names, labels = [str(name) for name in labels], labels.to_numpy()
    return FeaturesInMemory(arrays, flatten_labels(_convert(labels, "labels", is_label=True), "labels", names))


def flatten_labels(labels: np.ndarray, what: str, names: Sequence[str] | None = None) -> np.ndarray:
    """Return one integer, text, truth value or number per sample, (N,), or several labels, (N, C).

    Args:
        labels: (N,), (N, 1), (N, C) with a single one in each row, or (N, C) zeros and ones.
        what: Name of the labels in messages.
        names: C names of the columns.

    Raises:
        InputError: If the labels have another shape or type.
    """
    if labels.size == 0:
        raise InputError(f"{what} are empty: pass one class per sample")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    elif labels.ndim == 2 and labels.dtype.kind in "biuf":
        columns = names or [f"column {c}" for c in range(labels.shape[1])]
        if not (np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all()):
            return check_multi_label(labels, what, columns)
        labels = labels.argmax(axis=1)
        return labels if names is None else np.asarray(names)[labels]
    if labels.dtype.kind == "f":
        _check_floats(labels, what)
        return labels.astype(np.float64)
    if labels.ndim != 1 or labels.dtype.kind not in "biuU":
        raise InputError(f"{what} must be (N,) integers or strings, not {labels.shape} {labels.dtype}")
    if labels.dtype.kind == "U":
        texts, codes = np.unique(labels, return_inverse=True)
        if blank := [text for text in texts if not text.strip()]:
            raise InputError(f"{what} have no value at position {np.flatnonzero(labels == blank[0])[0]}: fill it")
        labels = np.array([clean_name(str(text)) for text in texts])[codes]
    return labels


def flatten_numbers(numbers: np.ndarray, what: str) -> np.ndarray:
    """Return numbers to predict, (N,) or (N, 1), as floats (N,); ``what`` names them in messages.

    Raises:
        InputError: If they have another shape or type, or one is not finite.
    """
    if numbers.ndim == 2 and numbers.shape[1] == 1:
        numbers = numbers[:, 0]
    if numbers.ndim != 1 or numbers.size == 0 or numbers.dtype.kind not in "iuf":
        raise InputError(f"{what} must be (N,) integers or floats, not {numbers.shape} {numbers.dtype}: convert them")
    numbers = numbers.astype(np.float64)
    _check_finite(numbers, what)
    return numbers


def _check_finite(values: np.ndarray, what: str) -> None:
    """Raise `InputError` if a value is NaN or infinite; ``what`` names the values."""
    for name, is_bad in (("NaN", np.isnan(values)), ("infinity", np.isinf(values))):
        if is_bad.any():
            raise InputError(f"{what} hold {name}, first at {np.flatnonzero(is_bad)[0]}: leave the sample out")


def _check_floats(labels: np.ndarray, what: str) -> None:
    """Raise `InputError` unless labels are (N,) finite floats that are not all whole; ``what`` names them."""
    _check_finite(labels, what)
    if labels.ndim == 1 and (labels % 1 != 0).any():
        return
    largest = float(np.abs(labels).max())
    if largest > 2**53:
        raise InputError(f"{what} hold whole numbers up to {largest:.0e}, too large for classes: {NUMBERS_ADVICE}")
    raise InputError(
        f"{what} must be (N,) integers or strings, not {labels.shape} {labels.dtype}: convert them with .astype(int), "
        f"if they are classes; {NUMBERS_ADVICE}"
    )


def _convert(values: Any, what: str, is_label: bool = False) -> np.ndarray:
    """Return values of another library as an array; objects become numbers or strings, of one kind.

    Raises:
        InputError: If a value is missing or masked, kinds are mixed, or they do not form an array.
    """
    if isinstance(values, list | tuple) and any(hasattr(item, "detach") for item in values):
        values = [_convert(item, what, is_label) for item in values]
    try:
        if hasattr(values, "detach"):  # torch, which is not imported here
            values = values.detach().cpu()
            values = values.to_dense() if str(values.layout) != "torch.strided" else values
            # NumPy has no bfloat16 and no 8-bit floats.
            values = values.float() if values.is_floating_point() and values.element_size() < 4 else values
        elif hasattr(values, "toarray"):  # a sparse matrix of SciPy
            values = values.toarray()
        elif isinstance(values, pd.DataFrame):
            for name, column in values.items():
                if not (pd.api.types.is_numeric_dtype(column) or all(isinstance(v, numbers.Real) for v in column)):
                    raise InputError(f"column '{name}' of {what} does not hold numbers: leave it out")
        masked = np.ma.getmaskarray(values).any() if isinstance(values, np.ma.MaskedArray) else False
        array = np.asarray(values)
        if array.dtype.kind == "U" and isinstance(values, list | tuple):
            array = np.asarray(values, dtype=object)  # NumPy has made strings of numbers and NaN among strings
    except (TypeError, ValueError, RuntimeError, OverflowError, MemoryError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{what} cannot become a NumPy array ({error}): pass one") from error
    if masked:
        raise InputError(f"{what} have masked values: fill them, or leave their samples out")
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "backslashreplace")
    if is_label:
        refuse_missing_text(array, what, "pass a list of strings")
    return array if array.dtype != object else _convert_objects(array, what, is_label)


def refuse_missing_text(labels: np.ndarray, what: str, remedy: str) -> None:
    """Refuse ``nan`` in a NumPy array of strings, where a missing value has become this text."""
    if labels.dtype.kind == "U" and (labels == "nan").any():
        raise InputError(
            f"{what} are 'nan' at position {np.flatnonzero(labels == 'nan')[0]}, which NumPy makes of a missing value: "
            f"leave the sample out, or {remedy} if a class has this name"
        )


def _convert_objects(array: np.ndarray, what: str, is_label: bool) -> np.ndarray:
    """Return an array of Python objects as strings, truth values, integers or floats."""
    items = array.ravel().tolist()
    missing = next((i for i, item in enumerate(items) if item is None or pd.isna(item) is True), None)
    if missing is not None and is_label:
        raise InputError(f"{what} have no value at position {missing}: fill it, or leave the sample out")
    kinds: Sequence[tuple[type, type]] = (
        ((str, str), (bool, bool), (numbers.Integral, np.int64)) if is_label else ((numbers.Real, np.float64),)
    )
    for kind, dtype in kinds:
        if all(isinstance(item, kind) for item in items):
            try:
                return array.astype(dtype)
            except OverflowError as error:
                raise InputError(f"{what} hold whole numbers of more than 64 bits: use strings") from error
    types = ", ".join(sorted({type(item).__name__ for item in items}))
    expected = "strings or of integers" if is_label else "numbers"
    raise InputError(f"{what} hold objects of type {types}: pass an array of {expected}")


def _check_rows(tables: Mapping[str, Any]) -> None:
    """Refuse frames and series of one length whose indices name some of the same samples, in other rows.

    Frames without a common entry, such as row numbers and file names, are taken row by row.

    Args:
        tables: Features of each model and labels, by their name in messages; those without an index are ignored.

    Raises:
        InputError: The message names two tables and the first row in which they differ.
    """
    different: list[tuple[str, pd.Index, list[str]]] = []
    for name, table in tables.items():
        if not isinstance(table, pd.Series | pd.DataFrame) or any(
            table.index.equals(index) for _, index, _ in different
        ):
            continue
        rows = [str(sample) for sample in table.index]  # "7" in a file and 7 are the same sample
        for other_name, _, other in different:
            if rows != other and len(rows) == len(other) and not set(rows).isdisjoint(other):
                i = next(i for i, pair in enumerate(zip(other, rows, strict=True)) if pair[0] != pair[1])
                raise InputError(
                    f"{other_name} and {name} have different indices (row {i} is {other[i]} and {rows[i]}): order one "
                    "like the other with .loc[other.index], or pass .to_numpy() of both if their rows do correspond"
                )
        different.append((name, table.index, rows))
