"""Networks to fine-tune: the trained part of a model with a new head, and its inputs.

If only the last block is trained, the layers before it (the frozen *trunk*) may run once per image, before training.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, fx, nn

from transfer_exp.dataset.target_dataset import LabelledImages
from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.ground_truth.training import Batch, BatchAt, seeded_random_state, use_random_state
from transfer_exp.model_pool.loaded_model import Transform
from transfer_exp.statistics.feature_set import Targets

MAX_BYTES = 2 * 1024**3
"""Largest split whose inputs stay in memory; a larger one is computed again for each batch."""
_ACTIVATION_BATCH = 128
Images = Float[Tensor, "batch 3 height width"]
NewHead: TypeAlias = Callable[[int], nn.Linear]
"""Creates a head (the classifier layer) for features of dimension D."""


class TrainedPart(NamedTuple):
    """The part of a backbone that is trained.

    Attributes:
        network: Returns features (B, D); in evaluation mode. It is a template: each training copies it.
        trained: Names of the modules and parameters of ``network`` that are trained; empty to train all.
        trunk: Frozen part of the backbone that computes the inputs of ``network``; None if these are images.
    """

    network: nn.Module
    trained: tuple[str, ...] = ()
    trunk: Trunk | None = None

    def count_parameters(self, images: Images) -> int:
        """Return the number of trained parameters that the features of ``images`` depend on."""
        used = used_parameters(self.network, images if self.trunk is None else self.trunk(images))
        inside = tuple(f"{name}." for name in self.trained)
        return sum(
            parameter.numel()
            for name, parameter in used.items()
            if not self.trained or name in self.trained or name.startswith(inside)
        )


def used_parameters(network: nn.Module, inputs: Tensor) -> dict[str, nn.Parameter]:
    """Return the parameters with a gradient of the features of ``inputs``; a classifier that is cut off has none."""
    parameters = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    with torch.enable_grad():
        gradients = torch.autograd.grad(network(inputs).sum(), list(parameters.values()), allow_unused=True)
    return {name: p for (name, p), gradient in zip(parameters.items(), gradients, strict=True) if gradient is not None}


def use_channels_last(network: nn.Module) -> None:
    """Store the weights with channels last, the layout that feature extraction leaves; it decides the rounding.

    On the CPU, torch 2.13 crashes in the backward pass of a group norm whose input has channels last and needs no
    gradient, as that of the first trained norm. Such an input is copied to the default layout.
    """
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for module in network.modules():
        if isinstance(module, nn.GroupNorm):
            module.register_forward_pre_hook(_copy_frozen_input)


def _copy_frozen_input(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
    inputs = arguments[0]
    return None if inputs.requires_grad else (inputs.contiguous(), *arguments[1:])


def running_modules(network: nn.Module, images: Images) -> list[str]:
    """Return the names of the modules that run on ``images``, in the order in which they first start."""
    names: dict[str, None] = {}

    def record(name: str) -> Callable[..., None]:
        return lambda *arguments: names.setdefault(name)

    handles = [module.register_forward_pre_hook(record(name)) for name, module in network.named_modules() if name]
    try:
        with torch.no_grad():
            network(images)
    finally:
        for handle in handles:
            handle.remove()
    return list(names)


@dataclass(frozen=True, eq=False)
class NetworkFactory:
    """Creates identical networks to fine-tune, and their inputs.

    Attributes:
        part, dim: The trained part of the model, and the dimension D of its features.
        parameters: Number of parameters of the part that are trained.
        transform: Preprocessing of one image.
        freeze_batch_norm: Keep batch norms in evaluation mode.
        seed, device: Seed of the weights of a random head, and device of networks and inputs.
    """

    part: TrainedPart
    dim: int
    parameters: int
    transform: Transform
    freeze_batch_norm: bool
    seed: int
    device: torch.device

    def build(self, new_head: NewHead) -> nn.Module:
        """Return a pretrained copy of the trained part with a new head, in training mode."""
        with use_random_state(seeded_random_state(self.seed)):
            network = copy.deepcopy(self.part.network)
            if self.part.trained:
                network = PartlyTrained(network, self.part.trained)
            network = _WithHead(network, new_head(self.dim))
        network.freeze_batch_norm = self.freeze_batch_norm
        return network.to(self.device).train()

    def examples(self, images: LabelledImages, first: int | None = None) -> Examples:
        """Return the inputs and targets of the network for some images, without augmentation.

        With ``first``, only so many images from the start pass through the trunk, and the others cannot be used.
        """
        batch_at = prepare_images(images, self.transform, self.device)
        if self.part.trunk is not None:
            batch_at = _activations(self.part.trunk, batch_at, len(images), len(images) if first is None else first)
        return Examples(batch_at, images.labels, images.targets)


class _WithHead(nn.Sequential):
    """A network and its head; frozen batch norms stay in evaluation mode."""

    freeze_batch_norm = False

    def train(self, mode: bool = True) -> _WithHead:
        super().train(mode)
        for module in self.modules():
            if mode and self.freeze_batch_norm and isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self


class PartlyTrained(nn.Module):
    """A network whose modules and parameters ``trained`` are trained, while the rest never changes.

    Outside these modules, other parameters need no gradient, batch norms keep their statistics, and dropout is off,
    even in training mode. It is an InputError if the network has no module or parameter of such a name.
    """

    def __init__(self, network: nn.Module, trained: Sequence[str]) -> None:
        super().__init__()
        named = {**dict(network.named_parameters()), **dict(network.named_modules())}
        missing = set(trained).difference(named)
        if missing:
            raise InputError(f"{type(network).__name__} has no module '{min(missing)}' to train")
        self.network = network.requires_grad_(False)
        self.trained_modules = tuple(name for name in trained if isinstance(named[name], nn.Module))
        for name in trained:
            named[name].requires_grad_(True)
        self.train(network.training)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the output of the network."""
        return self.network(inputs)

    def train(self, mode: bool = True) -> PartlyTrained:
        """Set training or evaluation mode for the trained modules only."""
        super().train(False)
        self.training = mode
        for name in self.trained_modules:
            self.network.get_submodule(name).train(mode)
        return self


