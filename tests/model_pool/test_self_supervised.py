"""Every published layout of a self-supervised ResNet-50 loads the same network, and no code in a file runs."""

from __future__ import annotations

import argparse
import hashlib
import re
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from transfer_exp.cli.instantiate import build
from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.ground_truth.last_block import find_last_block
from transfer_exp.ground_truth.network import split_at
from transfer_exp.model_pool.self_supervised import extract_trunk_state, read_sources, self_supervised
from transfer_exp.vision import torchvision

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
HEAD = {"fc.weight": torch.zeros(3, 2), "fc.bias": torch.zeros(3)}
MLP = {f"fc.{i}.{part}": torch.zeros(2) for i in (0, 2) for part in ("weight", "bias")}
PROJECTION = {f"projection_head.{i}.weight": torch.zeros(2) for i in (0, 1, 3)}


@pytest.fixture(scope="module")
def network():
    """Return a ResNet-50 without a head and with random batch norms."""
    network = torchvision.models.resnet50(weights=None)
    network.fc = nn.Identity()
    return _randomise_batch_norms(network)


def _randomise_batch_norms(network):
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                tensor.uniform_(0.5, 1.5)
    return network.eval()


def _numbered_trunk():
    """Return a state dict with the names of the trunk and a different number for each weight."""
    with torch.device("meta"):
        names = [name for name in torchvision.models.resnet50(weights=None).state_dict() if name[:3] != "fc."]
    return {name: torch.tensor([float(i)]) for i, name in enumerate(names)}


def _with_prefix(prefix, *states):
    return {prefix + key: value for state in states for key, value in state.items()}


def _momentum_copy(state):
    return {key: value + 1 for key, value in state.items()}


def _plain_without_counters(state):
    return {key: value for key, value in {**state, **HEAD}.items() if "num_batches" not in key}


def _swav(state):
    return _with_prefix("module.", state, PROJECTION, {"prototypes.weight": torch.zeros(2)})


def _deepcluster(state):
    return _with_prefix(
        "module.", state, PROJECTION, {f"prototypes.prototypes{i}.weight": torch.zeros(2) for i in range(3)}
    )


def _moco(state, head):
    queue = {"queue": torch.zeros(4), "queue_ptr": torch.zeros(1, dtype=torch.long)}
    query, key = _with_prefix("encoder_q.", state, head), _with_prefix("encoder_k.", _momentum_copy(state), head)
    return {"epoch": 200, "arch": "resnet50", "state_dict": _with_prefix("module.", key, query, queue)}


def _pycontrast(state):
    heads = {"head.0.weight": torch.zeros(2), "head_jig.fc1.weight": torch.zeros(2)}
    return {
        "opt": argparse.Namespace(method="InfoMin", cosine=True, lr_decay_epochs=[120, 160], resume=None),
        "model": _with_prefix("module.", _with_prefix("encoder.", state), heads),
        "contrast": {"memory": torch.zeros(4)},
        "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": [{"lr": 0.03}]},
        "epoch": 200,
        "model_ema": _with_prefix("encoder.", _momentum_copy(state)),
    }


