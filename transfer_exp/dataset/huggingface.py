"""Image classification sets of the Hugging Face hub, or a local folder laid out like one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from transfer_exp.dataset.image_file import read_bytes, read_rgb
from transfer_exp.dataset.stratification import stratified_split
from transfer_exp.dataset.target_dataset import LabelledImages, TargetDataset
from transfer_exp.errors import InputError, suggestion

_VALIDATION = ("validation", "valid", "val")


def huggingface(
    id: str,
    config: str | None = None,
    train: str | None = None,
    validation: str | None = None,
    test: str | None = None,
    test_fraction: float = 0.3,
    image_column: str | None = None,
    label_column: str | None = None,
    scoring_set_size: int | None = None,
    seed: int = 0,
) -> TargetDataset:
    """Return the dataset ``id``, of which no code is ever run.

    Parameters
    ----------
    id
        ``owner/name`` on the hub, ``owner/name@revision`` to make a result repeatable, or a local folder.
    config
        Name of a configuration; None for the default one.
    train, validation, test
        Names of the splits. None takes the one of the usual name (for ``train`` also the only one); without a
        test split, ``test_fraction`` of every class of ``train`` is held out by ``seed``. All must differ.
    test_fraction
        In (0, 1); unused where there is a test split.
    image_column, label_column
        None for the only image and the only class label among the features. A label column of integers or
        strings must be named.
    scoring_set_size
        Training images to score on, stratified; None for all.
    seed
        Decides the draws.

    Raises
    ------
    InputError
        When `datasets` is not installed, the set cannot be fetched, a split or column is missing or
        ambiguous, or labels are withheld.
    """
    splits = _load(id, config)
    train, validation, test = names = _names(splits, train, validation, test)
    read = {name: _split(splits, name, id) for name in names if name is not None}
    columns = _columns(read[train].features, image_column, label_column, id)
    class_names, known = _classes(read[train], columns[1])
    images = {name: _images(split, columns, known, f"{id}, {name}", _homes(id)) for name, split in read.items()}
    if test is None:
        kept, held_out = stratified_split(images[train].labels, test_fraction, seed)
        train_images, test_images = images[train].subset(kept), images[train].subset(held_out)
    else:
        train_images, test_images = images[train], images[test]
    scoring_set = train_images.stratified(scoring_set_size, seed)
    name = Path(id).name
    held = None if validation is None else images[validation]
    return TargetDataset(name, class_names, train_images, test_images, scoring_set, held)


def _load(id: str, config: str | None) -> Any:
    """Return the splits by name."""
    try:
        import datasets
    except ImportError as error:
        raise InputError("dataset=huggingface needs: pip install 'transfer-exp[huggingface]'") from error
    folder = Path(id).expanduser()
    path, _, revision = (str(folder), "", "") if folder.is_dir() else id.partition("@")
    try:
        # Releases before 4.0 would ask whether to run a dataset's script; later ones never do.
        return datasets.load_dataset(path, name=config, revision=revision or None, trust_remote_code=False)
    # The hub, the network, the cache and the file formats each raise their own kinds of error.
    except Exception as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"cannot load dataset.id={id} ({cause}): check the id and the connection, or give a local folder"
        ) from error


def _names(
    splits: Any, train: str | None, validation: str | None, test: str | None
) -> tuple[str, str | None, str | None]:
    """Fill in the usual names of splits that exist; refuse to use one split twice."""
    train = train or (next(iter(splits)) if len(splits) == 1 else "train")
    usual = [name for name in _VALIDATION if name in splits and name not in (train, test)]
    validation = validation or next(iter(usual), None)
    if test is None and "test" in splits and "test" not in (train, validation):
        test = "test"
    given = [name for name in (train, validation, test) if name is not None]
    if len(set(given)) < len(given):
        raise InputError(f"dataset.train, validation and test must be different splits, not {', '.join(given)}")
    return train, validation, test


def _split(splits: Any, name: str, id: str) -> Any:
    """Return one split, or refuse with those there are."""
    if name not in splits:
        raise InputError(f"{id} has no split {name!r}: {suggestion(name, splits)}")
    return splits[name]


def _columns(features: Any, image: str | None, label: str | None, id: str) -> tuple[str, str]:
    """Return the names of the image and the label column."""
    import datasets

    image = _column(features, image, datasets.Image, "image_column", id)
    label = _column(features, label, datasets.ClassLabel, "label_column", id)
    if not isinstance(features[image], datasets.Image):
        raise InputError(f"column {image!r} of {id} holds no images: name another dataset.image_column")
    if not isinstance(features[label], (datasets.ClassLabel, datasets.Value)):
        raise InputError(f"column {label!r} of {id} is not one label an image: name another dataset.label_column")
    return image, label


def _column(features: Any, given: str | None, kind: type, option: str, id: str) -> str:
    """Return the column asked for, or the only one of a kind."""
    if given is not None:
        if given not in features:
            raise InputError(f"{id} has no column {given!r}: {suggestion(given, features)}")
        return given
    found = [name for name, feature in features.items() if isinstance(feature, kind)]
    if len(found) != 1:
        names = ", ".join(found or features)
        raise InputError(
            f"{id} has {len(found)} columns of type {kind.__name__}: set dataset.{option} to one of {names}"
        )
    return str(found[0])


def _classes(split: Any, column: str) -> tuple[tuple[str, ...], dict[Any, int]]:
    """Names of the classes, and the label of each value of the column; a plain column's values are sorted."""
    names = getattr(split.features[column], "names", None)
    if names is not None:
        return tuple(names), {i: i for i in range(len(names))}
    values = sorted({value for value in split[column] if value is not None})
    return tuple(str(value) for value in values), {value: i for i, value in enumerate(values)}


