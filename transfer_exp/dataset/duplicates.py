"""Images that stand in a dataset twice: the same content, or the same picture written in another way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

SIDE = 8
LEVELS = 5
"""Of 255: how far thumbnails of one picture may be apart.

On six real sets (10,000 images) the nine pairs within 5 levels show the same picture, and the next are 7 levels apart.
JPEG of quality 75 moved a thumbnail by at most 5 where sides have 100 pixels or more; at 32, by more than 5 once in 16.
"""
PLAIN = 4 * LEVELS
"""Thumbnails of a smaller range hold too little to tell pictures apart."""
_NEIGHBOURS = 8

Group = tuple[int, ...]
"""Positions of two or more images, ascending."""


def thumbnail(image: Image.Image) -> UInt8[np.ndarray, " values"]:
    """Return an RGB image as the mean colours of a grid of 8 x 8, 192 values in [0, 255]."""
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.uint8).ravel()


def copies(contents: Sequence[Hashable]) -> list[Group]:
    """Return the groups of equal entries, in the order of their first."""
    places: dict[Hashable, list[int]] = defaultdict(list)
    for i, content in enumerate(contents):
        places[content].append(i)
    return [tuple(group) for group in places.values() if len(group) > 1]


def look_alikes(thumbnails: UInt8[np.ndarray, "images values"]) -> list[Group]:
    """Return the groups of images whose thumbnails differ nowhere by more than `LEVELS`, in the order of their first.

    Who looks like one of a group belongs to it. Thumbnails of a range below `PLAIN` are left out. Equal thumbnails are
    compared once, and each with its eight nearest, so that memory does not grow with the square of the images.
    """
    rich = np.flatnonzero(np.ptp(thumbnails.astype(np.int16), axis=1) >= PLAIN)
    if len(rich) < 2:
        return []
    distinct, code = np.unique(thumbnails[rich], axis=0, return_inverse=True)
    count = min(_NEIGHBOURS, len(distinct) - 1) + 1
    nearest = np.arange(1, count + 1)
    near = np.asarray(KDTree(distinct).query(distinct, nearest, p=np.inf, distance_upper_bound=LEVELS + 0.5)[1])
    place, column = np.nonzero(near < len(distinct))  # where there is none, the tree gives the number of all
    edges = np.ones(len(place), dtype=bool), (place, near[place, column])
    _, component = connected_components(coo_array(edges, shape=(len(distinct),) * 2), directed=False)
    whole = component[code.ravel()]
    return [tuple(int(rich[i]) for i in group) for group in copies(whole.tolist())]
