"""Checkpoint folders load exactly as their manifest describes, and no code in them runs."""

from __future__ import annotations

import argparse
import json
import pickle
import re
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.model_pool.checkpoints import checkpoints
from transfer_exp.model_pool.loaded_model import hash_weights
from transfer_exp.model_pool.preprocessing import create_transforms
from transfer_exp.vision import timm, torchvision

pytestmark = pytest.mark.slow

ENTRY = {
    "library": "timm",
    "architecture": "test_resnet",
    "arguments": {"num_classes": 5},
    "file": "net.safetensors",
    "input_size": 32,
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.2, 0.2],
    "interpolation": "bicubic",
    "source_classes": 5,
}


@pytest.fixture
def network():
    return timm.create_model("test_resnet", num_classes=5).eval()


@pytest.fixture
def folder(tmp_path: Path, network):
    save_file(network.state_dict(), tmp_path / "net.safetensors")
    _write_manifest(tmp_path, net=ENTRY)
    return tmp_path


def _write_manifest(folder: Path, **entries):
    (folder / "manifest.json").write_text(json.dumps(entries))


def _load(folder: Path, **options):
    return checkpoints(str(folder), **options).candidates[0].load()


def test_integers_and_floats_in_a_manifest_give_the_same_preprocessing(folder):
    _write_manifest(folder, net={**ENTRY, "mean": [0, 0, 0], "std": [1, 1, 1]})
    from_integers = _load(folder)
    _write_manifest(folder, net={**ENTRY, "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]})
    assert repr(from_integers.transform) == repr(_load(folder).transform)


def test_a_network_is_loaded_with_its_weights_and_preprocessing(folder, network):
    loaded = _load(folder)
    tensor = loaded.transform(Image.new("RGB", (40, 60), (255, 0, 51)))
    assert tensor.shape == (3, 32, 32)
    torch.testing.assert_close(tensor[:, 0, 0], torch.tensor([(1 - 0.5) / 0.2, -0.4 / 0.2, (0.2 - 0.3) / 0.2]))
    with torch.inference_mode():
        torch.testing.assert_close(loaded.backbone.features_and_logits(tensor[None])[1], network(tensor[None]))
    assert not loaded.freeze_batch_norm


def test_the_identity_changes_only_with_the_weights(folder, network):
    first, second = _load(folder).identity, _load(folder).identity
    assert first == second
    network.fc.bias.data[0] += 1e-3
    save_file(network.state_dict(), folder / "net.safetensors")
    assert _load(folder).identity != first


def test_a_network_that_needs_a_layout_version_gets_the_current_one(tmp_path):
    network = torchvision.models.get_model("mnasnet0_5", weights=None, num_classes=5).eval()
    save_file(network.state_dict(), tmp_path / "net.safetensors")
    _write_manifest(tmp_path, net={**ENTRY, "library": "torchvision", "architecture": "mnasnet0_5"})
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(_load(tmp_path).backbone.features_and_logits(image)[1], network(image))


def test_half_precision_weights_are_converted_to_single(folder, network):
    save_file(
        {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()},
        folder / "net.safetensors",
    )
    assert {p.dtype for p in _load(folder).backbone.parameters()} == {torch.float32}


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"state_dict": state}])
def test_a_torch_file_of_tensors_is_read(folder, network, wrap):
    torch.save(wrap(network.state_dict()), folder / "net.pth")
    _write_manifest(folder, net={**ENTRY, "file": "net.pth"})
    assert _load(folder).identity["weights"]


_FORMS = {
    "DistributedDataParallel": lambda state: {f"module.{name}": value for name, value in state.items()},
    "Lightning": lambda state: {"state_dict": {f"model.{n}": v for n, v in state.items()}, "epoch": 1},
    "DeiT": lambda state: {"model": state, "args": argparse.Namespace(lr=0.1, path=None)},
}


@pytest.mark.parametrize("form", _FORMS)
def test_files_as_trainers_write_them_give_the_same_weights(folder, network, form):
    torch.save(_FORMS[form](network.state_dict()), folder / "net.pth")
    plain = _load(folder).identity
    _write_manifest(folder, net={**ENTRY, "file": "net.pth"})
    assert _load(folder).identity == plain


def test_the_manifest_decides_between_averaged_and_other_weights(folder, network):
    averaged = timm.create_model("test_resnet", num_classes=5)
    torch.save({"state_dict": network.state_dict(), "model_ema": averaged.state_dict()}, folder / "net.pth")
    weights = {}
    for key in (None, "state_dict", "model_ema"):
        _write_manifest(folder, net={**ENTRY, "file": "net.pth", **({"weights_key": key} if key else {})})
        weights[key] = _load(folder).identity["weights"]
    assert weights[None] == weights["model_ema"] == hash_weights(averaged)
    assert weights["state_dict"] == hash_weights(network)


