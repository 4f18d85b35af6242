"""A network in two at the boundary of its last block, so that what comes before need not be computed again."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn

from transfer_exp.errors import NotApplicableError

Images = Float[Tensor, "batch 3 height width"]


@dataclass(frozen=True, eq=False)
class Trunk:
    """The part of a network before a module: calling it gives what that module would have been given."""

    backbone: nn.Module
    boundary: str

    def __call__(self, images: Images) -> Tensor:
        """Return activations at the boundary, without gradient, batch first."""

        def stop(module: nn.Module, given: tuple[Any, ...]) -> None:
            raise _ReachedError(given[0])

        handle = self.backbone.get_submodule(self.boundary).register_forward_pre_hook(stop)
        try:
            with torch.no_grad():
                self.backbone(images)
        except _ReachedError as reached:
            return reached.args[0]
        finally:
            handle.remove()
        raise NotApplicableError(f"the network never comes to {self.boundary}")


def split_at(backbone: nn.Module, block: Sequence[str], images: Images) -> tuple[Trunk, nn.Module]:
    """Return the trunk before a block and the rest from there on: ``rest(trunk(images))`` is ``backbone(images)``.

    Both use the modules of the backbone itself. So training the rest trains the backbone, and the rest is in the
    mode the backbone is in: switch that, as `PartlyTrained` does, and never the mode of the rest.

    Parameters
    ----------
    backbone
        In evaluation mode.
    block
        Names of modules as `last_block` gives them: the rest begins with the first.
    images
        One or more (B, 3, H, W), to follow their way through the network and to check the two parts with.

    Raises
    ------
    NotApplicableError
        When more than one value crosses the boundary, or the way from there depends on values.
    """
    name = type(getattr(backbone, "network", getattr(backbone, "trunk", backbone))).__name__
    trunk = Trunk(backbone, block[0])
    twice = torch.cat([images, images])
    try:
        with torch.no_grad():
            rest = fx.GraphModule(backbone, _Follower(block, images).trace(backbone), f"{name}Rest")
            found, expected = rest(trunk(twice)), backbone(twice)
    except Exception as error:  # whatever code of others does with a stand-in for a tensor
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise NotApplicableError(f"{name} cannot be split at {block[0]}: {reason}") from error
    if not torch.allclose(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max())):
        raise NotApplicableError(f"{name} cannot be split at {block[0]}: the parts give other features than the whole")
    return trunk, rest


class _ReachedError(Exception):
    """Carries activations out of a network that has gone far enough."""


class _Follower(fx.Tracer):
    """Runs a network as usual up to its block, and from there writes down what it does.

    So the way to the block may depend on values, as it does where positions are resized or channels counted.
    """

    def __init__(self, block: Sequence[str], images: Tensor) -> None:
        super().__init__()
        self.block, self.images, self.crossed = block, images, False

    def create_args_for_root(self, root_fn: Callable[..., Any], is_module: bool, *rest: Any) -> Any:
        """Give real images, and to the bare function: a check of shapes around it would refuse the stand-in."""
        return inspect.unwrap(root_fn), [self.root, self.images]

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return whether a module is one step of what is written down."""
        return not any(name.startswith(f"{module_qualified_name}.") for name in self.block)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Give parameters as they are up to the block."""
        return super().getattr(attr, attr_val, parameter_proxy_cache) if self.crossed else attr_val

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run a module before the block, cross over at its first, and write down those after."""
        if not self.crossed:
            if self.path_of_module(m) != self.block[0]:
                return forward(*args, **kwargs)
            self.crossed = True
            args = (self.create_proxy("placeholder", "boundary", (), {}), *args[1:])
        return super().call_module(m, forward, args, kwargs)

    def create_arg(self, a: Any) -> Any:
        """Refuse a tensor from before the boundary, which would be written down as a constant."""
        if isinstance(a, Tensor) and not isinstance(a, nn.Parameter):
            raise NotApplicableError("another value crosses the boundary")
        return super().create_arg(a)