def _homes(id: str) -> list[Path]:
    """Folders in which a set keeps its files: its own where it is local, and what the libraries fetch to."""
    import datasets
    from huggingface_hub import constants

    caches = (datasets.config.HF_DATASETS_CACHE, datasets.config.DOWNLOADED_DATASETS_PATH, constants.HF_HUB_CACHE)
    return [home.resolve() for home in map(Path, (Path(id).expanduser(), *caches)) if home.is_dir()]


def _images(
    split: Any, columns: tuple[str, str], known: dict[Any, int], where: str, homes: Sequence[Path]
) -> LabelledImages:
    """Images of one split, left encoded until they are read; the fingerprint is the encoded bytes."""
    import datasets

    image, label = columns
    encoded = split.cast_column(image, datasets.Image(decode=False)).select_columns([image])

    def called(i: int) -> str:
        return f"{where}, row {i}"

    def content(i: int) -> bytes:
        cell = encoded[i][image]
        if cell is None:
            raise InputError(f"{called(i)} has no image: leave it out")
        if cell["bytes"] is not None:
            return bytes(cell["bytes"])
        path = Path(cell["path"]).resolve()
        if not any(path.is_relative_to(home) for home in homes):
            raise InputError(f"{called(i)} names a file outside the dataset, {path}: leave it out")
        return read_bytes(path)

    def read(i: int) -> Any:
        return read_rgb(content(i), called(i), "leave it out or fetch the dataset again")

    return LabelledImages(_labels(split, label, known, where), read, content, name=called)


def _labels(split: Any, column: str, known: dict[Any, int], where: str) -> Int[np.ndarray, " samples"]:
    """Labels in [0, C), (N,)."""
    values = list(split[column])
    for value in values:
        if value in (-1, None):
            raise InputError(f"{where}: labels are withheld ({column}={value}): name another split")
        if value not in known:
            raise InputError(f"{where}: {column}={value} is not among the classes of the training split")
    return np.array([known[value] for value in values], dtype=np.int64)
