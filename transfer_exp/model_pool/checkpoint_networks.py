"""Networks of a folder of checkpoints: built by timm, torchvision or a file of the user, with the weights of a file."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from transfer_exp.errors import InputError, NotApplicableError, first_line, suggestion
from transfer_exp.model_pool.backbone import wrap_network
from transfer_exp.model_pool.checkpoints import Architectures, CheckpointEntry
from transfer_exp.model_pool.loaded_model import LoadedModel, hash_weights, load_weights
from transfer_exp.model_pool.preprocessing import create_transforms
from transfer_exp.model_pool.weight_files import TIMM_CONTAINERS, SizeLimit, find_weights, read_checkpoint
from transfer_exp.vision import timm, torchvision

_log = logging.getLogger(__name__)


def load_checkpoint(
    folder: Path, name: str, entry: CheckpointEntry, architectures: Architectures | None
) -> LoadedModel:
    """Build the network of an entry and load its weights.

    Args:
        folder: Folder of the manifest.
        name: Name of the entry.
        entry: Description of the network.
        architectures: File of the user with further architectures, or None.

    Raises:
        InputError: If the architecture or the file of weights is missing or unusable, or they do not fit.
        NotApplicableError: If the network needs code that the user has not allowed.
    """
    path, build = folder / entry.file, _find_builder(name, entry, architectures)
    content = read_checkpoint(path)
    try:
        with SizeLimit(path.stat().st_size):
            network: nn.Module = build(**entry.arguments)
    except Exception as error:  # constructors raise many types for bad arguments
        refusal = f"{entry.architecture} refuses its arguments {entry.arguments}: {error}"
        raise InputError(f"'{name}': {refusal}: correct them in the manifest") from error
    try:
        load_weights(network, _find_weights(content, network, entry))
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{path} does not fit {entry.architecture}: {first_line(error)}") from error
    identity = entry.model_dump(include={"library", "architecture", "arguments"}) | {"weights": hash_weights(network)}
    if architectures is not None and entry.library not in ("timm", "torchvision"):
        identity["code"] = architectures.digest
    settings = entry.model_dump(include={"mean", "std", "interpolation"})
    settings |= {"input_size": (3, entry.input_size, entry.input_size), "crop_pct": 1.0}
    backbone = wrap_network(network.eval(), entry.source_classes)
    transform, augmented = create_transforms(network, settings)
    return LoadedModel(
        backbone,
        transform,
        identity,
        entry.batch_norm_folded,
        augmented=augmented,
        source_dataset=entry.source_dataset,
        licence=entry.licence,
        file_bytes=path.stat().st_size,
    )


def _find_builder(name: str, entry: CheckpointEntry, architectures: Architectures | None) -> Callable[..., Any]:
    """Return the function that builds a network without weights, from timm, torchvision or the user's file."""
    build: Any
    if entry.library == "timm":
        build, available = partial(timm.create_model, entry.architecture, pretrained=False), timm.list_models()
    elif entry.library == "torchvision":
        build = partial(torchvision.models.get_model, entry.architecture, weights=None)
        available = torchvision.models.list_models(module=torchvision.models)
    elif architectures is None:
        raise NotApplicableError(
            f"its architecture comes from '{entry.library}', whose code is not run without your permission: "
            "if you trust it, set model_pool.architectures=FILE.py"
        )
    else:
        build = getattr(architectures.module, entry.architecture, None)
        available = [public for public in vars(architectures.module) if public[0] != "_"]
    if entry.architecture not in available:
        hint = suggestion(entry.architecture, available)
        raise InputError(f"'{name}': no architecture '{entry.architecture}' in {entry.library}: {hint}")
    return build


def _find_weights(content: object, network: nn.Module, entry: CheckpointEntry) -> Mapping[str, Tensor]:
    """Return the weights of a network from the content of a file, with timm's own conversion of names if it helps."""
    expected = network.state_dict()
    try:
        return find_weights(content, expected, entry.weights_key)[0]
    except ValueError:
        convert = getattr(sys.modules.get(type(network).__module__), "checkpoint_filter_fn", None)
        if entry.library != "timm" or convert is None or entry.weights_key or not isinstance(content, Mapping):
            raise
        state = next((content[key] for key in TIMM_CONTAINERS if isinstance(content.get(key), Mapping)), content)
        try:
            return find_weights(convert(dict(state), network), expected)[0]
        except Exception:  # the function expects the layout of the authors and raises many types for any other
            _log.debug("timm's conversion does not apply", exc_info=True)
        raise
