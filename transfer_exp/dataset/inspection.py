"""What a dataset holds, and what is wrong with it: looked at before anything is computed from it."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from transfer_exp.dataset.duplicates import Group, copies, look_alikes, thumbnail
from transfer_exp.dataset.findings import Finding, Listed, of_classes, of_copies, of_look_alikes, of_unreadable
from transfer_exp.dataset.image_file import FORMATS, settled_warnings, to_rgb
from transfer_exp.dataset.target_dataset import LabelledImages, TargetDataset
from transfer_exp.errors import InputError, one_line
from transfer_exp.progress import Track, silent

_AT_A_TIME = 256
"""Images of which results are waited for, so that memory holds no queue of all."""
_ROWS, _ENDS = 20, 5


@dataclass(frozen=True, eq=False)
class Inspection:
    """What a dataset holds, and what is wrong with it.

    Attributes
    ----------
    name, class_names
        Of the dataset.
    home
        Folder that names in the findings are relative to; empty where images have no files.
    counts
        Images of each class (C,), by split: train, validation where there is one, test.
    widths, heights
        Smallest, median and largest in pixels, of the images that can be read; None if none can.
    kinds
        How many images are of each format and mode, as ``"JPEG RGB"``, the most frequent first; of images that have no
        file, of each mode.
    findings
        What may be wrong, empty if nothing is.
    """

    name: str
    class_names: tuple[str, ...]
    home: str
    counts: Mapping[str, Int[np.ndarray, " classes"]]
    widths: tuple[int, int, int] | None
    heights: tuple[int, int, int] | None
    kinds: Mapping[str, int]
    findings: tuple[Finding, ...]

    def lines(self) -> list[str]:
        """Return all of it as lines for a terminal; of more than twenty classes, the five smallest and largest."""
        total = sum(int(count.sum()) for count in self.counts.values())
        below = f" below {self.home}" if self.home else ""
        lines = [one_line(f"{self.name}: {len(self.class_names)} classes, {total} images{below}"), *self._table()]
        if self.widths is not None and self.heights is not None:
            ranges = [f"{low} to {high} (median {middle})" for low, middle, high in (self.widths, self.heights)]
            lines.append("widths {}, heights {} pixels".format(*ranges))
            lines.append(", ".join(f"{kind}: {count}" for kind, count in self.kinds.items()))
        found = [one_line(f"{finding.grade}: {finding.text}") for finding in self.findings]
        return lines + (found or ["nothing looks wrong"])

    def _table(self) -> list[str]:
        """Return a line for each class, with its images in every split."""
        classes = list(range(len(self.class_names)))
        rows = [[one_line(self.class_names[c]), *(str(count[c]) for count in self.counts.values())] for c in classes]
        if len(rows) > _ROWS:
            order = np.argsort(self.counts["train"], kind="stable")
            rows = [*(rows[c] for c in order[:_ENDS]), ["..."] * len(rows[0]), *(rows[c] for c in order[-_ENDS:])]
        rows.insert(0, ["class", *self.counts])
        first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
        return [
            "  ".join([row[0].ljust(first), *(cell.rjust(w) for cell, w in zip(row[1:], others, strict=True))])
            for row in rows
        ]


@dataclass(frozen=True)
class _Seen:
    """One image: the digest of its content, its format and mode, its width and height, its thumbnail."""

    digest: bytes
    kind: str
    size: tuple[int, int]
    thumbnail: UInt8[np.ndarray, " values"]


def inspect(dataset: TargetDataset, workers: int = 1, track: Track = silent) -> Inspection:
    """Look at every image of a dataset once (twice if it is damaged) and say what was found.

    Images are the same when their fingerprints are, which for files are their bytes; when they look alike is said at
    `look_alikes`. The result does not depend on ``workers``, and memory holds some 2 kB an image, not the images.

    Parameters
    ----------
    dataset
        Whatever it refuses to read is listed as unreadable.
    workers
        Threads that decode.
    track
        Told how far it is.
    """
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    parts = {name: images for name, images in splits.items() if images is not None}
    first, *others = parts.values()
    whole = first
    for images in others:
        whole = whole.joined(images)
    seen = list(_seen(whole, workers, track(f"{dataset.name}: images", len(whole))))
    sizes = np.array([one.size for one in seen if one is not None], dtype=np.int64).reshape(-1, 2)
    names = [whole.name(i) for i in range(len(whole))]
    home = os.path.commonpath(names) if all(map(os.path.isabs, names)) else ""
    listed = Listed(
        lambda i: os.path.relpath(names[i], home) if home else names[i],
        [split for split, images in parts.items() for _ in range(len(images))],
        [dataset.class_names[label] for label in whole.labels],
    )
    counts = {split: np.bincount(i.labels, minlength=len(dataset.class_names)) for split, i in parts.items()}
    findings = (*_of_images(seen, listed), *of_classes(dataset.class_names, counts))
    kinds = Counter(one.kind for one in seen if one is not None)
    return Inspection(
        dataset.name,
        dataset.class_names,
        home,
        counts,
        _range(sizes[:, 0]),
        _range(sizes[:, 1]),
        dict(kinds.most_common()),
        findings,
    )


def _seen(images: LabelledImages, workers: int, advance: Callable[[], object]) -> Iterator[_Seen | None]:
    """Yield what is seen of every image in turn; None where it cannot be read."""
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        for start in range(0, len(images), _AT_A_TIME):
            part = range(start, min(start + _AT_A_TIME, len(images)))
            with settled_warnings():
                found = list(pool.map(lambda i: _as_file(images, i), part))
            for i, one in zip(part, found, strict=True):
                yield one or _as_read(images, i)
                advance()


def _as_file(images: LabelledImages, i: int) -> _Seen | None:
    """Look at an image whose fingerprint is the content of a file; None where it is not, or is damaged."""
    try:
        content = images.fingerprint(i)
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            kind = f"{image.format} {image.mode}"
            return _Seen(hashlib.sha256(content).digest(), kind, image.size, thumbnail(to_rgb(image)))
    except Exception:  # decoders fail in every way there is; whether that is an error, the dataset's own reading says
        return None


def _as_read(images: LabelledImages, i: int) -> _Seen | None:
    """Look at an image as the dataset reads it; None where it refuses."""
    try:
        content, image = images.fingerprint(i), images.read(i)
    except InputError:
        return None
    return _Seen(hashlib.sha256(content).digest(), image.mode, image.size, thumbnail(image))


def _of_images(seen: Sequence[_Seen | None], listed: Listed) -> Iterator[Finding]:
    """Yield what is wrong with single images, and with several that are the same."""
    yield from of_unreadable([i for i, one in enumerate(seen) if one is None], listed)
    sound = [(i, one) for i, one in enumerate(seen) if one is not None]

    def placed(groups: Sequence[Group]) -> list[Group]:
        return [tuple(sound[k][0] for k in group) for group in groups]

    yield from of_copies(placed(copies([one.digest for _, one in sound])), listed)
    if sound:
        alike = look_alikes(np.stack([one.thumbnail for _, one in sound]))
        others = [group for group in alike if len({sound[k][1].digest for k in group}) > 1]
        yield from of_look_alikes(placed(others), listed)


def _range(values: Int[np.ndarray, " images"]) -> tuple[int, int, int] | None:
    """Return the smallest, median and largest value."""
    return (int(values.min()), int(np.median(values)), int(values.max())) if len(values) else None
