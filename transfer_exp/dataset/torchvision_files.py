"""Opening of torchvision datasets without decoding their images; missing data are reported in one line."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transfer_exp.dataset.image_file import check_inside, load_files
from transfer_exp.dataset.target_dataset import LabelledImages, Measure, TargetDataset
from transfer_exp.errors import InputError

logger = logging.getLogger(__name__)

REMEDY = "fetch the dataset again"


@dataclass(frozen=True)
class PublishedSet:
    """A published dataset and its location on disk.

    Attributes:
        name: The name in tables of accuracies.
        torchvision_class: Name of its class in ``torchvision.datasets``.
        classes: Published number of classes; a different number on disk is logged, because results are not comparable
            then.
        root: The folder passed to torchvision; ``~`` is expanded.
        download: True to download missing data.
        instructions: Instructions for datasets that torchvision cannot download; empty for all others.
    """

    name: str
    torchvision_class: str
    classes: int
    root: str
    download: bool
    instructions: str = ""

    def open(self, **arguments: Any) -> Any:
        """Return the torchvision dataset, downloading it only if it is missing.

        Raises:
            InputError: If the dataset is missing or incomplete; the message has instructions.
        """
        from transfer_exp.vision import torchvision

        dataset_class = getattr(torchvision.datasets, self.torchvision_class)
        folder = Path(self.root).expanduser()
        error: Exception | None = None
        for download in (False, True) if self.download and not self.instructions else (False,):
            try:
                if download:
                    folder.mkdir(parents=True, exist_ok=True)
                if folder.is_dir():
                    return dataset_class(str(folder), **arguments, **({"download": True} if download else {}))
            # torchvision's constructors raise many types for a partly extracted archive.
            except Exception as failure:
                error = failure
        raise InputError(self._describe_error(error)) from error

    def _describe_error(self, error: Exception | None) -> str:
        lines = str(error or "").splitlines()
        # torchvision's "Dataset not found" adds nothing and mentions arguments that the user does not see.
        has_cause = bool(lines) and not lines[0].startswith("Dataset not found")
        cause = f" ({lines[0]})" if has_cause else ""
        fix = "remove what is there and fetch it again" if self.download else "dataset.download=true fetches it"
        return f"{self.name} is missing or incomplete under dataset.root={self.root}{cause}: {self.instructions or fix}"

    def assemble(
        self,
        class_names: Sequence[Sequence[str]],
        splits: Sequence[LabelledImages],
        measure: Measure,
        scoring_set_size: int | None,
        seed: int,
    ) -> TargetDataset:
        """Return the dataset of ``splits`` (train, test, and optionally validation) with a random scoring set.

        Raises:
            InputError: If the splits have different class names, or `TargetDataset` refuses them.
        """
        names = tuple(str(name) for name in class_names[0])
        if any(tuple(map(str, split_names)) != names for split_names in class_names):
            raise InputError(f"the splits of {self.name} under {self.root} name different classes: {REMEDY}")
        if len(names) != self.classes:
            logger.warning(
                "%s has %d classes under %s, and %d where it is published: results do not compare",
                *(self.name, len(names), self.root, self.classes),
            )
        train, test = splits[:2]
        validation = splits[2] if len(splits) > 2 else None
        scoring_set = train.stratified_subset(scoring_set_size, seed)
        return TargetDataset(self.name, names, train, test, scoring_set, validation, measure)

    def load(self, splits: Sequence[str], measure: Measure, scoring_set_size: int | None, seed: int) -> TargetDataset:
        """Return the dataset with these splits of torchvision: train, test and optionally validation."""
        datasets = [self.open(split=split) for split in splits]
        names = [list(dataset.classes) for dataset in datasets]
        images = [load_listed_images(dataset) for dataset in datasets]
        return self.assemble(names, images, measure, scoring_set_size, seed)


def load_listed_images(dataset: Any) -> LabelledImages:
    """Return the images of a torchvision dataset that has lists of its files and labels.

    The lists are private attributes, because torchvision's public access decodes an image to return its label.
    """
    if hasattr(dataset, "_samples"):
        files, labels = zip(*dataset._samples, strict=True)
    else:
        files = dataset._images if hasattr(dataset, "_images") else dataset._image_files
        labels = dataset._labels
    return load_files(check_paths(dataset, files), np.array(labels, dtype=np.int64), REMEDY)


def check_paths(dataset: Any, files: Iterable[str | Path]) -> list[Path]:
    """Return the paths of the images of a torchvision dataset after checking that none leads out of it.

    The folders directly in the root may be links, so that the user can store a dataset elsewhere.

    Raises:
        InputError: If `check_inside` refuses a file.
    """
    root, paths = Path(dataset.root), [Path(file) for file in files]
    folders = {path: root / path.relative_to(root).parts[0] if path.is_relative_to(root) else root for path in paths}
    for folder in dict.fromkeys(folders.values()):
        check_inside(folder, [path for path in paths if folders[path] == folder])
    return paths
