"""Image classification datasets of the Hugging Face hub, or local folders with the same layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from transfer_exp.dataset.image_decoding import BACKGROUND, ImageDecoder
from transfer_exp.dataset.image_file import find_readable, is_skip, load_encoded, read_bytes
from transfer_exp.dataset.image_folder import refuse_similar
from transfer_exp.dataset.split_names import Split, split_of
from transfer_exp.dataset.target_dataset import NOT_READABLE, LabelledImages, TargetDataset, assemble, no_label_reason
from transfer_exp.dataset.targets import group_numbers, number_groups, rarest_labels
from transfer_exp.errors import InputError, suggestion
from transfer_exp.io.hub import go_offline_if_unreachable, is_offline
from transfer_exp.io.text import clean_name, expand_user
from transfer_exp.statistics.feature_set import Labels, TargetKind, Targets

_REMEDY = "fetch the dataset again or set dataset.on_unreadable=skip"
_WITHHELD = (-1, None, "")
"""Values of a label column that stand for an unknown label."""


def huggingface(
    id: str,
    config: str | None = None,
    train: str | None = None,
    validation: str | None = None,
    test: str | None = None,
    test_fraction: float = 0.3,
    image_column: str | None = None,
    label_column: str | None = None,
    target_column: str | None = None,
    scoring_set_size: int | None = None,
    seed: int = 0,
    on_unreadable: str = "refuse",
    background: str = BACKGROUND,
    pixel_range: Sequence[Any] | None = None,
) -> TargetDataset:
    """Return the dataset ``id``; code in the dataset's repository never runs.

    Args:
        id: ``owner/name`` on the hub or a local folder. ``owner/name@revision`` makes the result repeatable.
        config: Name of a configuration. None is the default one.
        train, validation, test: Names of three different splits. None selects the split with a name that `split_of`
            knows (for ``train`` also the only one). A validation or test split without labels is then passed over.
        image_column, label_column: Names of the columns. None is the only image, and the only class label or list of
            class labels. A label column of integers, strings or floats must be named. A list holds
            several labels, a float is a number to predict.
        target_column: Name of a column of numbers to predict, instead of a ``label_column``. They may be whole, such as
            ages.
        test_fraction, scoring_set_size, seed, on_unreadable, background, pixel_range: Arguments of `image_folder`.

    Raises:
        InputError: If `datasets` is not installed, a download fails, a split or column is missing or ambiguous,
            or labels are withheld.
    """
    splits = _load_splits(id, config)
    chosen = _choose_splits(splits, train, validation, test)
    for name in chosen.values():
        if name not in splits:
            raise InputError(f"{id} has no split {name!r}: {suggestion(name, splits)}")
    features = splits[chosen["train"]].features
    image, label = _choose_columns(features, image_column, label_column, target_column, id)
    passed_over: dict[str, tuple[str, ...]] = {}
    for split, option in (("validation", validation), ("test", test)):
        if option is None and split in chosen and all(_is_withheld(cell) for cell in splits[chosen[split]][label]):
            n_rows, name = len(splits[chosen[split]]), chosen.pop(split)
            passed_over[no_label_reason(split)] = tuple(f"{name}, row {i}" for i in range(n_rows))
    kind = "regression" if target_column is not None else _target_kind(features[label])
    class_names, answers = _read_targets({split: splits[name] for split, name in chosen.items()}, label, id, kind)
    decoder, folders = ImageDecoder(background, pixel_range), _allowed_folders(id)
    images = {
        split: _load_images(splits[name], image, *answers[split], f"{id}, {name}", folders, decoder)
        for split, name in chosen.items()
    }
    if is_skip(on_unreadable) and (damaged := _leave_out_unreadable(images, id, chosen)):
        passed_over[NOT_READABLE] = damaged
    sampling = (test_fraction, scoring_set_size, seed)
    reason = f"its column {label} holds {_describe_column(features[label], kind, target_column)}"
    try:
        return assemble(Path(id).name, class_names, images, *sampling, kind, passed_over, reason)
    except InputError as error:
        if kind != "single_label" or not _holds_whole_numbers(features[label]):
            raise
        raise InputError(f"{error}; for numbers to predict set dataset.target_column={label}") from error


def _describe_column(feature: Any, kind: TargetKind, target_column: str | None) -> str:
    """Return what the column to predict holds, in words that explain the kind of the dataset."""
    if target_column is not None:
        return "numbers to predict"
    if kind == "single_label" and _holds_whole_numbers(feature):
        return "whole numbers, which are classes unless dataset.target_column names it"
    return {"multi_label": "lists of labels", "regression": "floats"}.get(kind, "one class a row")


def _holds_whole_numbers(feature: Any) -> bool:
    """Return whether a column holds whole numbers that do not stand for names of classes."""
    return not hasattr(feature, "names") and "int" in getattr(feature, "dtype", "")


def _leave_out_unreadable(images: dict[Split, LabelledImages], id: str, chosen: Mapping[Split, str]) -> tuple[str, ...]:
    """Leave unreadable images out of every split, in place, and return their names."""
    damaged = list[str]()
    for split, part in images.items():
        is_readable = find_readable(part, f"{id}, {chosen[split]}")
        images[split] = part.subset(np.flatnonzero(is_readable))
        damaged += [f"{chosen[split]}, row {i}" for i in np.flatnonzero(~is_readable)]
    return tuple(damaged)


def _load_splits(id: str, config: str | None) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise InputError("dataset=huggingface needs: pip install 'transfer-exp[huggingface]'") from error
    folder = expand_user(id)
    path, _, revision = (str(folder), "", "") if folder.is_dir() else id.partition("@")
    if not (folder.is_dir() or datasets.config.HF_HUB_OFFLINE):
        go_offline_if_unreachable()
        datasets.config.HF_HUB_OFFLINE = is_offline()  # the library copied it when it was imported
    options = {"data_files": files} if (files := _split_files(folder)) else {}
    try:
        # Releases before 4.0 would ask whether to run a dataset's script; later releases never run one.
        splits = datasets.load_dataset(path, name=config, revision=revision or None, trust_remote_code=False, **options)
    # The hub, the network, the cache and the file formats raise many types.
    except Exception as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"cannot load dataset.id={id} ({cause}): check the id and the connection, or give a local folder"
        ) from error
    if len(splits) == 1 and folder.is_dir():
        refuse_similar(folder)  # `datasets` has made one split of them
    return splits


def _split_files(folder: Path) -> dict[str, str]:
    """Return the files of each split of a local folder if their names have capitals, which `datasets` ignores."""
    names = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    splits = {str(split): f"{name}/**" for name in sorted(names) if (split := split_of(name))}
    return splits if "train" in splits and any(split_of(name) and name != name.lower() for name in names) else {}


def _choose_splits(splits: Any, train: str | None, validation: str | None, test: str | None) -> dict[Split, str]:
    """Return the name of each split, with None replaced by a usual name that exists; refuse to use one split twice."""
    names_by_split: dict[Split, str | None] = {"train": train, "validation": validation, "test": test}
    if train is None and len(splits) == 1:
        names_by_split["train"] = next(iter(splits))
    chosen: dict[Split, str] = {}
    for split, option in names_by_split.items():
        usual = [
            name
            for name in splits
            if split_of(name) == split and name not in (*names_by_split.values(), *chosen.values())
        ]
        name = option or (split if split in usual else next(iter(usual), None))
        if name is not None:
            chosen[split] = name
    if not {"train"} & {*chosen, *splits}:
        raise InputError(f"none of the splits {', '.join(splits)} is called train: set dataset.train and dataset.test")
    chosen.setdefault("train", "train")
    if len(set(chosen.values())) < len(chosen):
        names = ", ".join(chosen.values())
        raise InputError(f"dataset.train, validation and test must be different splits, not {names}")
    return chosen


def _choose_columns(
    features: Any, image: str | None, label: str | None, target: str | None, id: str
) -> tuple[str, str]:
    """Return the names of the column of images, and of that of labels or numbers."""
    import datasets

    image = _choose_column(features, image, datasets.Image, "image_column", id)
    if not isinstance(features[image], datasets.Image):
        raise InputError(f"column {image!r} of {id} holds no images: set dataset.image_column to another one")
    if target is not None:
        return image, _check_target_column(features, target, label, id)
    label = _choose_column(features, label, datasets.ClassLabel, "label_column", id)
    if not isinstance(getattr(features[label], "feature", features[label]), (datasets.ClassLabel, datasets.Value)):
        raise InputError(f"column {label!r} of {id} holds no labels: set dataset.label_column to another one")
    return image, label


def _check_target_column(features: Any, target: str, label: str | None, id: str) -> str:
    """Return the name of a column of numbers to predict; InputError if it holds others, or labels are named too."""
    import datasets

    if label is not None:
        raise InputError(
            f"dataset.label_column={label} and target_column={target} both name what to predict: keep one of them"
        )
    feature = features[_choose_column(features, target, datasets.Value, "target_column", id)]
    if not isinstance(feature, datasets.Value) or not feature.dtype.startswith(("int", "uint", "float")):
        raise InputError(f"column {target!r} of {id} holds no numbers: set dataset.label_column={target} for labels")
    return target


def _choose_column(features: Any, name: str | None, kind: type, option: str, id: str) -> str:
    """Return the column ``name`` if it exists, or for None the only column of a type."""
    import datasets

    if name is not None:
        if name not in features:
            raise InputError(f"{id} has no column {name!r}: {suggestion(name, features)}")
        return name
    columns = [column for column, feature in features.items() if isinstance(feature, kind)]
    columns = columns or [c for c, feature in features.items() if isinstance(getattr(feature, "feature", None), kind)]
    if len(columns) != 1:
        names = ", ".join(columns or features)
        advice = ", or dataset.target_column to one of numbers" if kind is datasets.ClassLabel else ""
        advice += ", or read a folder of images with dataset=image_folder" if expand_user(id).is_dir() else ""
        raise InputError(
            f"{id} has {len(columns)} columns of type {kind.__name__}: set dataset.{option} to one of {names}{advice}"
        )
    return str(columns[0])


def _target_kind(feature: Any) -> TargetKind:
    """Return what a column with this feature asks a model to predict."""
    if hasattr(feature, "feature"):
        return "multi_label"
    return "regression" if getattr(feature, "dtype", "").startswith("float") else "single_label"


def _read_targets(
    splits: Mapping[Split, Any], column: str, id: str, kind: TargetKind
) -> tuple[tuple[str, ...], dict[Split, tuple[Labels, Targets | None]]]:
    """Return the class names, and the labels and targets of every split (see `LabelledImages`)."""
    class_names, codes = _read_classes(list(splits.values()), column, kind)
    answers = {split: _read_answers(rows, column, codes, f"{id}, {split}", kind) for split, rows in splits.items()}
    if kind == "regression":
        bounds, class_names = number_groups(answers["train"][:, 0])
        return class_names, {split: (group_numbers(part[:, 0], bounds), part) for split, part in answers.items()}
    if kind == "multi_label":
        train = answers["train"]
        return class_names, {split: (rarest_labels(part, train), part) for split, part in answers.items()}
    return class_names, {split: (part, None) for split, part in answers.items()}


def _read_classes(splits: Sequence[Any], column: str, kind: TargetKind) -> tuple[tuple[str, ...], dict[Any, int]]:
    """Return the class names, and the label of each value of the column; values of a plain column are sorted."""
    if kind == "regression":
        return (), {}
    feature = splits[0].features[column]
    names = getattr(getattr(feature, "feature", feature), "names", None)
    values: Sequence[Any] = range(len(names or ()))
    if names is None:
        cells = (value for split in splits for value in split[column] if value is not None)
        values = sorted({value for cell in cells for value in (cell if kind == "multi_label" else (cell,))})
    cleaned = [clean_name(str(value if names is None else names[value])) for value in values]
    # Names that differ in the Unicode form of an accent only are one class.
    positions = {name: i for i, name in enumerate(dict.fromkeys(cleaned))}
    return tuple(positions), {value: positions[name] for value, name in zip(values, cleaned, strict=True)}


def _allowed_folders(id: str) -> list[Path]:
    """Return the folders that may hold files of the dataset: a local dataset's folder and the libraries' caches."""
    import datasets
    from huggingface_hub import constants

    caches = (datasets.config.HF_DATASETS_CACHE, datasets.config.DOWNLOADED_DATASETS_PATH, constants.HF_HUB_CACHE)
    return [folder.resolve() for folder in map(Path, (expand_user(id), *caches)) if folder.is_dir()]


def _load_images(
    split: Any,
    column: str,
    labels: Labels,
    targets: Targets | None,
    label: str,
    folders: Sequence[Path],
    decoder: ImageDecoder,
) -> LabelledImages:
    """Return the images of one split, decoded on reading."""
    import datasets

    encoded = split.cast_column(column, datasets.Image(decode=False)).select_columns([column])

    def name_row(i: int) -> str:
        return f"{label}, row {i}"

    def read_content(i: int) -> bytes:
        cell = encoded[i][column]
        if cell is None:
            raise InputError(f"{name_row(i)} has no image: leave it out")
        if cell["bytes"] is not None:
            return bytes(cell["bytes"])
        path = Path(cell["path"]).resolve()
        if not any(path.is_relative_to(folder) for folder in folders):
            raise InputError(f"{name_row(i)} names a file outside the dataset, {path}: leave it out")
        return read_bytes(path)

    return load_encoded(read_content, labels, name_row, _REMEDY, targets, decoder)


def _read_answers(split: Any, column: str, codes: dict[Any, int], label: str, kind: TargetKind) -> np.ndarray:
    """Return what to predict for the rows of a split, checked: labels (N,), zeros and ones (N, C) or numbers (N, 1)."""
    values = list(split[column])
    if kind == "regression":
        for row, value in enumerate(values):
            if value is None or not np.isfinite(value):
                raise InputError(f"{label}, row {row}: {column}={value} is not a number: leave it out")
        return np.array(values, dtype=np.float64)[:, None]
    if kind == "multi_label":
        targets = np.zeros((len(values), len(set(codes.values()))), dtype=np.int64)
        for row, cell in enumerate(values):
            unknown = [value for value in cell or () if value not in codes]
            if unknown or not cell:
                problem = f"{column}={unknown[0]} is not among its classes" if unknown else "has no label"
                raise InputError(f"{label}, row {row}: {problem}: leave it out")
            targets[row, [codes[value] for value in cell]] = 1
        return targets
    for value in values:
        if value in _WITHHELD:
            raise InputError(f"{label}: labels are withheld ({column}={value}): set another split")
        if value not in codes:
            raise InputError(f"{label}: {column}={value} is not among the classes of the dataset")
    return np.array([codes[value] for value in values], dtype=np.int64)


def _is_withheld(cell: Any) -> bool:
    """Return whether an entry of a label column stands for unknown labels."""
    return not cell if isinstance(cell, list) else cell in _WITHHELD
