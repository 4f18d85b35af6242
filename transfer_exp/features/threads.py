"""Number of threads for the forward and backward passes of a network on the CPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import nn

LARGE = 10_000_000
"""A layer with at least so many parameters gains from several threads."""


@contextmanager
def network_threads(network: nn.Module) -> Iterator[None]:
    """Let torch use one thread inside the context, or one for each idle core if the network is large.

    The threads of a small layer wait for each other: on a machine with other work, two of them take five to ten times
    as long as one. Inside a process of `map_models` there is one thread for any network.
    """
    limit = torch.get_num_threads()
    is_large = sum(parameter.numel() for parameter in network.parameters()) >= LARGE
    torch.set_num_threads(min(limit, idle_cores()) if is_large else 1)
    try:
        yield
    finally:
        torch.set_num_threads(limit)


@cache
def idle_cores() -> int:
    """Return the number of cores without work, at least 1, when this process asks for the first time."""
    # Later the work of this process itself would count.
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return max(1, torch.get_num_threads() - round(load))
