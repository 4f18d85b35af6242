"""Folders of checkpoints that cannot be loaded, or are dangerous to load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tests.bad_input.files import (
    ENTRY,
    Build,
    bare_pickle,
    claiming,
    compressed,
    manifest,
    pickled,
    sequence,
    sparse,
    tensors,
    text,
)
from tests.bad_input.kind import Kind

ARGUMENTS = ("model_pool=checkpoints", "model_pool.root=.", "ground_truth=none", "tracker=none")
TERA = json.dumps({"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}).encode()


def _weights(folder: Path) -> None:
    save_file({"weight": torch.zeros(4)}, folder / "net.safetensors")


def _linked(folder: Path) -> None:
    (folder / "pool").mkdir()
    manifest()(folder / "pool")
    _weights(folder)
    (folder / "pool" / "net.safetensors").symlink_to(folder / "net.safetensors")


def _kind(name: str, message: str, build: Build) -> Kind:
    return Kind(name, ARGUMENTS, message, build)


def _entry(name: str, message: str, **changes: Any) -> Kind:
    return _kind(name, message, sequence(manifest(**changes), _weights))


def _file(name: str, message: str, build: Build, ending: str = "pth") -> Kind:
    return _kind(name, message, sequence(manifest(file=f"net.{ending}"), build))


KINDS = [
    _kind("no manifest", "describe the checkpoints there", lambda folder: None),
    _kind("manifest that is not JSON", "manifest.json is not JSON", text("manifest.json", "{")),
    _kind("manifest that is a list", "must be a JSON object", text("manifest.json", "[]")),
    _kind("manifest in Latin-1", "manifest.json is not UTF-8 text", text("manifest.json", b'{"caf\xe9": {}}')),
    _kind("manifest with a NUL", "manifest.json contains a NUL", text("manifest.json", b'{"a\0": {}}')),
    _kind("manifest nested without end", "nested too deeply", text("manifest.json", "[" * 200_000)),
    _kind("manifest of a gigabyte", "manifest.json has 1073741824 bytes", sparse("manifest.json", 1 << 30)),
    _kind(
        "duplicate network",
        "'net' appears twice",
        text("manifest.json", f'{{"net": {json.dumps(ENTRY)}, "net": {json.dumps(ENTRY)}}}'),
    ),
    _kind("entry without its file", "lacks architecture, file", text("manifest.json", '{"net": {"library": "timm"}}')),
    _entry("weights above the folder", "names a file outside the folder: ../net.pth", file="../net.pth"),
    _entry("weights by an absolute path", "names a file outside the folder: /dev/zero", file="/dev/zero"),
    _entry("weights with a NUL in their name", "names no file", file="net\0.pth"),
    Kind(
        "weights behind a link out of the folder",
        ("model_pool=checkpoints", "model_pool.root=pool", *ARGUMENTS[2:]),
        "names a file outside the folder: net.safetensors",
        _linked,
    ),
    _entry("missing weights", "no weights file absent.pth", file="absent.pth"),
    _entry("architecture from a hub", "no architecture 'hf-hub:a/b'", architecture="hf-hub:a/b"),
    _entry("argument that downloads", "not allowed: pretrained=True", arguments={"pretrained": True}),
    _entry("argument with a target", "not allowed: act_layer", arguments={"act_layer": {"_target_": "os.system"}}),
    _entry("layer of terabytes", "far more numbers than its file", arguments={"num_classes": 10**12}),
    _entry(
        "layers without end",
        "far more numbers than its file",
        arguments={"layers": [10**9] * 4, "channels": [2048] * 4},
    ),
    _entry("unknown argument of a network", "refuses its arguments", arguments={"num_clases": 5}),
    _entry("input of a million pixels a side", "input_size 1000000", input_size=10**6),
    _entry("mean that is not a number", "NaN is not a number", mean=[float("nan")] * 3),
    _entry("deviation of zero", "std [0, 1, 1]: need three numbers above 0", std=[0, 1, 1]),
    _entry("classes in words", "source_classes 'ten'", source_classes="ten"),
    _entry("weights of another network", "does not fit test_resnet"),
    _file("torch file with code", "or it holds code", pickled("net.pth")),
    _file("pickle with code", "or it holds code", bare_pickle("net.pth")),
    _file("compressed torch file", "is compressed, which torch never does", compressed("net.pth")),
    _file(
        "torch file of a repeated number",
        "a tensor of shape (1000000, 1000000)",
        tensors("net.pth", {"weight": torch.ones(1).expand(10**6, 10**6)}),
    ),
    _file("torch file without names", "holds no state dict", tensors("net.pth", [torch.ones(1)])),
    _file(
        "safetensors whose header states terabytes", "not a readable", claiming("net.safetensors", TERA), "safetensors"
    ),
    _file(
        "safetensors with a header of terabytes",
        "not a readable safetensors file: its header is damaged: fetch it again",
        claiming("net.safetensors", b"{}", 10**12),
        "safetensors",
    ),
]
