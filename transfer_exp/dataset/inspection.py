"""Inspection of a dataset before anything is computed from it: a summary of its images, and its possible faults."""

from __future__ import annotations

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import PIL
from jaxtyping import Int, UInt8

from transfer_exp.dataset.arrays import FeatureArrays
from transfer_exp.dataset.findings import (
    Extrema,
    ImageIndex,
    create_thumbnail,
    find_flat_and_dark,
    report_classes,
    report_decoding,
    report_duplicates,
    report_passed_over,
    report_plain,
    report_unreadable,
)
from transfer_exp.dataset.image_decoding import ImageFacts, allowed_formats, filter_pillow_warnings, image_facts
from transfer_exp.dataset.split_names import Part
from transfer_exp.dataset.target_dataset import LabelledImages, TargetDataset
from transfer_exp.errors import InputError, one_line
from transfer_exp.io.atomic import digest
from transfer_exp.io.measures import ORDINAL
from transfer_exp.progress import Track, phase, silent, track
from transfer_exp.statistics.feature_set import describe_targets
from transfer_exp.store import Store
from transfer_exp.store.entries import INSPECTION

_BATCH = 256
"""Images that are queued at once, which bounds memory."""
_MAX_CLASSES, _SHOWN_AT_EACH_END, _MAX_NAMES = 20, 5, 4
"""Longest table of classes, classes shown at each end of a longer one, and names in a message."""
ALL_SPLITS: tuple[Part, ...] = ("train", "validation", "test")
SCORING_SET: tuple[Part, ...] = ("scoring_set",)
_VERSION = 1
"""Part of every cache key. Raise it when the same images give other findings than before."""
_log = logging.getLogger(__name__)
_logged: set[tuple[str, str]] = set()
"""Name of the dataset and line of the findings that this process has logged."""


@dataclass(frozen=True)
class Inspection:
    """Summary of a dataset and its possible faults.

    Attributes:
        lines: Lines for a terminal: the classes (of over 20, the five smallest and largest), the smallest, median and
            largest widths and heights in pixels, the number of images by format and mode such as ``"JPEG RGB"`` (by
            mode only if the images are not files), and the findings.
        findings: A line for each possible fault.
        unreadable: Message about each image that cannot be read, by its name.
    """

    lines: list[str]
    findings: list[str]
    unreadable: dict[str, str]


@dataclass(frozen=True)
class _ImageSummary:
    facts: ImageFacts
    size: tuple[int, int]
    digest: bytes
    extrema: Extrema
    thumbnail: UInt8[np.ndarray, " values"]


