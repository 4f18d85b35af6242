"""Cost of a network: size, multiply-adds and memory of a forward pass, counted on one image; speed is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

from transfer_exp.model_pool.loaded_model import LoadedModel

_SIDE = 256
"""Side of the blank image that shows the input size of a network after its preprocessing."""


@dataclass(frozen=True)
class ModelCost:
    """What a network needs, and what is published about its weights.

    Attributes:
        parameters: Number of parameters, source head included.
        multiply_adds: Multiplications of convolutions, linear layers and attention for one image, without the head.
        weight_bytes: Memory of parameters and buffers.
        activation_bytes: Largest memory of all activations of one image that exist at the same time.
        file_bytes: Size of the file of weights, or ``weight_bytes`` if there is none.
        images_per_second: Fastest forward passes so far on this device, without decoding; None if not measured.
        batch_size: Images per pass of that measurement.
        licence, source_dataset: Of the weights; None if unknown.
    """

    parameters: int
    multiply_adds: int
    weight_bytes: int
    activation_bytes: int
    file_bytes: int
    images_per_second: float | None = None
    batch_size: int | None = None
    licence: str | None = None
    source_dataset: str | None = None

    def peak_memory(self, batch_size: int) -> int:
        """Return the memory of the weights and of the activations of a batch, in bytes."""
        return self.weight_bytes + batch_size * self.activation_bytes


def count_cost(model: LoadedModel) -> dict[str, Any]:
    """Return the fields of a `ModelCost` that need no measurement, from a forward pass of one blank image on the CPU.

    Raises:
        Exception: If the network cannot take an image of the size that its preprocessing gives.
    """
    backbone = model.backbone
    tensors = [*backbone.parameters(), *backbone.buffers()]
    weight_bytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    image = torch.zeros_like(model.transform(Image.new("RGB", (_SIDE, _SIDE))))[None]
    # Not in inference mode, in which linear layers and attention would be seen whole.
    with torch.inference_mode(False), torch.no_grad(), _Counter() as counter:
        backbone(image)
    return {
        "parameters": model.parameters,
        "multiply_adds": counter.flops // 2,
        "weight_bytes": weight_bytes,
        "activation_bytes": counter.bytes,
        "file_bytes": model.file_bytes or weight_bytes,
        "licence": model.licence,
        "source_dataset": model.source_dataset,
    }


def _attention_flops(batch: int, tokens: int, width: int) -> int:
    """Return the operations of self-attention with its four projections, which torch fuses."""
    return 2 * batch * (4 * tokens * width**2 + 2 * tokens**2 * width)


class _Counter(TorchDispatchMode):
    """Counts operations and memory of what runs inside the context.

    Attributes:
        flops: Operations of convolutions, matrix products and attention; two for each multiplication.
        bytes: Largest number of bytes of all results that exist at the same time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops, self.bytes = 0, 0
        self._storages: dict[int, tuple[StorageWeakRef, int]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # By default, the first tensor would import torch's compiler, which takes over a second.

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and add it to the counts."""
        kwargs = kwargs or {}
        outputs = func(*args, **kwargs)
        if func._overloadpacket in flop_registry:
            self.flops += flop_registry[func._overloadpacket](*args, **kwargs, out_val=outputs)
        elif func._overloadpacket is torch.ops.aten._native_multi_head_attention:
            self.flops += _attention_flops(*args[0].shape)
        elif func._overloadpacket is torch.ops.aten._scaled_dot_product_flash_attention_for_cpu:
            self.flops += sdpa_flop_count(*(tensor.shape for tensor in args[:3]))
        inputs = {leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        for output in tree_leaves(outputs):
            if isinstance(output, Tensor) and output.untyped_storage()._cdata not in inputs:
                storage = output.untyped_storage()
                self._storages[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self._storages = {key: entry for key, entry in self._storages.items() if not entry[0].expired()}
        self.bytes = max(self.bytes, sum(size for _, size in self._storages.values()))
        return outputs