def test_the_layout_of_the_authors_is_converted_by_timm(folder):
    network = timm.create_model("test_convnext", num_classes=5).eval()
    renamed = {}
    for name, value in network.state_dict().items():  # as in the authors' release
        name = name.replace("stem.", "downsample_layers.0.").replace("mlp.fc1", "pwconv1").replace("mlp.fc2", "pwconv2")
        name = name.replace("conv_dw", "dwconv").replace("head.fc.", "head.").replace("head.norm.", "norm.")
        name = re.sub(r"stages\.(\d+)\.downsample", r"downsample_layers.\1", name)
        renamed[re.sub(r"stages\.(\d+)\.blocks", r"stages.\1", name)] = value
    torch.save({"model": renamed}, folder / "net.pth")
    _write_manifest(folder, net={**ENTRY, "architecture": "test_convnext", "file": "net.pth"})
    assert _load(folder).identity["weights"] == hash_weights(network)


def test_the_class_of_an_object_in_a_file_is_named(folder, network):
    torch.save({"state_dict": network.state_dict(), "path": folder}, folder / "net.pth")
    _write_manifest(folder, net={**ENTRY, "file": "net.pth"})
    with pytest.raises(InputError, match=r"it holds code: pathlib\.PosixPath\): save model\.state_dict\(\) alone"):
        _load(folder)


@pytest.mark.parametrize("architecture", ["test_resnet", "vit_pe_core_tiny_patch16_384"])
def test_images_are_cropped_whatever_timm_does_for_weights_of_its_own(architecture):
    network = torch.nn.Module()
    network.pretrained_cfg = timm.models.get_pretrained_cfg(architecture).to_dict()
    settings = {"input_size": (3, 32, 32), "mean": (0.5,) * 3, "std": (0.5,) * 3, "crop_pct": 1.0}
    image = Image.new("RGB", (96, 32), (0, 0, 0))
    image.paste((255, 255, 255), (32, 0, 64, 32))
    tensor = create_transforms(network, {**settings, "interpolation": "bilinear"})[0](image)
    assert tensor.shape == (3, 32, 32)
    torch.testing.assert_close(tensor, torch.ones(3, 32, 32))


class _Exploit:
    """An object whose pickle creates a file when it is loaded."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def _bare_pickle(value, path: Path):
    path.write_bytes(pickle.dumps(value, protocol=2))


@pytest.mark.parametrize("dump", [torch.save, _bare_pickle])
def test_a_pickle_with_code_is_refused_and_not_run(folder, dump):
    trace = folder / "trace"
    dump({"weight": _Exploit(trace)}, folder / "net.pth")
    _write_manifest(folder, net={**ENTRY, "file": "net.pth"})
    with pytest.raises(InputError, match="tensors only"):
        _load(folder)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file": "../outside.safetensors"}, "outside the folder"),
        ({"file": "/etc/passwd"}, "outside the folder"),
        ({"arguments": {"pretrained": True}}, "not allowed"),
        ({"arguments": {"checkpoint_path": "x.pth"}}, "not allowed"),
        ({"arguments": {"act_layer": {"_target_": "os.system"}}}, "not allowed"),
        ({"architecture": "hf-hub:stranger/model"}, "no architecture"),
        ({"architecture": "test_resnett"}, "did you mean test_resnet"),
        ({"arguments": {"num_clases": 5}}, "refuses its arguments"),
        ({"arguments": {"num_classes": 6}}, "does not fit test_resnet"),
        ({"file": "absent.safetensors"}, "no weights file"),
        ({"input_size": "32"}, "input_size"),
        ({"mean": [0.5]}, "three numbers"),
        ({"interpolation": "lanczoss"}, "bilinear"),
        ({"library": 3}, "library 3: need text"),
        ({"mean": [True, 0, 0]}, "three numbers"),
        ({"std": [10**400, 1, 1]}, "three numbers"),
        ({"batch_norm_folded": 1}, "true or false"),
        ({"arguments": []}, "object of keyword arguments"),
    ],
)
def test_an_invalid_entry_is_refused_with_its_cause(folder, change, message):
    _write_manifest(folder, net={**ENTRY, **change})
    with pytest.raises(InputError, match=message) as refusal:
        _load(folder)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "not JSON"), ("[]", "JSON object"), ('{"net": {"library": "timm"}}', "lacks architecture, file")],
)
def test_an_invalid_manifest_is_refused(tmp_path, text, message):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=message):
        checkpoints(str(tmp_path))


def test_missing_folders_and_manifests_are_reported_with_the_fix(tmp_path):
    with pytest.raises(InputError, match=r"set model_pool\.root"):
        checkpoints(str(tmp_path / "absent"))
    with pytest.raises(InputError, match="describe the checkpoints"):
        checkpoints(str(tmp_path))


def test_a_truncated_file_is_reported_by_name(folder):
    path = folder / "net.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"net\.safetensors is not a readable"):
        _load(folder)


def test_names_select_and_order_the_networks(folder):
    _write_manifest(folder, a=ENTRY, b=ENTRY, c=ENTRY)
    assert [c.name for c in checkpoints(str(folder), names=("c", "a")).candidates] == ["c", "a"]
    assert [c.name for c in checkpoints(str(folder), names="b").candidates] == ["b"]
    assert [c.name for c in checkpoints(str(folder)).select("b").candidates] == ["b"]
    with pytest.raises(InputError, match="did you mean"):
        checkpoints(str(folder), names=("aa",))
    with pytest.raises(InputError, match="twice"):
        checkpoints(str(folder), names=("a", "a"))


ARCHITECTURES = """
import torch
class Tiny(torch.nn.Module):
    def __init__(self, dim=3):
        super().__init__()
        self.fc = torch.nn.Linear(dim, 5)
    def forward_features(self, x):
        return x.mean((2, 3))
    def forward(self, x):
        return self.fc(self.forward_features(x))
