"""Possible faults of a dataset, such as duplicates, leaks between splits and small classes, as lines of text.

A line starts with ``note:`` for a fact to know, or ``warning:`` for a fault to repair before scores can be trusted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from transfer_exp.dataset.image_decoding import ImageFacts
from transfer_exp.dataset.image_file import NOT_IMAGES

FEW = 5
"""Smallest number of training images of a class for a reliable score."""
UNEVEN, EXTREME = 10, 100
"""Ratios of the largest to the smallest class from which a note and a warning are given. Long-tailed sets have ratios
from 10 to 200 (Cui et al., CVPR 2019)."""
SIDE = 8
"""Width and height of a thumbnail."""
LEVELS = 5
"""Largest difference (of 255) between thumbnails of one picture, and between the pixels of a flat image.

On six real sets (10,000 images) the nine pairs within 5 levels show the same picture, and the next pairs differ by 7
levels. JPEG of quality 75 changed a thumbnail by at most 5 for sides of at least 100 pixels; at 32 pixels, by more than
5 in one of 16 cases.
"""
DARK = 32
"""Images with all values below this are nearly black: 12-bit pixels in a file of 16 bits have at most 15 of 255."""
MIN_RANGE = 4 * LEVELS
"""Smallest range of values of a thumbnail that is compared; images with a smaller one are too alike."""
_NEIGHBOURS = 8
_MAX_NAMES = 3

Extrema = tuple[tuple[int, int], ...]
"""Smallest and largest value of each channel of an image."""
Group = tuple[int, ...]
"""Positions of two or more images in a dataset, ascending."""


@dataclass(frozen=True, eq=False)
class ImageIndex:
    """Name, split and class name of every image of a dataset, in one order."""

    names: Sequence[str]
    splits: Sequence[str]
    classes: Sequence[str]


def create_thumbnail(image: Image.Image) -> UInt8[np.ndarray, " values"]:
    """Return the mean colours of an 8 x 8 grid over an RGB image, 192 values in [0, 255]."""
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.uint8).ravel()


def group_equal(contents: Sequence[Hashable]) -> list[Group]:
    """Return the groups of equal entries, in the order of their first entries."""
    positions: dict[Hashable, list[int]] = defaultdict(list)
    for i, content in enumerate(contents):
        positions[content].append(i)
    return [tuple(group) for group in positions.values() if len(group) > 1]


def group_similar(thumbnails: UInt8[np.ndarray, "images values"]) -> list[Group]:
    """Return the groups of images whose thumbnails differ by at most `LEVELS`, in the order of their first images.

    An image that is similar to one of a group belongs to the group. Thumbnails with a range below `MIN_RANGE` are left
    out. Each distinct thumbnail is compared with its eight nearest only, so memory is linear in the number of images.
    """
    textured = np.flatnonzero(np.ptp(thumbnails.astype(np.int16), axis=1) >= MIN_RANGE)
    if len(textured) < 2:
        return []
    distinct, code = np.unique(thumbnails[textured], axis=0, return_inverse=True)
    count = min(_NEIGHBOURS, len(distinct) - 1) + 1
    ranks = np.arange(1, count + 1)
    near = np.asarray(KDTree(distinct).query(distinct, ranks, p=np.inf, distance_upper_bound=LEVELS + 0.5)[1])
    row, column = np.nonzero(near < len(distinct))  # missing neighbours have the number of points as index
    edges = np.ones(len(row), dtype=bool), (row, near[row, column])
    _, component = connected_components(coo_array(edges, shape=(len(distinct),) * 2), directed=False)
    groups = group_equal(component[code.ravel()].tolist())
    return [tuple(int(textured[i]) for i in group) for group in groups]


def report_unreadable(unreadable: Sequence[int], index: ImageIndex) -> Iterator[str]:
    """Yield a warning with the images that cannot be decoded, if there are any."""
    if unreadable:
        names = _shorten(index.names[i] for i in unreadable)
        yield f"warning: {len(unreadable)} of {len(index.splits)} images cannot be read: {names}"


def report_passed_over(passed_over: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield a finding for each reason why files were not read: a note on files that are not images, else a warning."""
    for reason, names in passed_over.items():
        suffixes = Counter(PurePath(name).suffix.lower() or "no suffix" for name in names).most_common()
        counts = _shorten(f"{suffix} {count}" for suffix, count in suffixes)
        text = f"{len(names)} file(s) were passed over, {reason} ({counts}): {_shorten(names)}"
        yield f"{'note' if reason == NOT_IMAGES else 'warning'}: {text}"


def report_decoding(facts: Mapping[int, ImageFacts], index: ImageIndex) -> Iterator[str]:
    """Yield notes on what the decoder applied to the readable images, by their positions in ``index``."""
    positions: dict[str, list[int]] = defaultdict(list)
    for i, fact in facts.items():
        if fact.orientation != 1:
            positions["are turned upright by their EXIF orientation"].append(i)
        if fact.is_transparent:
            positions["have transparent pixels, which show dataset.background"].append(i)
        if fact.pixel_range is not None:
            low, high = fact.pixel_range
            scaling = f"scaled so that {low:g} becomes black and {high:g} white (dataset.pixel_range sets other values)"
            positions[f"have pixels of more than 8 bits, {scaling}"].append(i)
        if fact.has_several_frames:
            positions["have several frames; only the first is read"].append(i)
    for text, images in positions.items():
        names = _shorten(index.names[i] for i in images)
        yield f"note: {len(images)} image(s) {text}: {names}"


