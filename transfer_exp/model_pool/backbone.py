"""Common interface to networks of different libraries: features at the input of the classifier head, source logits."""

from __future__ import annotations

import re
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from transfer_exp.errors import NotApplicableError
from transfer_exp.vision import timm, torchvision

Images = Float[Tensor, "batch 3 height width"]
Features = Float[Tensor, "batch dim"]
Logits = Float[Tensor, "batch source_classes"]

_HEADS = ("fc", "classifier", "heads", "head")
_CONTRASTIVE = re.compile(r"clip|pe_core")
"""Matches the names of timm's networks that were trained to match images and texts."""
_LABELS = frozenset({0, 1000, 11821, 21841, 21843})
"""Numbers of classes of ImageNet and its parts, on which such networks are fine-tuned."""


class Backbone(nn.Module):
    """A network cut before its classifier head. Calling it gives features (B, D).

    Attributes:
        logits_key: Part of the key of cached features that says where source logits come from; empty if they are a
            linear layer of the features, or the network has no layer after the features.
        holder: Name of the attribute that holds the network of a library; empty if this object is the network.
    """

    logits_key: str = ""
    holder: str = ""

    def forward(self, images: Images) -> Features:
        """Return features (B, D), the input of the classifier head."""
        raise NotImplementedError

    def features_and_logits(self, images: Images) -> tuple[Features, Logits | None]:
        """Return features (B, D) and source logits (B, S), or None for a network without a head."""
        return self(images), None

    @property
    def linear_head(self) -> nn.Linear | None:
        """The linear layer that maps features to source logits; None without one."""
        return None

    @property
    def library_network(self) -> nn.Module:
        """The network whose modules are layers by the names of its library."""
        return getattr(self, self.holder) if self.holder else self


class TimmBackbone(Backbone):
    """A timm network; the features are timm's ``pre_logits``, and the logits are the network's own output.

    The output is not always a linear layer of the features: some heads normalise, convolve, or average two classifiers.

    Args:
        network: The network.
        is_classifier: False if its output is not one logit per source class, such as the projection of a CLIP tower.
    """

    holder = "network"

    def __init__(self, network: nn.Module, is_classifier: bool = True) -> None:
        super().__init__()
        self.network = cast("Any", network)
        self.is_classifier = is_classifier
        if isinstance(self.network.get_classifier(), nn.Linear) != is_classifier:
            self.logits_key = "own output" if is_classifier else "none"
        self._logits_of_maps: bool | None = None

    def forward(self, images: Images) -> Features:
        """Return features (B, D)."""
        features: Tensor = self.network.forward_head(self.network.forward_features(images), pre_logits=True)
        return features

    def features_and_logits(self, images: Images) -> tuple[Features, Logits | None]:
        """Return features (B, D) and source logits (B, S) or None."""
        maps = self.network.forward_features(images)
        features = self.network.forward_head(maps, pre_logits=True)
        return features, self._logits(images, maps) if self.is_classifier else None

    def _logits(self, images: Images, maps: Any) -> Tensor:
        """Return the output of the network from its feature maps, where a first check finds that this is the same."""
        if self._logits_of_maps is None:
            expected, first = self.network(images), self.network.forward_head(maps)
            tolerance = 1e-3 * float(expected.abs().nan_to_num(0, 0).max())  # mixed precision rounds to three digits
            self._logits_of_maps = torch.allclose(first, expected, rtol=0, atol=tolerance, equal_nan=True)
            return cast("Tensor", first if self._logits_of_maps else expected)
        return cast("Tensor", self.network.forward_head(maps) if self._logits_of_maps else self.network(images))

    @property
    def linear_head(self) -> nn.Linear | None:
        """The classifier of timm if it is a linear layer; other operations may follow it."""
        head = self.network.get_classifier()
        return head if self.is_classifier and isinstance(head, nn.Linear) else None


class TorchvisionBackbone(Backbone):
    """A torchvision network that ends in a linear layer, split into trunk and head.

    Args:
        network: The network.
        is_classifier: False if its output is not one logit per source class.
    """

    holder = "trunk"

    def __init__(self, network: nn.Module, is_classifier: bool = True) -> None:
        super().__init__()
        self.is_classifier = is_classifier
        self.logits_key = "" if is_classifier else "none"
        for auxiliary in ("aux_logits", "aux1", "aux2", "AuxLogits"):
            # Auxiliary classifiers run in training mode only and would change the output of the trunk.
            if hasattr(network, auxiliary):
                setattr(network, auxiliary, None)
        self.head = _remove_head(network)
        self.trunk = network

    def forward(self, images: Images) -> Features:
        """Return features (B, D)."""
        return cast("Tensor", self.trunk(images))

    def features_and_logits(self, images: Images) -> tuple[Features, Logits | None]:
        """Return features (B, D) and source logits (B, S) or None."""
        features = self(images)
        return features, self.head(features) if self.is_classifier else None

    @property
    def linear_head(self) -> nn.Linear | None:
        """The last linear layer of the network if it classifies."""
        return self.head if self.is_classifier else None


