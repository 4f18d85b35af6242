"""Layers inside a network: their names, and their outputs pooled to one vector per image, read by forward hooks.

A layer is any module of the network by its name. The *blocks* of a network are the layers that can be chosen by number:
the modules that timm lists in ``feature_info``, or without it, the children of the submodule with most parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from transfer_exp.errors import ModelFailureError, suggestion
from transfer_exp.vision import torchvision

HEAD_INPUT, MEAN = "head_input", "mean"
"""The default layer, and the mean over all blocks."""
SEVERAL = ("all", "best")
"""Settings that read all blocks and ``head_input``; for ``best`` the caller then chooses one of them."""
LayerSetting: TypeAlias = str | int | Sequence[str | int]
"""``head_input``, ``penultimate_block``, ``mean``, the number of a block, the name of a module, a list, ``all``."""
Pooling: TypeAlias = Literal["cls", "mean", "gem", "max", "cls+mean"]

_POWER, _SMALLEST = 3.0, 1e-6
"""Exponent of generalised-mean pooling, and the lower bound of the values that it averages."""
_BULK = 0.9
"""A child with at least this share of the parameters is taken to contain the blocks."""
_HEADS = ("fc", "classifier", "heads", "head")
_LATE_CLASS_TOKEN = ("blocks_token_only", "cls_attn_blocks")
"""Attributes of timm networks (CaiT, XCiT) whose blocks have no class token: it is added after them."""


def block_names(network: nn.Module) -> list[str]:
    """Return the names of the blocks, from the input on; empty for a network without modules inside."""
    modules, listed = dict(network.named_modules()), getattr(network, "feature_info", None)
    entries = listed if isinstance(listed, list) else []
    names = [str(entry.get("module")) for entry in entries if isinstance(entry, Mapping)]
    return [name for name in names if name in modules] or _bulk_children(network)


def _bulk_children(network: nn.Module) -> list[str]:
    """Descend into the child with most of the parameters until none has, and return the names of its children.

    The classifier is left out.
    """
    prefix, module = "", network
    while True:
        children = {name: child for name, child in module.named_children() if prefix or name not in _HEADS}
        sizes = {name: sum(weight.numel() for weight in child.parameters()) for name, child in children.items()}
        sizes = {name: size for name, size in sizes.items() if size}
        inner = [name for name in sizes if any(True for _ in module.get_submodule(name).children())]
        bulk = [name for name in inner if len(inner) == 1 or sizes[name] >= _BULK * sum(sizes.values())]
        if not bulk:
            return [prefix + name for name in inner or sizes]
        prefix, module = f"{prefix}{bulk[0]}.", module.get_submodule(bulk[0])


def select_layers(network: nn.Module, setting: LayerSetting) -> tuple[str, ...]:
    """Return the layers that a setting names, each as ``head_input``, ``mean`` or the name of a module.

    Raises:
        ModelFailureError: If the network has no such layer; the message has near matches.
    """
    blocks = block_names(network)
    if setting in SEVERAL:
        return (*blocks, HEAD_INPUT)
    settings = [setting] if isinstance(setting, str | int) else setting
    return tuple(dict.fromkeys(_layer_name(network, blocks, layer) for layer in settings))


def _layer_name(network: nn.Module, blocks: Sequence[str], layer: str | int) -> str:
    if layer in (HEAD_INPUT, MEAN):
        return str(layer)
    position = -2 if layer == "penultimate_block" else layer
    if isinstance(position, int):
        if -len(blocks) <= position < len(blocks):
            return blocks[position]
        raise ModelFailureError(f"no layer {layer} in a network of {len(blocks)} blocks: {', '.join(blocks) or 'none'}")
    names = [name for name, _ in network.named_modules() if name]
    if layer not in names:
        options = [*names, HEAD_INPUT, "penultimate_block", *SEVERAL, MEAN]
        has_close = get_close_matches(str(layer), options, cutoff=0.5)
        hint = suggestion(str(layer), options if has_close else [*blocks, HEAD_INPUT])
        raise ModelFailureError(f"no layer '{layer}': {hint}")
    return str(layer)


@dataclass(frozen=True)
class _Layout:
    """Shape of the outputs of a network's blocks.

    Attributes:
        prefix: Number of tokens before those of the patches: a class token, distillation and register tokens.
        has_class_token: Whether the first token is a class token.
        channels_last: Whether maps are (B, H, W, D) instead of (B, D, H, W).
        pooling: Pooling of tokens by the network itself.
    """

    prefix: int
    has_class_token: bool
    channels_last: bool
    pooling: Pooling


def _layout(network: nn.Module) -> _Layout:
    late = any(hasattr(network, name) for name in _LATE_CLASS_TOKEN)
    tokens = (getattr(network, name, None) for name in ("cls_token", "class_token"))
    has_class_token = not late and any(isinstance(token, Tensor) for token in tokens)
    prefix = 0 if late else int(getattr(network, "num_prefix_tokens", has_class_token))
    channels_last = getattr(network, "output_fmt", "") == "NHWC" or isinstance(
        network, torchvision.models.SwinTransformer
    )
    uses_class_token = has_class_token and getattr(network, "global_pool", "token") == "token"
    return _Layout(prefix, has_class_token, channels_last, "cls" if uses_class_token else "mean")


def pool_output(output: Any, pooling: Pooling | None, layout: _Layout) -> Float[Tensor, "batch dim"]:
    """Return one vector per image from the output of a layer: tokens (B, N, D), a map, or vectors (B, D).

    Args:
        output: Output of the module.
        pooling: ``cls`` is the class token, ``mean``, ``gem`` and ``max`` pool the patches or the positions of a map,
            and ``cls+mean`` concatenates the class token and the mean, (B, 2D). None pools as the network does.
        layout: Order of the output's axes and tokens.

    Raises:
        ModelFailureError: If the output is not of such a shape, or has no class token.

    References:
        Radenović, Tolias, Chum, "Fine-tuning CNN Image Retrieval with No Human Annotation", PAMI 2019, eq. 3 (``gem``).
    """
    while isinstance(output, tuple | list) and output:
        output = output[0]
    if not isinstance(output, Tensor) or not output.is_floating_point() or output.ndim not in (2, 3, 4):
        kind = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ModelFailureError(f"the layer gives {kind}, not vectors, tokens or a map for each image: name another")
    values = output.float()
    if values.ndim == 2:
        return values.clone()  # A later module may change it in place.
    is_map = values.ndim == 4
    pooling = pooling or ("mean" if is_map else layout.pooling)
    if "cls" in pooling and (is_map or not layout.has_class_token):
        raise ModelFailureError(f"features.pooling={pooling} needs a class token, and its layer has none: use mean")
    positions = values[:, layout.prefix :]
    if is_map:
        positions = (values if layout.channels_last else values.permute(0, 2, 3, 1)).flatten(1, 2)
    pools: dict[str, Callable[[], Tensor]] = {
        "cls": lambda: values[:, 0].clone(),
        "mean": lambda: positions.mean(1),
        "max": lambda: positions.amax(1),
        "gem": lambda: positions.clamp(min=_SMALLEST).pow(_POWER).mean(1).pow(1 / _POWER),
    }
    return torch.cat([pools[name]() for name in pooling.split("+")], dim=1)


@contextmanager
def read_layers(
    network: nn.Module, layers: Sequence[str], pooling: Pooling | None
) -> Iterator[Callable[[], dict[str, Tensor]]]:
    """Read layers of a network while it runs. The function that the context yields returns the last outputs by layer.

    A module that runs several times in one pass counts with its last output.

    Args:
        network: The network, which the caller runs inside the context.
        layers: Names from `select_layers`, without ``head_input``, which the network itself returns.
        pooling: See `pool_output`.
    """
    blocks = block_names(network) if MEAN in layers else []
    layout, outputs = _layout(network), dict[str, Tensor]()

    def read(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        outputs[name] = pool_output(output, pooling, layout)

    def vectors() -> dict[str, Tensor]:
        missing = [name for name in (*layers, *blocks) if name != MEAN and name not in outputs]
        if missing:
            raise ModelFailureError(f"its layer '{missing[0]}' takes no part in the forward pass: name another")
        values = {name: _mean([outputs[b] for b in blocks]) if name == MEAN else outputs[name] for name in layers}
        outputs.clear()
        return values

    with ExitStack() as hooks:
        for name in dict.fromkeys([*(name for name in layers if name != MEAN), *blocks]):
            hook = network.get_submodule(name).register_forward_hook(partial(read, name))
            hooks.callback(hook.remove)
        yield vectors


def _mean(outputs: Sequence[Tensor]) -> Tensor:
    """Return the mean over the blocks, which must have one width."""
    widths = list(dict.fromkeys(output.shape[1] for output in outputs))
    if len(widths) != 1:
        sizes = f" ({', '.join(map(str, widths))})" if widths else ""
        message = (
            f"features.layer=mean needs blocks of one width, and its blocks differ{sizes}: use features.layer=best"
        )
        raise ModelFailureError(message)
    return torch.stack(list(outputs)).mean(0)
