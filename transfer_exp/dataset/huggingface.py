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
"""Values of a label column that stand for an unknown label; competitions withhold the labels of test images."""


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
        id: ``owner/name`` on the hub, or a local folder. ``owner/name@revision`` makes the result repeatable.
        config: Name of a configuration of the dataset; None for the default one.
        train, validation, test: Names of three different splits of the dataset. None selects a split whose name
            `split_of` knows, and passes over a validation or test split without labels. If the dataset has one split
            only, it is ``train`` by default under any name.
        test_fraction: Fraction of every class to hold out of ``train`` if there is no test split.
        image_column: Name of the column of images; None for the only one.
        label_column: Name of the column of labels. None selects the only column of class labels, or of lists of them.
            A column of integers or strings (classes), of lists of them (several labels), or of floats (numbers to
            predict) must be named.
        target_column: Name of a column of floats or integers, such as ages, that are numbers to predict; it replaces
            ``label_column``.
        scoring_set_size, seed, on_unreadable, background, pixel_range: Arguments of `image_folder`.

    Raises:
        InputError: If `datasets` is not installed, a download fails, a split or column is missing or ambiguous,
            or labels are withheld.
    """
    hub_splits = _load_splits(id, config)
    split_names = _choose_splits(hub_splits, train, validation, test, id)
    features = hub_splits[split_names["train"]].features
    image_column, column = _choose_columns(features, image_column, label_column, target_column, id)
    optional = [split for split, name in (("validation", validation), ("test", test)) if name is None]
    passed_over = _leave_out_unlabelled(split_names, optional, hub_splits, column)
    kind = "regression" if target_column is not None else _target_kind(features[column])
    splits = {split: hub_splits[name] for split, name in split_names.items()}
    class_names, labels_and_targets = _read_targets(splits, column, id, kind)
    decoder, folders = ImageDecoder(background, pixel_range), _allowed_folders(id)
    images_by_split = {}
    for split, rows in splits.items():
        labels, targets = labels_and_targets[split]
        source = f"{id}, {split_names[split]}"
        images_by_split[split] = _load_images(rows, image_column, labels, targets, source, folders, decoder)
    if is_skip(on_unreadable) and (damaged := _leave_out_unreadable(images_by_split, id, split_names)):
        passed_over[NOT_READABLE] = damaged
    reason = f"its column {column} holds {_describe_column(features[column], kind, target_column)}"
    try:
        return assemble(
            Path(id).name,
            class_names,
            images_by_split,
            test_fraction,
            scoring_set_size,
            seed,
            kind,
            passed_over,
            reason,
        )
    except InputError as error:
        if kind != "single_label" or not _holds_whole_numbers(features[column]):
            raise
        raise InputError(f"{error}; for numbers to predict set dataset.target_column={column}") from error


def _describe_column(feature: Any, kind: TargetKind, target_column: str | None) -> str:
    """Return a phrase for the content of the column to predict, which decides the kind of the dataset."""
    if target_column is not None:
        return "numbers to predict"
    if kind == "single_label" and _holds_whole_numbers(feature):
        return "whole numbers, which are classes unless dataset.target_column names it"
    return {"multi_label": "lists of labels", "regression": "floats"}.get(kind, "one class a row")


def _holds_whole_numbers(feature: Any) -> bool:
    """Return whether a column holds whole numbers, other than the codes of named classes."""
    return not hasattr(feature, "names") and "int" in getattr(feature, "dtype", "")


def _leave_out_unlabelled(
    split_names: dict[Split, str], optional: Sequence[str], hub_splits: Any, column: str
) -> dict[str, tuple[str, ...]]:
    """Remove optional splits without labels, in place, and return the names of their images by the reason."""
    passed_over = {}
    for split, name in list(split_names.items()):
        if split in optional and all(map(_is_withheld, hub_splits[name][column])):
            del split_names[split]
            passed_over[no_label_reason(split)] = tuple(f"{name}, row {i}" for i in range(len(hub_splits[name])))
    return passed_over


def _leave_out_unreadable(
    images_by_split: dict[Split, LabelledImages], id: str, split_names: Mapping[Split, str]
) -> tuple[str, ...]:
    """Leave unreadable images out of every split, in place, and return their names."""
    damaged = list[str]()
    for split, images in images_by_split.items():
        is_readable = find_readable(images, f"{id}, {split_names[split]}")
        images_by_split[split] = images.subset(np.flatnonzero(is_readable))
        damaged += [f"{split_names[split]}, row {i}" for i in np.flatnonzero(~is_readable)]
    return tuple(damaged)


def _load_splits(id: str, config: str | None) -> Any:
    """Return the splits of a dataset by their names in the dataset, as tables of the library `datasets`."""
    try:
        import datasets
    except ImportError as error:
        raise InputError("dataset=huggingface needs: pip install 'transfer-exp[huggingface]'") from error
    folder = expand_user(id)
    path, _, revision = (str(folder), "", "") if folder.is_dir() else id.partition("@")
    if not (folder.is_dir() or datasets.config.HF_HUB_OFFLINE):
        go_offline_if_unreachable()
        datasets.config.HF_HUB_OFFLINE = is_offline()  # the library copied it when it was imported
    data_files = _split_patterns(folder)
    options = {"data_files": data_files} if data_files else {}
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
        refuse_similar(folder)  # `datasets` reads folders such as fold1 and fold2 as one split
    return splits


def _split_patterns(folder: Path) -> dict[str, str]:
    """Return the file pattern of each split of a local folder, if the names of split folders have capitals, else {}.

    `datasets` finds split folders itself, but only those with names in lower case.
    """
    names = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    patterns = {str(split): f"{name}/**" for name in sorted(names) if (split := split_of(name))}
    return patterns if "train" in patterns and any(split_of(name) and name != name.lower() for name in names) else {}


def _choose_splits(
    hub_splits: Any, train: str | None, validation: str | None, test: str | None, id: str
) -> dict[Split, str]:
    """Return the name in the dataset of each split: the requested one, or one that `split_of` knows if it is None.

    A validation or test split that is neither requested nor found is missing. Using one split twice is refused.
    """
    requested: dict[Split, str | None] = {"train": train, "validation": validation, "test": test}
    if train is None and len(hub_splits) == 1:
        requested["train"] = next(iter(hub_splits))
    split_names: dict[Split, str] = {}
    for split, requested_name in requested.items():
        used = (*requested.values(), *split_names.values())
        candidates = [name for name in hub_splits if split_of(name) == split and name not in used]
        name = requested_name or (split if split in candidates else next(iter(candidates), None))
        if name is not None:
            split_names[split] = name
    if not {"train"} & {*split_names, *hub_splits}:
        names = ", ".join(hub_splits)
        raise InputError(f"none of the splits {names} is called train: set dataset.train and dataset.test")
    split_names.setdefault("train", "train")
    if len(set(split_names.values())) < len(split_names):
        names = ", ".join(split_names.values())
        raise InputError(f"dataset.train, validation and test must be different splits, not {names}")
    for name in split_names.values():
        if name not in hub_splits:
            raise InputError(f"{id} has no split {name!r}: {suggestion(name, hub_splits)}")
    return split_names


def _choose_columns(
    features: Any, image: str | None, label: str | None, target: str | None, id: str
) -> tuple[str, str]:
    """Return the names of the column of images and of the column to predict, given the requested names."""
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
    """Return ``target``; InputError if it is not a column of numbers, or a column of labels is requested, too."""
    import datasets

    if label is not None:
        raise InputError(
            f"dataset.label_column={label} and target_column={target} both name what to predict: keep one of them"
        )
    feature = features[_choose_column(features, target, datasets.Value, "target_column", id)]
    if not isinstance(feature, datasets.Value) or not feature.dtype.startswith(("int", "uint", "float")):
        raise InputError(f"column {target!r} of {id} holds no numbers: set dataset.label_column={target} for labels")
    return target


def _choose_column(features: Any, name: str | None, feature_type: type, setting: str, id: str) -> str:
    """Return ``name`` if there is such a column; for None, the name of the only column of a type, or of lists of it."""
    import datasets

    if name is not None:
        if name not in features:
            raise InputError(f"{id} has no column {name!r}: {suggestion(name, features)}")
        return name
    columns = [column for column, feature in features.items() if isinstance(feature, feature_type)]
    columns = columns or [
        column for column, feature in features.items() if isinstance(getattr(feature, "feature", None), feature_type)
    ]
    if len(columns) != 1:
        names = ", ".join(columns or features)
        advice = ", or dataset.target_column to one of numbers" if feature_type is datasets.ClassLabel else ""
        advice += ", or read a folder of images with dataset=image_folder" if expand_user(id).is_dir() else ""
        raise InputError(
            f"{id} has {len(columns)} columns of type {feature_type.__name__}: "
            f"set dataset.{setting} to one of {names}{advice}"
        )
    return str(columns[0])


def _target_kind(feature: Any) -> TargetKind:
    """Return the kind of a dataset whose column to predict has this type of the library `datasets`."""
    if hasattr(feature, "feature"):
        return "multi_label"
    return "regression" if getattr(feature, "dtype", "").startswith("float") else "single_label"


def _read_targets(
    splits: Mapping[Split, Any], column: str, id: str, kind: TargetKind
) -> tuple[tuple[str, ...], dict[Split, tuple[Labels, Targets | None]]]:
    """Return the class names, and the labels and targets of every split (see `LabelledImages`)."""
    class_names, codes = _read_classes(list(splits.values()), column, kind)
    values = {split: _read_column(rows, column, codes, f"{id}, {split}", kind) for split, rows in splits.items()}
    if kind == "regression":
        bounds, class_names = number_groups(values["train"][:, 0])
        groups = {split: group_numbers(numbers[:, 0], bounds) for split, numbers in values.items()}
        return class_names, {split: (groups[split], numbers) for split, numbers in values.items()}
    if kind == "multi_label":
        train = values["train"]
        return class_names, {split: (rarest_labels(targets, train), targets) for split, targets in values.items()}
    return class_names, {split: (labels, None) for split, labels in values.items()}


def _read_classes(splits: Sequence[Any], column: str, kind: TargetKind) -> tuple[tuple[str, ...], dict[Any, int]]:
    """Return the class names, and the label in [0, C) of each value of the column.

    A column of class labels has names, in an order of its own. The values of another column are sorted.
    """
    if kind == "regression":
        return (), {}
    feature = splits[0].features[column]
    names = getattr(getattr(feature, "feature", feature), "names", None)
    values: Sequence[Any] = range(len(names or ()))
    if names is None:
        cells = (value for split in splits for value in split[column] if value is not None)
        values = sorted({value for cell in cells for value in (cell if kind == "multi_label" else (cell,))})
    cleaned = [clean_name(str(value if names is None else names[value])) for value in values]
    # Names that differ only in the Unicode form of an accent are one class.
    positions = {name: i for i, name in enumerate(dict.fromkeys(cleaned))}
    return tuple(positions), {value: positions[name] for value, name in zip(values, cleaned, strict=True)}


def _allowed_folders(id: str) -> list[Path]:
    """Return the folders that may hold image files: that of a local dataset, and the caches of the libraries."""
    import datasets
    from huggingface_hub import constants

    caches = (datasets.config.HF_DATASETS_CACHE, datasets.config.DOWNLOADED_DATASETS_PATH, constants.HF_HUB_CACHE)
    return [folder.resolve() for folder in map(Path, (expand_user(id), *caches)) if folder.is_dir()]


def _load_images(
    rows: Any,
    column: str,
    labels: Labels,
    targets: Targets | None,
    source: str,
    folders: Sequence[Path],
    decoder: ImageDecoder,
) -> LabelledImages:
    """Return the images of one split, decoded on reading; ``source`` names the split in error messages."""
    import datasets

    encoded = rows.cast_column(column, datasets.Image(decode=False)).select_columns([column])

    def name_row(i: int) -> str:
        return f"{source}, row {i}"

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


def _read_column(rows: Any, column: str, codes: dict[Any, int], source: str, kind: TargetKind) -> np.ndarray:
    """Return the checked values to predict in a split: labels (N,), zeros and ones (N, C), or numbers (N, 1).

    ``codes`` has the label of each value (`_read_classes`), and ``source`` names the split in error messages.
    """
    values = list(rows[column])
    if kind == "regression":
        for row, value in enumerate(values):
            if value is None or not np.isfinite(value):
                raise InputError(f"{source}, row {row}: {column}={value} is not a number: leave it out")
        return np.array(values, dtype=np.float64)[:, None]
    if kind == "multi_label":
        targets = np.zeros((len(values), len(set(codes.values()))), dtype=np.int64)
        for row, cell in enumerate(values):
            unknown = [value for value in cell or () if value not in codes]
            if unknown or not cell:
                problem = f"{column}={unknown[0]} is not among its classes" if unknown else "has no label"
                raise InputError(f"{source}, row {row}: {problem}: leave it out")
            targets[row, [codes[value] for value in cell]] = 1
        return targets
    for value in values:
        if value in _WITHHELD:
            raise InputError(f"{source}: labels are withheld ({column}={value}): set another split")
        if value not in codes:
            raise InputError(f"{source}: {column}={value} is not among the classes of the dataset")
    return np.array([codes[value] for value in values], dtype=np.int64)


def _is_withheld(cell: Any) -> bool:
    """Return whether an entry of a label column stands for unknown labels."""
    return not cell if isinstance(cell, list) else cell in _WITHHELD
