"""Any classification model of torchvision, with weights from its enum and the preprocessing published with them."""

from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, TypeAlias

from torch import nn

from transfer_exp.errors import InputError, suggestion
from transfer_exp.model_pool.backbone import SourceLogits, backbone_of
from transfer_exp.model_pool.crop_flip import crop_flip
from transfer_exp.model_pool.pool import Candidate, LoadedModel, ModelPool, chosen_names, fill_in, weights_digest
from transfer_exp.vision import torchvision as library

Layer: TypeAlias = Literal["head_input", "logits"]

# Ported from TensorFlow: these convert their input inside, whenever weights are loaded through torchvision's builders.
_PORTED = {"transform_input": True, "init_weights": False}
# Published DenseNet files still say ``norm.1`` where the network now says ``norm1``.
_DENSELAYER = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(?=[12]\.)")


def torchvision(
    names: Sequence[str],
    weights: str = "DEFAULT",
    name: str = "torchvision",
    layer: Layer = "head_input",
    input_size: int | None = None,
) -> ModelPool:
    """Return a pool of torchvision models.

    Parameters
    ----------
    names
        torchvision names, such as ``resnet50``.
    weights
        A member of each model's weights enum, such as ``IMAGENET1K_V1``; ``DEFAULT`` is the newest.
    name
        The pool's name in tables.
    layer
        What features are: ``head_input``, or ``logits`` of the source classes.
    input_size
        None for the preprocessing published with each model's weights. Else a side in pixels: the shorter side of an
        image is resized to it (bicubic) and the centre cropped, whatever the model was trained with.

    Raises
    ------
    InputError
        For an unknown model or weights, with near matches, or a side below 1; on loading, when the weights cannot be
        fetched.
    """
    if input_size is not None and input_size < 1:
        raise InputError(f"model_pool.input_size={input_size}: need a side in pixels, or null")
    known = library.models.list_models(module=library.models)
    chosen = chosen_names(names, known, "torchvision")
    for model in chosen:
        members = library.models.get_model_weights(model).__members__
        if weights not in members:
            raise InputError(f"torchvision's {model} has no weights '{weights}': {suggestion(weights, members)}")
    return ModelPool(name, tuple(Candidate(m, partial(_load, m, weights, layer, input_size)) for m in chosen))


def _load(name: str, weights: str, layer: Layer, input_size: int | None) -> LoadedModel:
    """Build a model with its weights, features and preprocessing."""
    choice = library.models.get_model_weights(name)[weights]
    network = _network(name, weights, choice)
    identity = {"library": "torchvision", "architecture": name, "weights": weights_digest(network)}
    backbone = backbone_of(network.eval())
    if layer == "logits":
        identity["layer"] = layer
        backbone = SourceLogits(backbone)
    published = choice.meta["_metrics"].get("ImageNet-1K", {}).get("acc@1")
    accuracy = None if published is None else published / 100
    plain = choice.transforms() if input_size is None else _resized_to(input_size, choice)
    augmented = crop_flip(plain.crop_size[0], plain.mean, plain.std, plain.interpolation.value)
    return LoadedModel(backbone, plain, identity, imagenet_accuracy=accuracy, augmented=augmented)


def _resized_to(side: int, choice: Any) -> Any:
    """Return the preprocessing of a choice of weights at another size: only its mean and deviation stay."""
    mode = library.transforms.InterpolationMode.BICUBIC
    return choice.transforms(crop_size=side, resize_size=side, interpolation=mode)


def _network(name: str, weights: str, choice: Any) -> nn.Module:
    """Build a network and fetch its weights, from torch's local cache when they are there."""
    try:
        # Not `get_model(weights=...)`, which would allow a pickle that runs code.
        state = choice.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(f"the weights of {name} in torch's cache hold more than tensors: delete them there") from error
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"no weights '{weights}' for torchvision's {name} ({error}): connect once to fill the cache, or use "
            "model_pool=checkpoints with a local folder"
        ) from error
    arguments = _PORTED if name in ("googlenet", "inception_v3") else {}
    network: nn.Module = library.models.get_model(
        name, weights=None, num_classes=len(choice.meta["categories"]), **arguments
    )
    named = {_DENSELAYER.sub(r"\1", key): value for key, value in state.items()}
    fill_in(network, named, getattr(state, "_metadata", None))
    return network
