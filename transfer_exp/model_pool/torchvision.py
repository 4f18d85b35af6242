"""Any torchvision classification model, with weights from its enum and the preprocessing published with them."""

from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from transfer_exp.errors import InputError, suggestion
from transfer_exp.model_pool.library_source import needs_import, torchvision_weights
from transfer_exp.model_pool.pool import Candidate, ModelPool, select_names

if TYPE_CHECKING:
    from torch import nn

    from transfer_exp.model_pool.loaded_model import LoadedModel

# Libraries are imported in the functions: an option must not wait for torch.

Layer: TypeAlias = Literal["head_input", "logits"]

# GoogLeNet and Inception v3 were ported from TensorFlow. torchvision's builders set these arguments along with weights.
_PORTED_ARGUMENTS = {"transform_input": True, "init_weights": False}
# Keys in published DenseNet files are ``norm.1`` where the network now has ``norm1``.
_DENSELAYER = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(?=[12]\.)")


def torchvision(
    names: Sequence[str],
    weights: str = "DEFAULT",
    name: str = "torchvision",
    layer: Layer = "head_input",
    input_size: int | None = None,
) -> ModelPool:
    """Return a pool of torchvision models.

    Args:
        names: torchvision names, such as ``resnet50``.
        weights: Member of each model's weights enum, such as ``IMAGENET1K_V1``; ``DEFAULT`` is the newest.
        name: The name of the pool in tables.
        layer: Layer of the features: ``head_input``, or ``logits`` of the source classes.
        input_size: Side in pixels to which the shorter side of every image is resized (bicubic) before a centre crop;
            None for the preprocessing published with the weights.

    Raises:
        InputError: If a model or weights are unknown or the side is below 1; on loading, if a download fails.
    """
    if input_size is not None and input_size < 1:
        raise InputError(f"model_pool.input_size={input_size}: need a side in pixels, or null")
    names = (names,) if isinstance(names, str) else names
    available = torchvision_weights()
    if needs_import(names, available, "torchvision"):
        from transfer_exp.vision import torchvision as library

        models = library.models.list_models(module=library.models)
        available = {model: tuple(library.models.get_model_weights(model).__members__) for model in models}
    selected = select_names(names, available, "torchvision")
    for model in selected:
        if weights not in available[model]:
            raise InputError(
                f"torchvision's {model} has no weights '{weights}': {suggestion(weights, available[model])}"
            )
    candidates = (
        Candidate(m, partial(_load, m, weights, layer, input_size), partial(_count_parameters, m, weights))
        for m in selected
    )
    return ModelPool(name, tuple(candidates))


def has_weights(name: str, weights: str) -> bool:
    """Return whether torch's cache has the weights of a model, so that they need no download."""
    from torch import hub

    from transfer_exp.vision import torchvision as library

    url = library.models.get_model_weights(name)[weights].url
    return (Path(hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]).is_file()


def _count_parameters(name: str, weights: str) -> int | None:
    """Return the number of parameters that torchvision publishes with the weights."""
    from transfer_exp.vision import torchvision as library

    count: int | None = library.models.get_model_weights(name)[weights].meta.get("num_params")
    return count


def _load(name: str, weights: str, layer: Layer, input_size: int | None) -> LoadedModel:
    from transfer_exp.model_pool.backbone import LogitsBackbone, wrap_network
    from transfer_exp.model_pool.loaded_model import LoadedModel, hash_weights
    from transfer_exp.model_pool.preprocessing import random_crop_flip
    from transfer_exp.vision import torchvision as library

    member = library.models.get_model_weights(name)[weights]
    network = _load_network(name, weights, member)
    identity = {"library": "torchvision", "architecture": name, "weights": hash_weights(network)}
    backbone = wrap_network(network.eval())
    if layer == "logits":
        identity["layer"] = layer
        backbone = LogitsBackbone(backbone)
    percentage = member.meta["_metrics"].get("ImageNet-1K", {}).get("acc@1")
    accuracy = None if percentage is None else percentage / 100
    bicubic = library.transforms.InterpolationMode.BICUBIC
    size = {} if input_size is None else {"crop_size": input_size, "resize_size": input_size, "interpolation": bicubic}
    transform = member.transforms(**size)
    augmented = random_crop_flip(transform.crop_size[0], transform.mean, transform.std, transform.interpolation.value)
    return LoadedModel(backbone, transform, identity, imagenet_accuracy=accuracy, augmented=augmented)


def _load_network(name: str, weights: str, member: Any) -> nn.Module:
    """Build a network with its weights from torch's local cache or the web."""
    from transfer_exp.model_pool.loaded_model import load_weights
    from transfer_exp.vision import torchvision as library

    try:
        # Not `get_model(weights=...)`, which would allow a pickle that runs code.
        state = member.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(f"the weights of {name} in torch's cache hold more than tensors: delete them there") from error
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"no weights '{weights}' for torchvision's {name} ({error}): connect once to fill the cache, or use "
            "model_pool=checkpoints with a local folder"
        ) from error
    arguments = _PORTED_ARGUMENTS if name in ("googlenet", "inception_v3") else {}
    n_classes = len(member.meta["categories"])
    network: nn.Module = library.models.get_model(name, weights=None, num_classes=n_classes, **arguments)
    renamed = {_DENSELAYER.sub(r"\1", key): value for key, value in state.items()}
    load_weights(network, renamed, getattr(state, "_metadata", None))
    return network
