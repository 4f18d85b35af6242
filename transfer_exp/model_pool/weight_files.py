"""Safe reading of weight files from unknown sources, and the search for the weights of a network in their content.

No code runs, and memory stays within the size of the file.
"""

from __future__ import annotations

import argparse
import logging
import math
import re
import stat
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from transfer_exp.errors import InputError, first_line

_log = logging.getLogger(__name__)
_BATCH_COUNTER = "num_batches_tracked"
"""Buffer of a batch norm without effect on the output; older files lack it."""
_WRAPPERS = re.compile(r"(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""Parts of names that torch adds when it compiles or distributes a module."""
TIMM_CONTAINERS = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Keys under which timm's loader looks for a state dict, in this order."""
_PREFERENCE = (
    r"state_dict_ema\.",
    r"model_ema\.",
    r".*(?<![a-zA-Z])(?i:ema|swa)(?![a-zA-Z])",
    r"state_dict\.",
    r"model\.",
)
"""Prefixes by preference where a file has several networks, as in timm's loader; averaged weights (EMA) come first."""
_N_EMA = 3
_STATES_OF_TRAINING = ("optimizer", "optimizer_state_dict", "optimizer_states", "lr_schedulers", "scheduler")
"""Keys under which trainers save what belongs to a weight, but is not the weight."""
_MAX_DEPTH, _MAX_TENSORS = 8, 1_000_000
"""Levels of dictionaries that are searched for weights, and the largest number of tensors in them."""
_EXTRA_NUMBERS = 1 << 26
"""Numbers that a network may hold besides its weights, such as masks and position tables."""


def read_weight_file(path: Path) -> Any:
    """Return the content of a safetensors file, or of a torch file of tensors and plain values.

    The content decides the format, not the suffix. Training scripts save their options in a namespace; loading a
    namespace runs no code, and its values are still refused unless they are tensors or plain.

    Raises:
        ValueError: If the file is not a regular one, a torch file is compressed, or a tensor would take more memory
            than the file has bytes.
        Exception: Many other types from the libraries, if the file is damaged or contains code.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is not a regular file")
    if is_safetensors(path):
        return load_file(path)
    _refuse_compressed(path)
    # As an open file, because torch takes the format of a path from its suffix.
    with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings(), path.open("rb") as file:
        warnings.simplefilter("ignore")  # the file either loads or is refused
        content = torch.load(file, map_location="cpu", weights_only=True)
    size = path.stat().st_size
    for tensor in _iterate_tensors(content):
        # A view may repeat one number any number of times; copying it would fill the memory.
        if tensor.numel() * tensor.element_size() > size:
            raise ValueError(f"a tensor of shape {tuple(tensor.shape)} in {size} bytes")
    return content


def read_checkpoint(path: Path) -> Any:
    """Return the content of `read_weight_file`; raises `InputError` if the file is missing, damaged or has code."""
    if not path.exists():
        raise InputError(f"no weights file {path}: correct the manifest or add the file")
    try:
        return read_weight_file(path)
    except Exception as error:  # both libraries raise many types; one of them is for a refused pickle
        # The message of torch has many lines, and advises to run the file.
        if path.suffix == ".safetensors":
            reason = error if isinstance(error, SafetensorError) else "its header is damaged"
            raise InputError(f"{path} is not a readable safetensors file: {reason}: fetch it again") from error
        code = re.search(r"(?:GLOBAL|global:?|class) ([a-zA-Z_]\w*(?:\.\w+)+)", str(error))
        reason = first_line(error) if isinstance(error, ValueError) else "damaged, or it holds code"
        reason += f": {code[1]}" if code and not isinstance(error, ValueError) else ""
        raise InputError(
            f"{path} is not a torch file of tensors only ({reason}): save model.state_dict() alone, or convert it to "
            "safetensors"
        ) from error


def is_safetensors(path: Path) -> bool:
    """Return whether a file begins like safetensors: the length of a header, and the header, which is a JSON object."""
    with path.open("rb") as file:
        start = file.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") + 8 <= path.stat().st_size


def _refuse_compressed(path: Path) -> None:
    """Refuse an archive with compressed members: torch writes none, and they may unpack to any size."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.compress_type != zipfile.ZIP_STORED:
                    raise ValueError(f"{member.filename} in it is compressed, which torch never does")


def _iterate_tensors(content: object) -> Iterator[Tensor]:
    """Yield every tensor at any depth; an object that appears several times is visited once."""
    stack, visited = [content], set[int]()
    while stack:
        value = stack.pop()
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, Mapping | list | tuple) and id(value) not in visited:
            visited.add(id(value))
            stack += value.values() if isinstance(value, Mapping) else value


