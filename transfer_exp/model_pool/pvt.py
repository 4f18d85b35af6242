"""The Pyramid Vision Transformer, first version (Wang et al., ICCV 2021), which timm does not have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import no_type_check

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from transfer_exp.vision import timm

Tokens = Float[Tensor, "batch tokens dim"]

DEPTHS = {"pvt_tiny": (2, 2, 2, 2), "pvt_small": (3, 4, 6, 3), "pvt_medium": (3, 4, 18, 3)}
"""Number of blocks in each of the four stages (Table 1 of the paper)."""
_SIDE = 224
_EPSILON = 1e-6
"""Epsilon of the norms in blocks and at the end; norms after an embedding or a reduction use torch's default."""


class Attention(nn.Module):
    """Attention with spatial reduction of keys and values (Eqs. 1 to 3)."""

    def __init__(self, dim: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.kv, self.proj = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)
        if reduction > 1:
            self.sr = nn.Conv2d(dim, dim, reduction, reduction)
            self.norm = nn.LayerNorm(dim)
        self.reduction = reduction

    def forward(self, tokens: Tokens) -> Tokens:
        """Return as many tokens; with a reduction above 1 the tokens must form a square map."""
        source = tokens
        if self.reduction > 1:
            side = round(tokens.shape[1] ** 0.5)
            reduced = self.sr(tokens.transpose(1, 2).unflatten(2, (side, side)))
            source = self.norm(reduced.flatten(2).transpose(1, 2))
        keys, values = (self._split_heads(chunk) for chunk in self.kv(source).chunk(2, dim=-1))
        mixed = functional.scaled_dot_product_attention(self._split_heads(self.q(tokens)), keys, values)
        return self.proj(mixed.transpose(1, 2).flatten(2))

    def _split_heads(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)


class Block(nn.Module):
    """Residual attention, then a residual two-layer perceptron."""

    def __init__(self, dim: int, heads: int, ratio: int, reduction: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(dim, eps=_EPSILON) for _ in range(2))
        self.attn = Attention(dim, heads, reduction)
        self.mlp = timm.layers.Mlp(dim, ratio * dim)

    def forward(self, tokens: Tokens) -> Tokens:
        """Return as many tokens."""
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class Stage(nn.Module):
    """Patch embedding with position embedding, then blocks; the last stage adds a class token."""

    def __init__(self, channels: tuple[int, int], patch: int, side: int, blocks: Sequence[Block], last: bool) -> None:
        super().__init__()
        in_dim, dim = channels
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(in_dim, dim, patch, patch), "norm": nn.LayerNorm(dim)})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim)) if last else None
        self.pos_embed = nn.Parameter(torch.zeros(1, side * side + last, dim))
        self.block = nn.Sequential(*blocks)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Tokens:
        """Return the tokens after the last block."""
        tokens = self.patch_embed["norm"](self.patch_embed["proj"](images).flatten(2).transpose(1, 2))
        if self.cls_token is not None:
            tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
        return self.block(tokens + self.pos_embed)


class PVT(nn.Module):
    """Pyramid of four stages, each with half the side of the previous one; for 224-pixel images and 1000 classes.

    It implements timm's interface. Types of two methods are not checked at run time, because splitting a network by
    tracing calls them with proxies instead of tensors.
    """

    def __init__(self, depths: Sequence[int]) -> None:
        super().__init__()
        widths, heads, ratios, reductions = (3, 64, 128, 320, 512), (1, 2, 5, 8), (8, 8, 4, 4), (8, 4, 2, 1)
        stages, side = [], _SIDE
        for i, depth in enumerate(depths):
            patch, dim = (2 if i else 4), widths[i + 1]
            side //= patch
            blocks = [Block(dim, heads[i], ratios[i], reductions[i]) for _ in range(depth)]
            stages.append(Stage((widths[i], dim), patch, side, blocks, last=i == len(depths) - 1))
        self.stages = nn.ModuleList(stages)
        self.norm = nn.LayerNorm(dim, eps=_EPSILON)
        self.head = nn.Linear(dim, 1000)

    @no_type_check
    def forward_features(self, images: Float[Tensor, "batch 3 224 224"]) -> Tokens:
        """Return the tokens of the last stage, normalised."""
        *early, last = self.stages
        for stage in early:
            tokens = stage(images)
            side = round(tokens.shape[1] ** 0.5)
            images = tokens.transpose(1, 2).unflatten(2, (side, side))
        return self.norm(last(images))

    @no_type_check
    def forward_head(self, tokens: Tokens, pre_logits: bool = False) -> Float[Tensor, "batch dim"]:
        """Return the class token (B, 512), or logits (B, 1000)."""
        return tokens[:, 0] if pre_logits else self.head(tokens[:, 0])

    def get_classifier(self) -> nn.Module:
        """Return the layer that gives logits."""
        return self.head

    def forward(self, images: Float[Tensor, "batch 3 224 224"]) -> Float[Tensor, "batch classes"]:
        """Return logits (B, 1000)."""
        return self.forward_head(self.forward_features(images))


def rename_weight(key: str) -> str:
    """Return the name in `PVT` of a weight in the authors' files, which number the modules instead of using stages."""
    key = re.sub(r"^(patch_embed|pos_embed|block)([1-4])\b", lambda m: f"stages.{int(m[2]) - 1}.{m[1]}", key)
    return f"stages.3.{key}" if key == "cls_token" else key
