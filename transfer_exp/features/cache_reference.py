"""Where features are, for whoever refers to them and reads none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CacheReference:
    """Where features are, and what decides their values.

    Attributes
    ----------
    model, dataset, split
        Whose they are.
    key
        Of the store, plain data: the network's weights, its transform, the images, the arithmetic.
    address
        URL of the file.
    """

    model: str
    dataset: str
    split: str
    key: Mapping[str, Any]
    address: str