def _remove_head(network: nn.Module) -> nn.Linear:
    """Replace the last linear layer of the classifier by the identity, and return it."""
    for name, module in reversed(list(network.named_modules())):
        if isinstance(module, nn.Linear) and name.split(".")[0] in _HEADS:
            parent, _, attribute = name.rpartition(".")
            setattr(network.get_submodule(parent), attribute, nn.Identity())
            return module
    raise NotApplicableError(f"{type(network).__name__} has no linear classifier head to take features from")


class HeadlessBackbone(Backbone):
    """A network without a head: its output is the features."""

    holder = "trunk"

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, images: Images) -> Features:
        """Return features (B, D)."""
        return cast("Tensor", self.trunk(images))


class FeatureMapBackbone(Backbone):
    """A network that classifies a feature map and averages over space (SqueezeNet); features are its mean."""

    def __init__(self, features: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.features, self.classifier = features, classifier

    def forward(self, images: Images) -> Features:
        """Return features (B, D), the spatial mean of the classifier's input."""
        return cast("Tensor", self.features(images).mean((2, 3)))

    def features_and_logits(self, images: Images) -> tuple[Features, Logits]:
        """Return features (B, D) and source logits (B, S)."""
        features = self.features(images)
        return features.mean((2, 3)), self.classifier(features).flatten(1)


class CustomBackbone(Backbone):
    """A user-defined network: ``forward_features`` gives features (B, D) and ``forward`` gives logits."""

    holder = "network"

    def __init__(self, network: nn.Module, source_classes: int) -> None:
        super().__init__()
        self.network, self.source_classes = cast("Any", network), source_classes

    def forward(self, images: Images) -> Features:
        """Return features (B, D)."""
        return cast("Tensor", self.network.forward_features(images))

    def features_and_logits(self, images: Images) -> tuple[Features, Logits | None]:
        """Return features (B, D) and source logits (B, S) or None; the trunk runs once for each."""
        return self(images), self.network(images) if self.source_classes else None


class LogitsBackbone(Backbone):
    """A backbone whose features are the source logits (B, S) of another backbone."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Images) -> Features:
        """Return the logits (B, S)."""
        return self.features_and_logits(images)[0]

    def features_and_logits(self, images: Images) -> tuple[Features, Logits]:
        """Return the logits (B, S) twice; raises `NotApplicableError` for a network without a head."""
        logits = self.backbone.features_and_logits(images)[1]
        if logits is None:
            raise NotApplicableError("layer=logits needs a head for source classes, and this network has no head")
        return logits, logits

    @property
    def library_network(self) -> nn.Module:
        """The network of the other backbone."""
        return self.backbone.library_network


def wrap_network(network: nn.Module, source_classes: int | None = None) -> Backbone:
    """Return the backbone class that fits a network, applied to it.

    Args:
        network: Network of timm or torchvision, or a user-defined one with a method ``forward_features``.
        source_classes: S, or 0 if its output is not one logit per source class. None if that is not known: then a
            user-defined network has no head, and one of timm has a head unless its output is a CLIP projection.

    Raises:
        NotApplicableError: If the network has no linear head before which features could be taken.
    """
    if isinstance(network, torchvision.models.SqueezeNet):
        return FeatureMapBackbone(network.features, network.classifier)
    if hasattr(network, "forward_head"):
        has_output = getattr(network, "num_classes", 1) > 0 and source_classes != 0
        return TimmBackbone(network, has_output and (source_classes is not None or not is_clip_projection(network)))
    if hasattr(network, "forward_features"):
        return CustomBackbone(network, source_classes or 0)
    return TorchvisionBackbone(network, source_classes != 0)


def is_clip_projection(network: nn.Module) -> bool:
    """Return True if the output of a timm network has the size of a projection to the text space of CLIP.

    timm publishes CLIP towers as networks whose "classes" are the dimensions of that space. Only the names of their
    weights show it. Weights of CLIP that were fine-tuned on labels have the number of these labels instead.
    """
    description = getattr(network, "pretrained_cfg", None) or {}
    architecture = str(description.get("architecture") or "")
    published = timm.models.get_arch_pretrained_cfgs(architecture) if timm.is_model(architecture) else {}
    sizes = {settings.num_classes for name, settings in published.items() if _CONTRASTIVE.search(name)}
    return bool(getattr(network, "num_classes", 0) in sizes - _LABELS and not description.get("label_names"))