def find_flat_and_dark(extrema: Mapping[int, Extrema]) -> tuple[list[int], list[int]]:
    """Return the images of one colour, whose values differ by at most `LEVELS`, and the other ones below `DARK`."""
    flat = [i for i, channels in extrema.items() if all(high - low <= LEVELS for low, high in channels)]
    dark = [i for i, channels in extrema.items() if all(high < DARK for _, high in channels)]
    return flat, sorted(set(dark).difference(flat))


def report_plain(
    flat: Sequence[int], dark: Sequence[int], facts: Mapping[int, ImageFacts], index: ImageIndex
) -> Iterator[str]:
    """Yield warnings with the images of one colour and those that are nearly black."""
    for images, text in (
        (flat, "show one flat colour"),
        (dark, f"are nearly black (no value above {DARK - 1} of 255)"),
    ):
        if images:
            causes = {
                "have transparent pixels: try another dataset.background": [facts[i].is_transparent for i in images],
                "use few of their bits: set dataset.pixel_range": [facts[i].pixel_range is not None for i in images],
                "use few of their 16 bits, and only the upper 8 are read: save them with 8 bits": [
                    facts[i].drops_low_bits for i in images
                ],
            }
            hints = "".join(f"; {sum(is_so)} of them {hint}" for hint, is_so in causes.items() if any(is_so))
            names = _shorten(index.names[i] for i in images)
            yield f"warning: {len(images)} of {len(index.names)} images {text}: {names}{hints}"


def report_duplicates(
    readable: Sequence[int], digests: Sequence[bytes], thumbnails: UInt8[np.ndarray, "images values"], index: ImageIndex
) -> Iterator[str]:
    """Yield findings on equal images, then on images that only look the same.

    Args:
        readable: Positions of the images in ``index``.
        digests, thumbnails: Digest of the pixels and thumbnail of each of these images.
        index: All images of the dataset.
    """
    similar = [group for group in group_similar(thumbnails) if len({digests[k] for k in group}) > 1]
    looks = f" (thumbnails of {SIDE} x {SIDE} within {LEVELS} of 255 levels)"
    for groups, subject, detail in (
        (group_equal(digests), "the same image is", ""),
        (similar, "images that look the same are", looks),
    ):
        yield from _report_groups([tuple(readable[k] for k in group) for group in groups], index, subject, detail)


def _report_groups(groups: Sequence[Group], index: ImageIndex, subject: str, detail: str) -> Iterator[str]:
    """Yield findings on duplicates in several splits, in several classes, and within one split."""
    leaks = [pair for group in groups for pair in _differing(group, index.splits)]
    yield from _report_pairs("warning", f"{subject} in several splits{detail}", leaks, index.names)
    conflicts = [pair for group in groups for pair in _differing(group, index.classes)]
    with_classes = [f"{name} ({label})" for name, label in zip(index.names, index.classes, strict=True)]
    yield from _report_pairs("warning", f"{subject} in several classes{detail}", conflicts, with_classes)
    repetitions = [pair for group in groups for pair in _repetitions(group, index.splits)]
    yield from _report_pairs("note", f"{subject} in one split more than once{detail}", repetitions, index.names)


def _report_pairs(grade: str, text: str, pairs: list[tuple[int, int]], names: Sequence[str]) -> Iterator[str]:
    if pairs:
        examples = _shorten(f"{names[i]} = {names[j]}" for i, j in pairs)
        yield f"{grade}: {text}, {len(pairs)} time(s): {examples}"


def _differing(group: Group, values: Sequence[str]) -> list[tuple[int, int]]:
    """Return the first image of a group with the first that has another value, if there is one."""
    return [(group[0], i) for i in group if values[i] != values[group[0]]][:1]


def _repetitions(group: Group, splits: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the first image of each split in a group with every further one of the split."""
    firsts: dict[str, int] = {}
    for i in group:
        first = firsts.setdefault(splits[i], i)
        if first != i:
            yield first, i


def report_classes(names: Sequence[str], counts: Mapping[str, Int[np.ndarray, " classes"]]) -> Iterator[str]:
    """Yield findings on classes with few or no images, uneven classes, and similar class names.

    Args:
        names: Names of the C classes.
        counts: Images per class, (C,), of each split. ``train`` is one of them and has images.
    """
    train, occurs = counts["train"], np.sum(list(counts.values()), axis=0) > 0
    few = np.flatnonzero((train > 0) & (train < FEW))
    if len(few):
        sizes = _shorten(f"{names[int(c)]} ({train[c]})" for c in few)
        text = f"{len(few)} class(es) with fewer than {FEW} training images, too few for a reliable score: {sizes}"
        yield f"warning: {text}"
    for split, count in counts.items():
        absent = np.flatnonzero(occurs & (count == 0))
        if len(absent):
            text = f"{len(absent)} class(es) without an image in {split}: {_shorten(names[int(c)] for c in absent)}"
            yield f"{'note' if split == 'validation' else 'warning'}: {text}"
    present = np.flatnonzero(train)
    small, large = int(present[np.argmin(train[present])]), int(present[np.argmax(train[present])])
    ratio = train[large] / train[small]
    if ratio >= UNEVEN:
        text = f"{names[large]} has {train[large]} training images, {ratio:.0f} times those of {names[small]}"
        yield f"{'warning' if ratio >= EXTREME else 'note'}: {text} ({train[small]})"
    spellings: dict[str, list[str]] = defaultdict(list)
    for name in names:
        spellings["".join(name.casefold().split())].append(name)
    variants = [" = ".join(similar) for similar in spellings.values() if len(similar) > 1]
    if variants:
        yield f"warning: class names that differ only in capitals or blanks: {_shorten(variants)}"


def _shorten(names: Iterable[str]) -> str:
    """Return the first few names, with an ellipsis if there are more."""
    names = list(names)
    return ", ".join(names[:_MAX_NAMES]) + (", ..." if len(names) > _MAX_NAMES else "")