def inspect_dataset(
    dataset: TargetDataset, workers: int = 1, start_bar: Track = silent, splits: Sequence[Part] = ALL_SPLITS
) -> Inspection:
    """Read every image of some splits once and return a summary of the dataset with the possible faults.

    Duplicates have equal pixels; `findings.group_similar` defines images that look the same. Memory holds about 2 kB
    per image.

    Args:
        dataset: The dataset; images that it refuses to read are reported as unreadable.
        workers: Number of decoding threads; the result does not depend on it.
        start_bar: Function that starts a progress bar (see `transfer_exp.progress`).
        splits: Splits to read images of. Images per class are counted in all splits.
    """
    parts = _parts(dataset, splits)
    images, *following = parts.values()
    for part in following:
        images = images.concatenate(part)
    summaries = list(_summarise_all(images, workers, start_bar(f"{dataset.name}: checking images", len(images))))
    readable = {i: summary for i, summary in enumerate(summaries) if isinstance(summary, _ImageSummary)}
    names = [images.name(i) for i in range(len(images))]
    folder = os.path.commonpath(names) if all(map(os.path.isabs, names)) else ""
    index = ImageIndex(
        [os.path.relpath(name, folder) for name in names] if folder else names,
        [split for split, part in parts.items() for _ in range(len(part))],
        [dataset.class_names[label] for label in images.labels],
    )
    counts = {split: dataset.count_classes(part) for split, part in _parts(dataset, ALL_SPLITS).items()}
    findings = list(report_passed_over(dataset.passed_over))
    findings += report_unreadable([i for i in range(len(images)) if i not in readable], index)
    facts = {i: summary.facts for i, summary in readable.items()}
    findings += report_decoding(facts, index)
    flat, dark = find_flat_and_dark({i: summary.extrema for i, summary in readable.items()})
    findings += report_plain(flat, dark, facts, index)
    # Flat images would all count as copies of each other.
    pictures = {i: summary for i, summary in readable.items() if i not in set(flat)}
    if pictures:
        thumbnails = np.stack([summary.thumbnail for summary in pictures.values()])
        digests = [summary.digest for summary in pictures.values()]
        findings += report_duplicates(list(pictures), digests, thumbnails, index)
    is_unlabelled = dataset.target_kind == "unlabelled"
    findings += () if is_unlabelled else report_classes(dataset.class_names, counts)
    findings = list(map(one_line, findings))
    below = f" below {folder}" if folder else ""
    targets = describe_targets(dataset.target_kind, len(dataset.class_names))
    n_images = sum(len(part) for part in _parts(dataset, ALL_SPLITS).values())
    lines = [one_line(f"{dataset.name}: {targets}, {n_images} images{below}")]
    lines += [] if is_unlabelled else _class_table(dataset, counts)
    if readable:
        sizes = np.array([summary.size for summary in readable.values()])
        ranges = zip(sizes.min(axis=0), sizes.max(axis=0), np.median(sizes, axis=0).astype(int), strict=True)
        widths, heights = ("{} to {} (median {})".format(*values) for values in ranges)
        lines.append(f"widths {widths}, heights {heights} pixels")
        formats = Counter(summary.facts.format for summary in readable.values()).most_common()
        lines.append(", ".join(f"{name}: {count}" for name, count in formats))
    lines += findings or ["nothing looks wrong"]
    unreadable = {names[i]: summary for i, summary in enumerate(summaries) if isinstance(summary, str)}
    return Inspection(lines, findings, unreadable)


def _class_table(dataset: TargetDataset, counts: Mapping[str, Int[np.ndarray, " classes"]]) -> list[str]:
    """Return a line for each class, with its number of images in every split."""
    rows = [
        [one_line(name), *(str(count[c]) for count in counts.values())] for c, name in enumerate(dataset.class_names)
    ]
    if len(rows) > _MAX_CLASSES:
        order = np.argsort(counts["train"], kind="stable")
        smallest, largest = order[:_SHOWN_AT_EACH_END], order[-_SHOWN_AT_EACH_END:]
        rows = [*(rows[c] for c in smallest), ["..."] * len(rows[0]), *(rows[c] for c in largest)]
    rows.insert(0, ["class", *counts])
    first, *widths = (max(map(len, column)) for column in zip(*rows, strict=True))
    return [
        "  ".join([row[0].ljust(first), *(cell.rjust(w) for cell, w in zip(row[1:], widths, strict=True))])
        for row in rows
    ]


def inspect_once(
    dataset: TargetDataset, splits: Sequence[Part], needed: Sequence[Part], store: Store, workers: int = 1
) -> tuple[list[str], list[str]]:
    """Inspect some splits unless the store has the result; refuse unreadable images before anything is computed.

    Args:
        dataset, splits, workers: Arguments of `inspect_dataset`.
        needed: Splits that must be readable.
        store: Cache of the result.

    Returns:
        The lines and the findings of the `Inspection`.

    Raises:
        InputError: If an image of the splits ``needed`` cannot be read.
    """

    def compute() -> dict[str, Any]:
        return vars(inspect_dataset(dataset, workers, track, splits))

    record = None
    try:
        key = _inspection_key(dataset, splits)
        with suppress(InputError):  # A store that cannot be written must not end a run that only reads it.
            record = store.get_or_compute_record(INSPECTION, key, compute)[0]
    except InputError:  # A file cannot even be opened, which the inspection reports like other unreadable images.
        pass
    record = record or compute()
    if record["unreadable"]:
        names = {part.name(i) for part in _parts(dataset, needed).values() for i in range(len(part))}
        refused = {name: text for name, text in record["unreadable"].items() if name in names}
        if refused:
            message, further = next(iter(refused.values())), list(refused)[1:]
            examples = ", ".join(further[:_MAX_NAMES]) + (", ..." if len(further) > _MAX_NAMES else "")
            raise InputError(f"{message}; {len(further)} more cannot be read: {examples}" if further else message)
    return record["lines"], record["findings"]


