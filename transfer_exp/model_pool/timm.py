"""Any model of timm, by timm name or ``hf-hub:`` id, with its pretrained weights and its own preprocessing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn

from transfer_exp.errors import InputError
from transfer_exp.model_pool.backbone import backbone_of
from transfer_exp.model_pool.crop_flip import crop_flip
from transfer_exp.model_pool.hub import hub_is_off, settle_hub
from transfer_exp.model_pool.pool import (
    Candidate,
    LoadedModel,
    ModelPool,
    Transform,
    chosen_names,
    weights_digest,
)
from transfer_exp.vision import timm as library

_HUB_PREFIXES = ("hf-hub:", "hf_hub:")


def timm(names: Sequence[str] | Mapping[str, str], name: str = "timm") -> ModelPool:
    """Return a pool of timm models.

    Parameters
    ----------
    names
        timm names, with or without a weights tag (``resnet18``, ``vit_tiny_patch16_224.augreg_in21k``), or
        ``hf-hub:owner/name``; as the values of a mapping, where tables are to call the models otherwise.
    name
        The pool's name in tables.

    Raises
    ------
    InputError
        For a name timm does not know, with near matches; on loading, when the weights cannot be fetched.
    """
    called = names if isinstance(names, Mapping) else {model: model for model in names}
    models = list(names.values()) if isinstance(names, Mapping) else names
    hub = [model for model in models if model.startswith(_HUB_PREFIXES)]
    chosen_names(models, [*library.list_models(), *library.list_pretrained(), *hub], "timm")
    return ModelPool(name, tuple(Candidate(own, partial(_load, model)) for own, model in called.items()))


def _load(name: str) -> LoadedModel:
    """Fetch the weights of a timm model (from the local cache when they are there) and build it."""
    settle_hub()
    try:
        network = library.create_model(name, pretrained=True)
    except Exception as error:  # hub clients raise dozens of types; all of them mean that there are no weights
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        reason = "the hub is not reached, and they are not in its cache" if hub_is_off() else reason
        raise InputError(
            f"no weights for timm model '{name}' ({reason}): connect once to fill the cache, or use "
            "model_pool=checkpoints with a local folder"
        ) from error
    identity = {"library": "timm", "architecture": name, "weights": weights_digest(network)}
    plain, augmented = transforms(network)
    return LoadedModel(backbone_of(network.eval()), plain, identity, augmented=augmented)


def transforms(network: nn.Module, overrides: dict[str, Any] | None = None) -> tuple[Transform, Transform]:
    """Return timm's own evaluation preprocessing of a network, and `crop_flip` with the same settings.

    Parameters
    ----------
    network
        A timm network, whose pretrained configuration holds the defaults.
    overrides
        Settings to replace: ``input_size`` (3, H, W), ``mean``, ``std``, ``interpolation``, ``crop_pct``.
    """
    settings = library.data.resolve_data_config(overrides or {}, model=network)
    plain: Transform = library.data.create_transform(**settings, is_training=False)
    mean, std = (tuple(map(float, settings[key])) for key in ("mean", "std"))  # a hub's may be whole numbers
    return plain, crop_flip(settings["input_size"][1], mean, std, settings["interpolation"])