@dataclass(frozen=True, eq=False)
class Examples:
    """N inputs of a network, with labels (N,) and, unless they have one class each, targets (N, T)."""

    batch_at: BatchAt
    labels: Int[np.ndarray, " samples"]
    targets: Targets | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Int[np.ndarray, " chosen"]) -> Examples:
        """Return the examples at some positions, without computing any."""
        parent_positions = torch.from_numpy(np.asarray(indices, dtype=np.int64))
        targets = None if self.targets is None else self.targets[indices]
        return Examples(lambda positions: self.batch_at(parent_positions[positions]), self.labels[indices], targets)


def prepare_images(
    images: LabelledImages, transform: Transform, device: torch.device, use_cache: bool = True
) -> BatchAt:
    """Return preprocessed images (B, 3, H, W) and targets of a split by position, on a device.

    With ``use_cache``, a split of up to `MAX_BYTES` is decoded once and stays in memory. Random transforms need
    ``use_cache=False``. Targets are labels (B,), or zeros and ones (B, C).
    """
    targets = torch.from_numpy(np.asarray(images.labels if images.targets is None else images.targets))
    targets = targets.float() if targets.is_floating_point() else targets

    def decode(position: int) -> Tensor:
        return transform(images.read(position))

    if use_cache and decode(0).nbytes * len(images) <= MAX_BYTES:
        decode = cache(decode)

    def batch_at(positions: Int[Tensor, " batch"]) -> Batch:
        return torch.stack([decode(i) for i in positions.tolist()]).to(device), targets[positions].to(device)

    return batch_at


def _activations(trunk: Trunk, image_batch_at: BatchAt, n_images: int, n_computed: int) -> BatchAt:
    """Return the outputs of the trunk by position: computed once if they fit into memory, else batch by batch.

    Only the first ``n_computed`` images are computed at once.
    """

    def compute(positions: Int[Tensor, " batch"]) -> Batch:
        images, targets = image_batch_at(positions)
        trunk.backbone.to(images.device)
        return trunk(images), targets

    first, _ = compute(torch.arange(1))
    if first.nbytes * n_images > MAX_BYTES:
        return compute
    # Always the same batches, because a resumed run must compute the same bits.
    batches = [compute(positions) for positions in torch.arange(n_computed).split(_ACTIVATION_BATCH)]
    inputs, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return lambda positions: (inputs[positions], targets[positions])


