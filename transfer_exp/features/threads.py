"""Number of threads for the forward and backward passes of a network on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

LARGE = 10_000_000
"""A network with at least so many parameters gains from several threads."""


@contextmanager
def network_threads(network: nn.Module) -> Iterator[None]:
    """Let torch use one thread inside the context, unless the network is large.

    The threads of a small layer wait for each other: on a machine with other work, two of them take five to ten times
    as long as one. Inside a process of `map_models` there is one thread for any network. The number of threads never
    depends on the load of the machine, because it can change the last digits of a result.
    """
    limit = torch.get_num_threads()
    is_large = sum(parameter.numel() for parameter in network.parameters()) >= LARGE
    torch.set_num_threads(limit if is_large else 1)
    try:
        yield
    finally:
        torch.set_num_threads(limit)