LAYOUTS = {
    "ssl_transfer": dict,
    "torchvision": lambda state: {**state, **HEAD},
    "byol_convert": _plain_without_counters,
    "simclr_converter": lambda state: {"state_dict": {**state, **HEAD}},
    "swav": _swav,
    "deepcluster": _deepcluster,
    "swav_while_training": lambda state: {"epoch": 1, "state_dict": _swav(state), "optimizer": {}},
    "moco_v1": lambda state: _moco(state, HEAD),
    "moco_v2": lambda state: _moco(state, MLP),
    "pycontrast": _pycontrast,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_converted_to_the_names_of_torchvision(layout):
    state = _numbered_trunk()
    blank = {name: torch.tensor([-1.0]) for name in state}
    converted = extract_trunk_state(LAYOUTS[layout](state), blank, "file")
    assert list(converted) == list(state)
    differences = [name for name, value in converted.items() if value != state[name]]
    assert all(layout == "byol_convert" and name.endswith("num_batches_tracked") for name in differences)


class _ConvertedBlock(nn.Module):
    """A residual block in the nesting of SimCLR v2's converter."""

    def __init__(self, into, width, stride, projected):
        super().__init__()
        shortcut = OrderedDict(shortcut=_conv(into, 4 * width, 1, stride), bn=_norm(4 * width, nn.Identity()))
        self.projection = nn.Sequential(shortcut) if projected else nn.Identity()
        first, middle = [_conv(into, width, 1), _norm(width)], [_conv(width, width, 3, stride), _norm(width)]
        self.net = nn.Sequential(*first, *middle, _conv(width, 4 * width, 1), _norm(4 * width, nn.Identity()))

    def forward(self, images):
        return torch.relu(self.projection(images) + self.net(images))


class _ConvertedStage(nn.Module):
    def __init__(self, into, width, stride, depth):
        super().__init__()
        inputs = [into] + [4 * width] * (depth - 1)
        self.blocks = nn.ModuleList(_ConvertedBlock(n, width, 1 if i else stride, not i) for i, n in enumerate(inputs))

    def forward(self, images):
        for block in self.blocks:
            images = block(images)
        return images


class _Converted(nn.Module):
    def __init__(self):
        super().__init__()
        stem = nn.Sequential(_conv(3, 64, 7, 2), _norm(64), nn.MaxPool2d(3, 2, 1))
        shapes = [(64, 64, 1, 3), (256, 128, 2, 4), (512, 256, 2, 6), (1024, 512, 2, 3)]
        self.net = nn.Sequential(stem, *(_ConvertedStage(*shape) for shape in shapes))
        self.fc = nn.Linear(2048, 10)

    def forward(self, images):
        return self.net(images).mean((2, 3))


def _conv(into, out, size, stride=1):
    return nn.Conv2d(into, out, size, stride, size // 2, bias=False)


def _norm(width, after=None):
    return nn.Sequential(nn.BatchNorm2d(width), after or nn.ReLU())


def _load(folder, name, **options):
    return self_supervised(str(folder), [name], **options).candidates[0].load()


def _features(backbone):
    with torch.inference_mode():
        return backbone(IMAGES)


def test_a_network_converted_from_simclr_v2_gives_the_same_features(tmp_path):
    converted = _randomise_batch_norms(_Converted())
    head = {"layers.0.weight": torch.zeros(2)}
    torch.save({"resnet": converted.state_dict(), "head": head}, tmp_path / "simclr-v2.pth")
    keys = set(converted.state_dict())
    assert {"net.0.0.weight", "net.0.1.0.running_mean", "net.1.blocks.0.projection.shortcut.weight"} <= keys
    assert {"net.4.blocks.2.net.5.0.weight", "net.2.blocks.0.projection.bn.0.bias"} <= keys
    torch.testing.assert_close(_features(_load(tmp_path, "simclr-v2").backbone), _features(converted))


def test_a_missing_file_is_reported_with_its_download_page(tmp_path):
    (tmp_path / "swav.pth").write_bytes(b"")
    with pytest.raises(
        NotApplicableError, match=r"sela-v2\.pth \(or \.pth\.tar, \.pt, \.safetensors\): get selav2.*github"
    ):
        _load(tmp_path, "sela-v2")


@pytest.mark.parametrize(
    ("file", "layout"),
    [("infomin.pth", "pycontrast"), ("deepcluster-v2.pth.tar", "deepcluster"), ("pcl-v2.pt", "moco_v2")],
)
def test_a_published_file_is_loaded_exactly_and_without_a_head(tmp_path, network, file, layout):
    torch.save(LAYOUTS[layout](network.state_dict()), tmp_path / file)
    loaded = _load(tmp_path, file.split(".")[0])
    torch.testing.assert_close(_features(loaded.backbone), _features(network), rtol=0, atol=0)
    features, logits = loaded.backbone.features_and_logits(IMAGES)
    assert features.shape == (2, 2048)
    assert logits is None
    assert loaded.identity["architecture"] == "resnet50"
    assert not loaded.backbone.training


def test_the_last_block_is_found_and_split_off(tmp_path, network):
    save_file(network.state_dict(), tmp_path / "byol.safetensors")
    loaded = _load(tmp_path, "byol")
    block = find_last_block(loaded)
    assert block == ("trunk.layer4",)
    trunk, rest = split_at(loaded.backbone, block, IMAGES)
    with torch.inference_mode():
        torch.testing.assert_close(rest(trunk(IMAGES)), _features(network))


def test_the_identity_depends_on_the_weights_and_not_on_the_layout(tmp_path, network):
    torch.save(_swav(network.state_dict()), tmp_path / "swav.pth")
    torch.save(dict(network.state_dict()), tmp_path / "moco-v1.pth")
    assert _load(tmp_path, "swav").identity == _load(tmp_path, "moco-v1").identity


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("module.layer4.2.bn3.running_var"), r"lacks module\.layer4\.2\.bn3\.running_var.*SwAV"),
        (lambda s: s.update({"module.conv1.weight": torch.zeros(9)}), r"module\.conv1\.weight of shape \(9,\).*\(1,\)"),
        (lambda s: s.update({"module.bn1.bias": "text"}), r"module\.bn1\.bias of shape \(\)"),
        (lambda s: s.update({"module.layer3.6.bn1.bias": torch.zeros(1)}), "another architecture"),
        (lambda s: s.pop("module.conv1.weight"), r"none of module\.encoder_q\.conv1\.weight \(MoCo and PCL\)"),
    ],
)
def test_a_file_that_does_not_match_is_refused_with_its_first_difference(change, message):
    state = _swav(_numbered_trunk())
    change(state)
    with pytest.raises(InputError, match=f"^swav.pth.*{message}") as refusal:
        extract_trunk_state(state, _numbered_trunk(), "swav.pth")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("content", [[1, 2], {}, {"model": None}, {1: torch.zeros(1)}, torch.zeros(3)])
