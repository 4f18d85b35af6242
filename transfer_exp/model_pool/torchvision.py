"""Any classification model of torchvision, with weights from its enum and the preprocessing published with them."""

from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from functools import partial

from transfer_exp.model_pool.backbone import backbone_of
from transfer_exp.model_pool.crop_flip import crop_flip
from transfer_exp.model_pool.pool import Candidate, LoadedModel, ModelPool, chosen_names, weights_digest
from transfer_exp.types import InputError, suggestion
from transfer_exp.vision import torchvision as library

# Ported from TensorFlow: these convert their input inside, whenever weights are loaded through torchvision's builders.
_PORTED = {"transform_input": True, "init_weights": False}
# Published DenseNet files still say ``norm.1`` where the network now says ``norm1``.
_DENSELAYER = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(?=[12]\.)")


def torchvision(names: Sequence[str], weights: str = "DEFAULT") -> ModelPool:
    """Return a pool of torchvision models.

    Parameters
    ----------
    names
        torchvision names, such as ``resnet50``.
    weights
        A member of each model's weights enum, such as ``IMAGENET1K_V1``; ``DEFAULT`` is the newest.

    Raises
    ------
    InputError
        For an unknown model or weights, with near matches; on loading, when the weights cannot be fetched.
    """
    known = library.models.list_models(module=library.models)
    chosen = chosen_names(names, known, "torchvision")
    for name in chosen:
        members = library.models.get_model_weights(name).__members__
        if weights not in members:
            raise InputError(f"torchvision's {name} has no weights '{weights}': {suggestion(weights, members)}")
    return ModelPool("torchvision", tuple(Candidate(name, partial(_load, name, weights)) for name in chosen))


def _load(name: str, weights: str) -> LoadedModel:
    """Fetch the weights (from torch's local cache when they are there) and build the model."""
    choice = library.models.get_model_weights(name)[weights]
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
    network = library.models.get_model(name, weights=None, num_classes=len(choice.meta["categories"]), **arguments)
    network.load_state_dict({_DENSELAYER.sub(r"\1", key): value for key, value in state.items()}, strict=True)
    identity = {"library": "torchvision", "architecture": name, "weights": weights_digest(network)}
    published = choice.meta["_metrics"].get("ImageNet-1K", {}).get("acc@1")
    accuracy = None if published is None else published / 100
    plain = choice.transforms()
    augmented = crop_flip(plain.crop_size[0], plain.mean, plain.std, plain.interpolation.value)
    backbone = backbone_of(network.eval())
    return LoadedModel(backbone, plain, identity, imagenet_accuracy=accuracy, augmented=augmented)