def inspect_and_log(
    dataset: TargetDataset | FeatureArrays,
    splits: Sequence[Part],
    store: Store,
    workers: int = 1,
    needed: Sequence[Part] | None = None,
    report: Callable[[str], object] | None = None,
) -> list[str]:
    """Inspect the images that a run reads, log each finding at most once in a process, and return them as lines.

    Args:
        dataset, splits, store, workers: Arguments of `inspect_once`. Arrays have nothing to inspect.
        needed: Splits that must be readable; by default all that are inspected.
        report: Function to call with each line of the inspection, instead of logging the findings.

    Raises:
        InputError: If an image of the splits ``needed`` cannot be read.
    """
    if report is None and (dataset.kind_reason or dataset.target_kind != "single_label"):
        _log_once(dataset.name, describe_kind(dataset))
    if isinstance(dataset, FeatureArrays):
        return []
    phase("checking the images")
    lines, findings = inspect_once(dataset, splits, splits if needed is None else needed, store, workers)
    if report is not None:
        for line in lines:
            report(line)
        return findings
    for line in findings:
        _log_once(dataset.name, line)
    return findings


def describe_kind(dataset: TargetDataset | FeatureArrays) -> str:
    """Return what a dataset asks a model to predict, and why, such as ``5 classes, because its folders name them``."""
    targets = describe_targets(dataset.target_kind, len(dataset.class_names), dataset.kind_reason)
    return targets + (f"; {dataset.measure} compares them as grades" if dataset.measure in ORDINAL else "")


def _log_once(name: str, line: str) -> None:
    """Log a line about the dataset of a name, unless this process has logged it."""
    if (name, line) not in _logged:
        _logged.add((name, line))
        _log.log(logging.WARNING if line.startswith("warning") else logging.INFO, "%s: %s", name, line)


def _parts(dataset: TargetDataset, splits: Sequence[Part]) -> dict[str, LabelledImages]:
    """Return the images of the splits that the dataset has; the scoring set stands under the name ``train``."""
    parts = {split: getattr(dataset, split) for split in splits if split != "scoring_set" or "train" not in splits}
    return {split.replace("scoring_set", "train"): images for split, images in parts.items() if images is not None}


def _inspection_key(dataset: TargetDataset, splits: Sequence[Part]) -> dict[str, Any]:
    """Return the cache key of the inspection of some splits."""
    parts = _parts(dataset, splits)
    return {
        "version": _VERSION,
        "decoders": [PIL.__version__, *allowed_formats()],  # other versions may read other images
        "dataset": dataset.name,
        "classes": list(dataset.class_names),
        "counts": {split: np.bincount(part.labels).tolist() for split, part in _parts(dataset, ALL_SPLITS).items()},
        "passed_over": {reason: list(names) for reason, names in dataset.passed_over.items()},
        "images": {split: part.digest for split, part in parts.items()},
        "names": digest({split: [part.name(i) for i in range(len(part))] for split, part in parts.items()}),
    }


def _summarise_all(
    images: LabelledImages, workers: int, advance: Callable[[], object]
) -> Iterator[_ImageSummary | str]:
    """Yield the summary of every image in turn, or the message about an unreadable one."""
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        for start in range(0, len(images), _BATCH):
            batch = range(start, min(start + _BATCH, len(images)))
            with filter_pillow_warnings():
                summaries = list(pool.map(lambda i: _summarise(images, i), batch))
            for summary in summaries:
                yield summary
                advance()


def _summarise(images: LabelledImages, i: int) -> _ImageSummary | str:
    """Read an image as the dataset does; return the message if the dataset refuses it."""
    try:
        image = images.read(i)
    except InputError as error:
        return str(error)
    pixels = hashlib.sha256(repr(image.size).encode() + image.tobytes()).digest()
    extrema = cast("Extrema", image.getextrema())
    return _ImageSummary(image_facts(image), image.size, pixels, extrema, create_thumbnail(image))
