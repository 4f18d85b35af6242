"""One view of networks from different libraries: features at the input of the classifier head, and source logits."""

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
        raise NotImplementedError


class TimmBackbone(Backbone):
    """Any timm network; the layer is timm's own ``pre_logits``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = cast("Any", network)

    def forward(self, images: Images) -> Features:
        """Return features (B, D), the input of the classifier head."""
        features: Tensor = self.network.forward_head(self.network.forward_features(images), pre_logits=True)
        return features

    def features_and_logits(self, images: Images) -> tuple[Features, Logits | None]:
        """Return features (B, D) and source logits (B, S), or None for a network without a head."""
        features, head = self(images), self.network.get_classifier()
        return features, head(features) if isinstance(head, nn.Linear) else None


class TorchvisionBackbone(Backbone):
    """Any torchvision classifier that ends in a linear layer: that layer is taken off and kept as the head."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        for auxiliary in ("aux_logits", "aux1", "aux2", "AuxLogits"):
            # An auxiliary classifier speaks up in training mode only, and would change what the trunk returns.
            if hasattr(network, auxiliary):
                setattr(network, auxiliary, None)
        self.head = _take_head(network)
        self.trunk = network

    def forward(self, images: Images) -> Features:
        """Return features (B, D), the input of the classifier head."""
        features: Tensor = self.trunk(images)
        return features

    def features_and_logits(self, images: Images) -> tuple[Features, Logits | None]:
        """Return features (B, D) and source logits (B, S)."""
        features = self(images)
        return features, self.head(features)


def _take_head(network: nn.Module) -> nn.Linear:
    """Replace the last linear layer of the classifier by the identity, and return it."""
    for name, module in reversed(list(network.named_modules())):
        if isinstance(module, nn.Linear) and name.split(".")[0] in _HEADS:
            owner, _, attribute = name.rpartition(".")
            setattr(network.get_submodule(owner), attribute, nn.Identity())
            return module
    raise NotApplicableError(f"{type(network).__name__} has no linear classifier head to take features from")


class TrunkBackbone(Backbone):
    """A network that ends in its features and has no head."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, images: Images) -> Features:
        """Return features (B, D), what the network returns."""
        return cast("Tensor", self.trunk(images))

    def features_and_logits(self, images: Images) -> tuple[Features, None]:
        """Return features (B, D) and None."""
        return self(images), None


class MapBackbone(Backbone):
    """A network that classifies a feature map and averages over space (SqueezeNet): features are the map's mean."""

    def __init__(self, features: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.features, self.classifier = features, classifier

    def forward(self, images: Images) -> Features:
        """Return features (B, D), the mean over space of the classifier's input."""
        return cast("Tensor", self.features(images).mean((2, 3)))

    def features_and_logits(self, images: Images) -> tuple[Features, Logits | None]:
        """Return features (B, D) and source logits (B, S)."""
        features = self.features(images)
        return features.mean((2, 3)), self.classifier(features).flatten(1)


class CustomBackbone(Backbone):
    """A network from a file of the user's: ``forward_features`` gives (B, D) and ``forward`` logits."""

    def __init__(self, network: nn.Module, source_classes: int) -> None:
        super().__init__()
        self.network, self.source_classes = cast("Any", network), source_classes

    def forward(self, images: Images) -> Features:
        """Return features (B, D), the input of the classifier head."""
        return cast("Tensor", self.network.forward_features(images))

    def features_and_logits(self, images: Images) -> tuple[Features, Logits | None]:
        """Return features (B, D) and source logits (B, S); the trunk runs twice, as its inside is not known."""
        return self(images), self.network(images) if self.source_classes else None


class SourceLogits(Backbone):
    """Another backbone with its head on: the logits (B, S) are the features."""

    def __init__(self, whole: Backbone) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, images: Images) -> Features:
        """Return the logits (B, S)."""
        return self.features_and_logits(images)[0]

    def features_and_logits(self, images: Images) -> tuple[Features, Logits | None]:
        """Return the logits (B, S) twice; raises `NotApplicableError` for a network without a head."""
        logits = self.whole.features_and_logits(images)[1]
        if logits is None:
            raise NotApplicableError("it has no head for source classes, whose logits were asked for")
        return logits, logits


def backbone_of(network: nn.Module, source_classes: int | None = None) -> Backbone:
    """Wrap a network in the view that fits it.

    Parameters
    ----------
    network
        From timm, torchvision, or a file of the user's with a method ``forward_features``.
    source_classes
        S for a network of the user's own; 0 when it has no head. Other networks know.

    Raises
    ------
    NotApplicableError
        When no features can be taken from it.
    """
    if isinstance(network, torchvision.models.SqueezeNet):
        return MapBackbone(network.features, network.classifier)
    if hasattr(network, "forward_head"):
        return TimmBackbone(network)
    if hasattr(network, "forward_features"):
        return CustomBackbone(network, source_classes or 0)
    return TorchvisionBackbone(network)
