"""Preprocessing in two parts: bit for bit what it is in one, and only where that is certain."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from transfer_exp.dataset.image_file import read_rgb
from transfer_exp.model_pool.crop_flip import crop_flip
from transfer_exp.model_pool.preprocessing import parted
from transfer_exp.vision import timm, torchvision

T = torchvision.transforms
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
OF_TIMM = (
    "mobilenetv3_small_050.lamb_in1k",  # bicubic, 256 to 224
    "tinynet_e.in1k",  # 121 to 106
    "vit_tiny_patch16_224.augreg_in21k",  # 248 to 224, its own mean
    "tf_efficientnet_b0.ap_in1k",
    "inception_v3.tv_in1k",  # 299
    "resnet50.tv_in1k",  # bilinear
)
OF_TORCHVISION = (
    ("resnet50", "IMAGENET1K_V1"),
    ("resnet50", "IMAGENET1K_V2"),
    ("inception_v3", "IMAGENET1K_V1"),
    ("vit_b_16", "IMAGENET1K_SWAG_LINEAR_V1"),  # bicubic
)


def of_timm(name="resnet50.tv_in1k", **changed):
    configuration = timm.models.get_pretrained_cfg(name).to_dict()
    return timm.data.create_transform(**timm.data.resolve_data_config(changed, pretrained_cfg=configuration))


def of_torchvision(name, weights):
    return torchvision.models.get_model_weights(name)[weights].transforms()


TRANSFORMS = {
    **{name: of_timm(name) for name in OF_TIMM},
    **{" ".join(choice): of_torchvision(*choice) for choice in OF_TORCHVISION},
    "squashed": of_timm(crop_mode="squash", crop_pct=0.9),
    "whole": of_timm(crop_pct=1.0, input_size=(3, 32, 32)),
    "nearest": of_timm(interpolation="nearest"),
    "grey mean": T.Compose([T.Resize(40), T.CenterCrop(32), T.ToTensor(), T.Normalize(0.5, 0.25)]),
}


def drawn(mode, size=(230, 170)):
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    return coarse.resize(size, Image.Resampling.BICUBIC).convert(mode)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Return images as datasets read them, of every kind that files are."""
    folder = tmp_path_factory.mktemp("images")
    turned = Image.Exif()
    turned[0x0112] = 6  # the orientation: a quarter turn
    drawn("RGB").save(folder / "colour.jpg")
    drawn("RGB", (90, 301)).save(folder / "tall.jpg")
    drawn("RGB", (20, 9)).save(folder / "tiny.jpg")
    drawn("RGB").save(folder / "turned.jpg", exif=turned)
    drawn("L").save(folder / "grey.jpg")
    drawn("CMYK").save(folder / "ink.jpg")
    drawn("P").save(folder / "palette.png", transparency=3)
    drawn("RGBA").save(folder / "transparent.png")
    Image.fromarray(np.asarray(drawn("L")).astype(np.uint16) * 257).save(folder / "deep.png")
    drawn("1").save(folder / "bits.png")
    return [read_rgb(path, path.name, "") for path in sorted(folder.iterdir())]


@pytest.mark.parametrize("name", TRANSFORMS)
def test_two_parts_give_bit_for_bit_what_the_whole_gives(name, images):
    parts = parted(TRANSFORMS[name])
    assert parts is not None
    pixels = torch.stack([torch.from_numpy(np.array(parts.geometry(image))) for image in images])
    expected = torch.stack([TRANSFORMS[name](image) for image in images])
    found = parts.normalised(pixels)
    assert torch.equal(found, expected)
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("seed", range(20))
def test_every_level_is_normalised_to_the_same_bits(seed):
    generator = torch.Generator().manual_seed(seed)
    mean, std = torch.rand(3, generator=generator), torch.rand(3, generator=generator) + 0.01
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).repeat(1, 1, 1, 3)
    whole = T.Compose([T.CenterCrop(16), T.ToTensor(), T.Normalize(mean, std)])
    assert torch.equal(parted(whole).normalised(levels)[0], whole(Image.fromarray(levels[0].numpy())))


def test_geometry_is_named_by_all_that_it_goes_by():
    def name(transform):
        return repr(parted(transform).geometry)

    own = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    assert name(of_timm()) == name(of_timm(**own)) == name(of_torchvision("resnet50", "IMAGENET1K_V1"))
    other = [of_timm(input_size=(3, 192, 192)), of_timm(crop_pct=0.9), of_timm(interpolation="bicubic")]
    other += [of_timm(crop_mode="squash"), of_torchvision("resnet50", "IMAGENET1K_V2")]
    assert len({name(transform) for transform in (of_timm(), *other)}) == 1 + len(other)


class _OwnCrop(T.CenterCrop):
    """Could do anything, whatever it prints."""


class _OwnNormalisation(T.Normalize):
    """The same."""


@pytest.mark.parametrize(
    "transform",
    [
        lambda image: T.functional.to_tensor(image),
        crop_flip(32, MEAN, STD, "bilinear"),
        of_timm(crop_mode="border"),
        T.Compose([_OwnCrop(32), T.ToTensor(), T.Normalize(MEAN, STD)]),
        T.Compose([T.RandomCrop(32), T.ToTensor(), T.Normalize(MEAN, STD)]),
        T.Compose([T.CenterCrop(32), T.ToTensor(), _OwnNormalisation(MEAN, STD)]),
        T.Compose([T.CenterCrop(32), T.ToTensor()]),
        T.Compose([T.CenterCrop(32), T.ToTensor(), T.Normalize(MEAN, STD), T.RandomErasing()]),
        T.Compose([T.ToTensor(), T.CenterCrop(32), T.Normalize(MEAN, STD)]),
    ],
    ids=["function", "augmented", "border", "own crop", "random", "own normalisation", "bare", "erased", "late crop"],
)
def test_what_is_not_known_for_certain_stays_whole(transform):
    assert parted(transform) is None
