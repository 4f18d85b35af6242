"""Open a torchvision dataset without decoding it, with one line on how to get it when it is missing."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transfer_exp.dataset.image_file import labelled_files, refuse_outside
from transfer_exp.dataset.target_dataset import LabelledImages, Measure, TargetDataset
from transfer_exp.errors import InputError

logger = logging.getLogger(__name__)

REMEDY = "fetch the dataset again"


@dataclass(frozen=True)
class PublishedSet:
    """A set of the literature and where its copy lies.

    Attributes
    ----------
    name
        As in tables of accuracies.
    torchvision_class
        Of ``torchvision.datasets``.
    classes
        How many the literature counts; fewer on disk is reported, since results then do not compare.
    root
        The folder given to torchvision; ``~`` is expanded.
    download
        Fetch what is missing.
    by_hand
        Where to get it when torchvision cannot; empty when it can.
    """

    name: str
    torchvision_class: str
    classes: int
    root: str
    download: bool
    by_hand: str = ""

    def open(self, **arguments: Any) -> Any:
        """Return the torchvision dataset, downloading it only if it is not there already.

        Raises
        ------
        InputError
            When it is missing or incomplete, with the way to get it.
        """
        from transfer_exp.vision import torchvision

        maker = getattr(torchvision.datasets, self.torchvision_class)
        folder = Path(self.root).expanduser()
        error: Exception | None = None
        for download in (False, True) if self.download and not self.by_hand else (False,):
            try:
                if download:
                    folder.mkdir(parents=True, exist_ok=True)
                if folder.is_dir():
                    return maker(str(folder), **arguments, **({"download": True} if download else {}))
            # Another library's constructor: a half-extracted archive shows as any kind of error.
            except Exception as failure:
                error = failure
        raise InputError(self._missing(error)) from error

    def _missing(self, error: Exception | None) -> str:
        """One line: what was not found, why, and how to get it."""
        lines = str(error or "").splitlines()
        # torchvision's "Dataset not found" adds nothing and speaks of its own arguments.
        known = not lines or lines[0].startswith("Dataset not found")
        cause = "" if known else f" ({lines[0]})"
        fetch = "remove what is there and fetch it again" if self.download else "dataset.download=true fetches it"
        where = f"{self.name} is missing or incomplete under dataset.root={self.root}"
        return f"{where}{cause}: {self.by_hand or fetch}"

    def assemble(
        self,
        class_names: Sequence[Sequence[str]],
        splits: Sequence[LabelledImages],
        measure: Measure,
        scoring_set_size: int | None,
        seed: int,
    ) -> TargetDataset:
        """Put ``splits`` (train, test, and validation if there is one) together and draw the scoring set.

        Raises
        ------
        InputError
            When the splits name different classes, or as `TargetDataset`.
        """
        names = tuple(str(name) for name in class_names[0])
        if any(tuple(map(str, other)) != names for other in class_names):
            raise InputError(f"the splits of {self.name} under {self.root} name different classes: {REMEDY}")
        if len(names) != self.classes:
            logger.warning(
                "%s has %d classes under %s, and %d where it is published: results do not compare",
                *(self.name, len(names), self.root, self.classes),
            )
        train, test = splits[:2]
        validation = splits[2] if len(splits) > 2 else None
        scoring_set = train.stratified(scoring_set_size, seed)
        return TargetDataset(self.name, names, train, test, scoring_set, validation, measure)

    def published(
        self, splits: Sequence[str], measure: Measure, scoring_set_size: int | None, seed: int
    ) -> TargetDataset:
        """Return the set with torchvision's splits of these names: train, test and, if any, validation."""
        opened = [self.open(split=split) for split in splits]
        names = [list(dataset.classes) for dataset in opened]
        return self.assemble(names, [listed_images(dataset) for dataset in opened], measure, scoring_set_size, seed)


def listed_images(dataset: Any) -> LabelledImages:
    """Return the images of a torchvision dataset that keeps lists of its files and labels.

    Those lists are private to torchvision, but its public access decodes an image to give a label.
    """
    if hasattr(dataset, "_samples"):
        files, labels = zip(*dataset._samples, strict=True)
    else:
        files = dataset._images if hasattr(dataset, "_images") else dataset._image_files
        labels = dataset._labels
    return labelled_files(inside(dataset, files), np.array(labels, dtype=np.int64), REMEDY)


def inside(dataset: Any, files: Iterable[str | Path]) -> list[Path]:
    """Return the paths of the images of a torchvision dataset, none of which its lists or links put elsewhere.

    What lies directly in the root may be a link of the user's to wherever the set is kept.

    Raises
    ------
    InputError
        As `refuse_outside`.
    """
    root, paths = Path(dataset.root), [Path(file) for file in files]
    homes = {path: root / path.relative_to(root).parts[0] if path.is_relative_to(root) else root for path in paths}
    for home in dict.fromkeys(homes.values()):
        refuse_outside(home, [path for path in paths if homes[path] == home])
    return paths
