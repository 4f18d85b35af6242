"""Common interface to networks of different libraries: features at the input of the classifier head, source logits."""

from __future__ import annotations

from typing import Any, cast

from jaxtyping import Float
from torch import Tensor, nn

from transfer_exp.errors import NotApplicableError
from transfer_exp.vision import torchvision

Images = Float[Tensor, "batch 3 height width"]
Features = Float[Tensor, "batch dim"]
Logits = Float[Tensor, "batch source_classes"]

_HEADS = ("fc", "classifier", "heads", "head")


class Backbone(nn.Module):
    """A network cut before its classifier head. Calling it gives features (B, D)."""

    def forward(self, images: Images) -> Features:
        """Return features (B, D), the input of the classifier head."""
        raise NotImplementedError

    def features_and_logits(self, images: Images) -> tuple[Features, Logits | None]:
        """Return features (B, D) and source logits (B, S), or None for a network without a head."""
        return self(images), None


class TimmBackbone(Backbone):
    """A timm network; the features are timm's ``pre_logits``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = cast("Any", network)

    def forward(self, images: Images) -> Features:
        """Return features (B, D)."""
        features: Tensor = self.network.forward_head(self.network.forward_features(images), pre_logits=True)
        return features

    def features_and_logits(self, images: Images) -> tuple[Features, Logits | None]:
        """Return features (B, D) and source logits (B, S) or None."""
        features, head = self(images), self.network.get_classifier()
        return features, head(features) if isinstance(head, nn.Linear) else None


class TorchvisionBackbone(Backbone):
    """A torchvision classifier that ends in a linear layer, split into trunk and head."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        for auxiliary in ("aux_logits", "aux1", "aux2", "AuxLogits"):
            # Auxiliary classifiers run in training mode only and would change the output of the trunk.
            if hasattr(network, auxiliary):
                setattr(network, auxiliary, None)
        self.head = _remove_head(network)
        self.trunk = network

    def forward(self, images: Images) -> Features:
        """Return features (B, D)."""
        return cast("Tensor", self.trunk(images))

    def features_and_logits(self, images: Images) -> tuple[Features, Logits]:
        """Return features (B, D) and source logits (B, S)."""
        features = self(images)
        return features, self.head(features)


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


def wrap_network(network: nn.Module, source_classes: int | None = None) -> Backbone:
    """Return the backbone class that fits a network, applied to it.

    Args:
        network: Network of timm or torchvision, or a user-defined one with a method ``forward_features``.
        source_classes: S of a user-defined network, 0 or None if it has no head; unused for the two libraries.

    Raises:
        NotApplicableError: If the network has no linear head before which features could be taken.
    """
    if isinstance(network, torchvision.models.SqueezeNet):
        return FeatureMapBackbone(network.features, network.classifier)
    if hasattr(network, "forward_head"):
        return TimmBackbone(network)
    if hasattr(network, "forward_features"):
        return CustomBackbone(network, source_classes or 0)
    return TorchvisionBackbone(network)