@dataclass(frozen=True, eq=False)
class Trunk:
    """The part of a network before the module ``boundary``: returns the input of that module."""

    backbone: nn.Module
    boundary: str

    def __call__(self, images: Images) -> Tensor:
        """Return activations at the boundary, batch first, without gradient."""

        def stop(module: nn.Module, arguments: tuple[Any, ...]) -> None:
            raise _BoundaryReachedError(arguments[0])

        handle = self.backbone.get_submodule(self.boundary).register_forward_pre_hook(stop)
        try:
            with torch.no_grad():
                self.backbone(images)
        except _BoundaryReachedError as reached:
            return reached.args[0]
        finally:
            handle.remove()
        raise NotApplicableError(f"the network never runs its module {self.boundary}")


class _BoundaryReachedError(Exception):
    """Carries the activations out of a network that is stopped at the boundary."""


def split_at(backbone: nn.Module, block: Sequence[str], images: Images) -> tuple[Trunk, nn.Module]:
    """Split a backbone before a block so that ``rest(trunk(images))`` equals ``backbone(images)``.

    Both parts share the modules of the backbone, so training the rest trains the backbone. The rest follows the train
    or eval mode of the backbone; set the mode there (as `PartlyTrained` does), never on the rest.

    Args:
        backbone: Network in evaluation mode.
        block: Names of modules in forward order; the rest begins with the first.
        images: Images (B, 3, H, W) to trace the network with and to compare the two parts on.

    Returns:
        The part before the block, and the part from the block on.

    Raises:
        NotApplicableError: When more than one value crosses the boundary, or the computation after it depends on
            values.
    """
    name = type(getattr(backbone, "network", getattr(backbone, "trunk", backbone))).__name__
    trunk = Trunk(backbone, block[0])
    doubled = torch.cat([images, images])
    try:
        with torch.no_grad():
            rest = fx.GraphModule(backbone, _SplitTracer(block, images).trace(backbone), f"{name}Rest")
            features, expected = rest(trunk(doubled)), backbone(doubled)
    except Exception as error:  # third-party code may raise anything when it is traced
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise NotApplicableError(f"{name} cannot be split at {block[0]}: {reason}") from error
    if not torch.allclose(features, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max())):
        raise NotApplicableError(f"{name} cannot be split at {block[0]}: the parts give other features than the whole")
    return trunk, rest


class _SplitTracer(fx.Tracer):
    """Runs a network on images up to a block, and traces it from there on.

    Code before the block may therefore depend on values, for example to resize positional embeddings.
    """

    def __init__(self, block: Sequence[str], images: Tensor) -> None:
        super().__init__()
        self.block, self.images, self.is_tracing = block, images, False

    def create_args_for_root(self, root_fn: Callable[..., Any], is_module: bool, *rest: Any) -> Any:
        """Pass real images, to the undecorated function: a decorator that checks shapes rejects proxies."""
        return inspect.unwrap(root_fn), [self.root, self.images]

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return True for modules that contain no module of the block; they are traced as one call."""
        return not any(name.startswith(f"{module_qualified_name}.") for name in self.block)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Return real parameters before the block, and proxies after it."""
        return super().getattr(attr, attr_val, parameter_proxy_cache) if self.is_tracing else attr_val

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run a module before the block; start tracing at the first module of the block."""
        if not self.is_tracing:
            if self.path_of_module(m) != self.block[0]:
                return forward(*args, **kwargs)
            self.is_tracing = True
            args = (self.create_proxy("placeholder", "boundary", (), {}), *args[1:])
        return super().call_module(m, forward, args, kwargs)

    def create_arg(self, a: Any) -> Any:
        """Reject tensors computed before the block, which would become constants of the trace."""
        if isinstance(a, Tensor) and not isinstance(a, nn.Parameter):
            raise NotApplicableError("a second value crosses the boundary")
        return super().create_arg(a)