"""


def test_a_file_of_architectures_runs_only_if_the_user_gives_it(folder):
    entry = {**ENTRY, "library": "custom", "architecture": "Tiny", "arguments": {}}
    _write_manifest(folder, net=entry)
    save_file(torch.nn.Linear(3, 5).state_dict(prefix="fc."), folder / "net.safetensors")
    (folder / "custom.py").write_text(ARCHITECTURES)
    with pytest.raises(NotApplicableError, match=r"model_pool\.architectures"):
        _load(folder)
    loaded = _load(folder, architectures=str(folder / "custom.py"))
    features, logits = loaded.backbone.features_and_logits(torch.ones(2, 3, 4, 4))
    assert (features.shape, logits.shape) == ((2, 3), (2, 5))
    with pytest.raises(InputError, match="no Python file"):
        _load(folder, architectures=str(folder / "absent.py"))


def test_an_edit_of_the_file_of_architectures_is_another_network(folder):
    timm_identity, file = _load(folder).identity, folder / "custom.py"
    save_file(torch.nn.Linear(3, 5).state_dict(prefix="fc."), folder / "tiny.safetensors")
    entry = {**ENTRY, "library": "custom", "architecture": "Tiny", "arguments": {}, "file": "tiny.safetensors"}
    _write_manifest(folder, net=entry, timm=ENTRY)
    identities = []
    for text in (ARCHITECTURES, ARCHITECTURES, ARCHITECTURES.replace("x.mean(", "2 * x.mean(")):
        file.write_text(text)
        first, second = checkpoints(str(folder), architectures=str(file)).candidates
        identities.append(first.load().identity)
        assert second.load().identity == timm_identity
    assert identities[0] == identities[1] != identities[2]


@pytest.mark.assets
def test_every_network_of_the_assets_gives_features_of_its_size(shared):
    folder = shared / "assets" / "weights"
    manifest = json.loads((folder / "manifest.json").read_text())
    pool = checkpoints(str(folder), architectures=str(shared / "assets" / "nets.py"))
    assert [c.name for c in pool.candidates] == list(manifest)
    for candidate in pool.candidates:
        entry, loaded = manifest[candidate.name], candidate.load()
        image = loaded.transform(Image.new("RGB", (64, 64), (90, 120, 200)))[None]
        with torch.inference_mode():
            features, logits = loaded.backbone.features_and_logits(image)
        assert features.shape == (1, entry["num_features"]), candidate.name
        assert (0 if logits is None else logits.shape[1]) == entry["source_classes"], candidate.name
        assert loaded.freeze_batch_norm == entry["batch_norm_folded"]


def test_a_largest_input_reduces_only_larger_inputs(folder):
    _write_manifest(folder, small={**ENTRY, "input_size": 16}, large={**ENTRY, "input_size": 96})
    for name, side in (("small", 16), ("large", 32)):
        tensor = _load(folder, names=(name,), largest_input=32).transform(Image.new("RGB", (100, 80)))
        assert tensor.shape == (3, side, side)
    with pytest.raises(InputError, match="largest_input=0"):
        _load(folder, largest_input=0)