def test_content_without_a_state_dict_is_refused(content):
    with pytest.raises(InputError, match="not a ResNet-50 in a known layout"):
        extract_trunk_state(content, _numbered_trunk(), "file")


class _Exploit:
    """An object whose pickle creates a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("hide", [lambda exploit: exploit, lambda exploit: {"opt": argparse.Namespace(hidden=exploit)}])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, hide):
    trace = tmp_path / "trace"
    torch.save(hide(_Exploit(trace)), tmp_path / "insdis.pth")
    with pytest.raises(InputError, match="is not a torch file of tensors only"):
        _load(tmp_path, "insdis")
    assert not trace.exists()


def test_a_namespace_of_options_is_allowed_only_during_loading(tmp_path):
    torch.save({"opt": np.dtype}, tmp_path / "insdis.pth")
    with pytest.raises(InputError, match="is not a torch file of tensors only"):
        _load(tmp_path, "insdis")
    torch.save({"opt": argparse.Namespace(lr=0.1)}, tmp_path / "infomin.pth")
    with pytest.raises(InputError, match="known layout"):
        _load(tmp_path, "infomin")
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


@pytest.mark.parametrize("file", ["pcl-v1.pth", "pcl-v1.safetensors"])
def test_a_damaged_file_is_refused(tmp_path, file):
    (tmp_path / file).write_bytes(b"damaged")
    with pytest.raises(InputError, match=f"{file} is not a"):
        _load(tmp_path, "pcl-v1")


def test_two_files_of_one_model_are_refused(tmp_path):
    for ending in (".pth", ".pt"):
        (tmp_path / f"swav{ending}").write_bytes(b"")
    with pytest.raises(InputError, match=r"swav\.pth and swav\.pt both exist"):
        _load(tmp_path, "swav")


def test_a_pinned_digest_is_checked_before_the_file_is_read(tmp_path):
    path = tmp_path / "swav.pth"
    path.write_bytes(b"damaged")
    digest = hashlib.sha256(b"damaged").hexdigest()
    with pytest.raises(InputError, match=f"swav.pth has sha256 {digest}, and model_pool.digests has 00"):
        _load(tmp_path, "swav", digests={"swav": "00"})
    with pytest.raises(InputError, match="is not a torch file of tensors only"):
        _load(tmp_path, "swav", digests={"swav": digest.upper()})


def test_unknown_names_get_near_matches():
    with pytest.raises(InputError, match="did you mean moco-v"):
        self_supervised("somewhere", ["moco-v3"])
    with pytest.raises(InputError, match=r"digests has the unknown model 'moco-v3': did you mean moco-v"):
        self_supervised("somewhere", digests={"moco-v3": "00"})


def test_the_pool_has_the_models_of_the_published_accuracies():
    table = pd.read_csv(ROOT / "transfer_exp" / "ground_truth" / "tables" / "published.csv", comment="#")
    names = table.loc[table["pool"] == "group2_ssl_resnet50_12", "model"].unique()
    assert sorted(names) == [candidate.name for candidate in self_supervised("somewhere").candidates]


def test_only_simclr_gets_images_without_normalisation(tmp_path, network):
    for name in read_sources():
        unit = name.startswith("simclr")
        assert (read_sources()[name].mean, read_sources()[name].std) == (
            ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)) if unit else ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        )
    torch.save(dict(network.state_dict()), tmp_path / "simclr-v1.pth")
    loaded = _load(tmp_path, "simclr-v1")
    image = loaded.transform(Image.new("RGB", (300, 260), (51, 0, 255)))
    assert image.shape == (3, 224, 224)
    torch.testing.assert_close(image[:, 0, 0], torch.tensor([0.2, 0.0, 1.0]))
    assert loaded.augmented(Image.new("RGB", (30, 26))).shape == (3, 224, 224)
    for setting in ("224", "bicubic", "CenterCrop", "mean=", "std="):
        assert setting in repr(loaded.transform)


def test_the_documentation_lists_every_page_and_file():
    rows = re.findall(r"(?m)^\| `([\w-]+)` \|(.*)$", (ROOT / "docs" / "self_supervised.md").read_text())
    assert {name for name, _ in rows} == set(read_sources())
    for name, row in rows:
        source = read_sources()[name]
        assert source.page in row
        assert source.file.partition(",")[0] in row


def test_the_folder_of_the_pool_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("TRANSFER_EXP_CHECKPOINTS", "/my")
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("config", ["model_pool=self_supervised", "model_pool.digests={moco-v1: '00', swav: '1e5'}"])
    options = OmegaConf.to_container(config.model_pool, resolve=True)
    pool = build("model_pool", options)
    assert (pool.name, len(pool.candidates)) == ("self_supervised", 12)
    with pytest.raises(NotApplicableError, match=r"/my/self_supervised/byol\.pth"):
        pool.candidates[0].load()
