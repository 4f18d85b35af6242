"""Any timm model, by timm name or ``hf-hub:`` id, with its pretrained weights and preprocessing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from transfer_exp.errors import InputError
from transfer_exp.io.hub import go_offline_if_unreachable, is_offline
from transfer_exp.model_pool.library_source import needs_import, timm_names
from transfer_exp.model_pool.pool import Candidate, ModelPool, select_names

if TYPE_CHECKING:
    from transfer_exp.model_pool.loaded_model import LoadedModel

# Libraries are imported in the functions: an option must not wait for torch.

_HUB_PREFIXES = ("hf-hub:", "hf_hub:")


def timm(names: Sequence[str] | Mapping[str, str], name: str = "timm") -> ModelPool:
    """Return a pool of timm models.

    Args:
        names: timm names, with or without a weights tag (``resnet18``, ``vit_tiny_patch16_224.augreg_in21k``), or
            ``hf-hub:owner/name``. A mapping {name in tables: timm name} renames the models.
        name: The name of the pool in tables.

    Raises:
        InputError: If timm has no such model; on loading, if the weights cannot be downloaded.
    """
    names = (names,) if isinstance(names, str) else names
    by_label = dict(names) if isinstance(names, Mapping) else {model: model for model in names}
    models = list(names.values()) if isinstance(names, Mapping) else names
    available = timm_names() | {model for model in models if model.startswith(_HUB_PREFIXES)}
    if needs_import(models, available, "timm"):
        from transfer_exp.vision import timm as library

        available = available.union(library.list_models(), library.list_pretrained())
    select_names(models, available, "timm")
    candidates = (
        Candidate(n, partial(_load, m), partial(_count_parameters, m), partial(_licence, m))
        for n, m in by_label.items()
    )
    return ModelPool(name, tuple(candidates))


def _count_parameters(name: str) -> int | None:
    """Return the number of parameters of the architecture, without memory for them; None for a model of a hub."""
    if name.startswith(_HUB_PREFIXES):
        return None
    import torch

    from transfer_exp.vision import timm as library

    try:
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in library.create_model(name).parameters())
    except (RuntimeError, NotImplementedError):  # the constructor of the architecture reads values of its weights
        return None


def _licence(name: str) -> str | None:
    """Return the licence that timm lists for the weights; None for a model of a hub."""
    from transfer_exp.vision import timm as library

    settings = None if name.startswith(_HUB_PREFIXES) else library.models.get_pretrained_cfg(name)
    return getattr(settings, "license", None)


def _load(name: str) -> LoadedModel:
    from transfer_exp.model_pool.backbone import wrap_network
    from transfer_exp.model_pool.loaded_model import LoadedModel, hash_weights
    from transfer_exp.model_pool.preprocessing import create_transforms
    from transfer_exp.vision import timm as library

    go_offline_if_unreachable()
    try:
        network = library.create_model(name, pretrained=True)
    except Exception as error:  # hub clients raise dozens of types; all of them mean that the weights are missing
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        reason = "the hub is not reached, and its cache does not have them" if is_offline() else reason
        raise InputError(
            f"no weights for timm model '{name}' ({reason}): connect once to fill the cache, or use "
            "model_pool=checkpoints with a local folder"
        ) from error
    identity = {"library": "timm", "architecture": name, "weights": hash_weights(network)}
    transform, augmented = create_transforms(network)
    licence = (getattr(network, "pretrained_cfg", None) or {}).get("license")
    return LoadedModel(wrap_network(network.eval()), transform, identity, augmented=augmented, licence=licence)