def find_weights(
    content: object, expected: Mapping[str, Tensor], location: str | None = None
) -> tuple[dict[str, Tensor], str]:
    """Return the weights of a network from the content of a file, and where they are: the start of their names.

    Trainers save the network alone, next to other things (under ``state_dict``, ``model``, ...), or as a part of a
    larger module, whose names start with ``module.``, ``model.``, ``backbone.``, ... All of this is one prefix of the
    dotted names. Averaged weights (EMA) are preferred to others, as in timm's loader, with a warning.

    Args:
        content: Tensors by name, or dictionaries of such dictionaries.
        expected: State dict of the network.
        location: The prefix, or a start of it, if the file has several networks; None to choose.

    Raises:
        ValueError: If no prefix has exactly the names of the network, or several have and none is preferred.
    """
    tensors = dict(_flatten(content))
    if location is not None:
        start = f"{location.rstrip('.')}."
        tensors = {name: value for name, value in tensors.items() if name.startswith(start)}
        if not tensors:
            raise ValueError(f"it has no weights under '{location}': correct weights_key")
    if not tensors:
        raise ValueError("it holds no state dict (names to tensors): save model.state_dict() alone")
    required = {name for name in expected if not name.endswith(_BATCH_COUNTER)}
    counts = Counter(prefix for name in tensors for prefix in _prefixes(name, required))
    complete = [prefix for prefix, count in counts.items() if count == len(required)]
    if not complete:
        raise ValueError(_explain_names(tensors, required, counts))
    prefix = _prefer(complete, tensors, required)
    state = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    superfluous = [name for name in state if name not in expected]
    if superfluous:
        raise ValueError(f"it has {_count_names(superfluous)}, which the network lacks: correct the arguments")
    for name in required:
        if state[name].shape != expected[name].shape:
            shapes = f"{tuple(state[name].shape)}, and the network needs {tuple(expected[name].shape)}"
            raise ValueError(f"its {name} has the shape {shapes}: correct the arguments")
        if state[name].is_floating_point() != expected[name].is_floating_point() or state[name].is_complex():
            raise ValueError(f"its {name} has the type {state[name].dtype}, not a real one: save the weights as floats")
    return {**{name: value for name, value in expected.items() if name not in required}, **state}, prefix


def _flatten(content: object) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in nested dictionaries with their dotted names; ValueError if there are too many."""
    stack: list[tuple[str, object, int]] = [("", content, 0)]
    visited = 0
    while stack:
        name, value, depth = stack.pop()
        if isinstance(value, Tensor):
            yield _WRAPPERS.sub("", name), value
        elif isinstance(value, Mapping) and depth < _MAX_DEPTH:
            visited += len(value)
            if visited > _MAX_TENSORS:
                raise ValueError(f"it has more than {_MAX_TENSORS:,} entries: save model.state_dict() alone")
            start = f"{name}." if name else ""
            stack += [
                (start + key, inner, depth + 1)
                for key, inner in value.items()
                if isinstance(key, str) and key not in _STATES_OF_TRAINING
            ]


def _prefixes(name: str, required: set[str]) -> Iterator[str]:
    """Yield the starts of a name, up to a dot, after which a name of the network follows."""
    if name in required:
        yield ""
    for dot in re.finditer(r"\.", name):
        if name[dot.end() :] in required:
            yield name[: dot.end()]


def _prefer(prefixes: Sequence[str], tensors: Mapping[str, Tensor], required: set[str]) -> str:
    """Return the prefix that timm's loader would prefer; ValueError if several are equally good and differ."""

    def rank(prefix: str) -> int:
        return next((i for i, pattern in enumerate(_PREFERENCE) if re.match(pattern, prefix)), len(_PREFERENCE))

    best, *rivals = ordered = sorted(prefixes, key=lambda prefix: (rank(prefix), prefix))
    locations = ", ".join(repr(prefix.rstrip(".")) for prefix in ordered)
    for rival in rivals:
        is_equal = all(torch.equal(tensors[best + name], tensors[rival + name]) for name in required)
        if rank(rival) == rank(best) and not is_equal:
            raise ValueError(f"it holds several networks, under {locations}: set weights_key in the manifest to one")
    if rivals and rank(best) < _N_EMA:
        _log.warning(
            "weights under %s: the averaged ones (EMA) are used; weights_key in the manifest decides", locations
        )
    return best


def _explain_names(tensors: Mapping[str, Tensor], required: set[str], counts: Mapping[str, int]) -> str:
    """Return the reason why no prefix has all names of the network."""
    if not counts:
        ours, theirs = min(required, default="no name"), min(tensors)
        return f"none of its names, such as {theirs}, is one of the network, such as {ours}: it is another architecture"
    prefix = max(counts, key=lambda start: counts[start])
    missing = sorted(name for name in required if prefix + name not in tensors)
    location_text = f" under '{prefix.rstrip('.')}'" if prefix else ""
    return f"it lacks {_count_names(missing)}{location_text}: correct the architecture or its arguments"


def _count_names(names: Sequence[str]) -> str:
    """Return the first of some names, and the number of the others."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more names"


class SizeLimit(TorchDispatchMode):
    """Context in which tensors that together hold too many numbers are refused before memory is allocated.

    A manifest can request layers of any number and width. Each number of the network needs at least one byte of its
    weight file, so the size of the file, ``file_bytes``, limits the size of the network.
    """

    def __init__(self, file_bytes: int) -> None:
        super().__init__()
        self.remaining = file_bytes + _EXTRA_NUMBERS

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # By default, the first tensor would import torch's compiler, which takes over a second.

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Count the numbers of each tensor created from a shape; raises ValueError when there are too many."""
        shape = args[0] if args and isinstance(args[0], list | tuple) else ()
        if shape and all(isinstance(side, int) for side in shape):
            self.remaining -= math.prod(shape)
            if self.remaining < 0:
                raise ValueError("it would hold far more numbers than its file")
        return func(*args, **(kwargs or {}))
