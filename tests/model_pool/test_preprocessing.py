"""A split transform gives the same bits as the original, and only known transforms are split."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from transfer_exp.dataset.image_decoding import ImageDecoder
from transfer_exp.model_pool.preprocessing import random_crop_flip, split_transform
from transfer_exp.vision import timm, torchvision

T = torchvision.transforms
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TIMM_MODELS = (
    "mobilenetv3_small_050.lamb_in1k",  # bicubic, 256 to 224
    "tinynet_e.in1k",  # 121 to 106
    "vit_tiny_patch16_224.augreg_in21k",  # 248 to 224, another mean
    "tf_efficientnet_b0.ap_in1k",
    "inception_v3.tv_in1k",  # 299
    "resnet50.tv_in1k",  # bilinear
)
TORCHVISION_WEIGHTS = (
    ("resnet50", "IMAGENET1K_V1"),
    ("resnet50", "IMAGENET1K_V2"),
    ("inception_v3", "IMAGENET1K_V1"),
    ("vit_b_16", "IMAGENET1K_SWAG_LINEAR_V1"),  # bicubic
)


def timm_transform(name="resnet50.tv_in1k", **changed):
    configuration = timm.models.get_pretrained_cfg(name).to_dict()
    return timm.data.create_transform(**timm.data.resolve_data_config(changed, pretrained_cfg=configuration))


def torchvision_transform(name, weights):
    return torchvision.models.get_model_weights(name)[weights].transforms()


TRANSFORMS = {
    **{name: timm_transform(name) for name in TIMM_MODELS},
    **{" ".join(choice): torchvision_transform(*choice) for choice in TORCHVISION_WEIGHTS},
    "squashed": timm_transform(crop_mode="squash", crop_pct=0.9),
    "no crop": timm_transform(crop_pct=1.0, input_size=(3, 32, 32)),
    "nearest": timm_transform(interpolation="nearest"),
    "grey mean": T.Compose([T.Resize(40), T.CenterCrop(32), T.ToTensor(), T.Normalize(0.5, 0.25)]),
}


def draw_image(mode, size=(230, 170)):
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    return coarse.resize(size, Image.Resampling.BICUBIC).convert(mode)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Return images of every file format and mode, as datasets read them."""
    folder = tmp_path_factory.mktemp("images")
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: rotated by 90 degrees
    draw_image("RGB").save(folder / "colour.jpg")
    draw_image("RGB", (90, 301)).save(folder / "tall.jpg")
    draw_image("RGB", (20, 9)).save(folder / "tiny.jpg")
    draw_image("RGB").save(folder / "turned.jpg", exif=exif)
    draw_image("L").save(folder / "grey.jpg")
    draw_image("CMYK").save(folder / "ink.jpg")
    draw_image("P").save(folder / "palette.png", transparency=3)
    draw_image("RGBA").save(folder / "transparent.png")
    Image.fromarray(np.asarray(draw_image("L")).astype(np.uint16) * 257).save(folder / "deep.png")
    draw_image("1").save(folder / "bits.png")
    return [ImageDecoder().decode(path.read_bytes(), path.name, "") for path in sorted(folder.iterdir())]


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_two_parts_give_the_same_bits_as_the_transform(name, images):
    split = split_transform(TRANSFORMS[name])
    assert split is not None
    pixels = torch.stack([torch.from_numpy(np.array(split.geometry(image))) for image in images])
    expected = torch.stack([TRANSFORMS[name](image) for image in images])
    normalised = split.normalise(pixels)
    assert torch.equal(normalised, expected)
    assert normalised.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("seed", range(20))
def test_every_pixel_level_is_normalised_to_the_same_bits(seed):
    generator = torch.Generator().manual_seed(seed)
    mean, std = torch.rand(3, generator=generator), torch.rand(3, generator=generator) + 0.01
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).repeat(1, 1, 1, 3)
    transform = T.Compose([T.CenterCrop(16), T.ToTensor(), T.Normalize(mean, std)])
    assert torch.equal(split_transform(transform).normalise(levels)[0], transform(Image.fromarray(levels[0].numpy())))


def test_the_repr_of_a_geometry_shows_all_of_its_settings():
    def geometry_repr(transform):
        return repr(split_transform(transform).geometry)

    normalisation = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    standard = timm_transform()
    alike = [timm_transform(**normalisation), torchvision_transform("resnet50", "IMAGENET1K_V1")]
    assert {geometry_repr(transform) for transform in alike} == {geometry_repr(standard)}
    different = [
        timm_transform(input_size=(3, 192, 192)),
        timm_transform(crop_pct=0.9),
        timm_transform(interpolation="bicubic"),
        timm_transform(crop_mode="squash"),
        torchvision_transform("resnet50", "IMAGENET1K_V2"),
    ]
    assert len({geometry_repr(transform) for transform in (standard, *different)}) == 1 + len(different)


class _CustomCrop(T.CenterCrop):
    """A subclass may behave differently from its repr."""


class _CustomNormalisation(T.Normalize):
    """A subclass may behave differently from its repr."""


@pytest.mark.parametrize(
    "transform",
    [
        lambda image: T.functional.to_tensor(image),
        random_crop_flip(32, MEAN, STD, "bilinear"),
        timm_transform(crop_mode="border"),
        T.Compose([_CustomCrop(32), T.ToTensor(), T.Normalize(MEAN, STD)]),
        T.Compose([T.RandomCrop(32), T.ToTensor(), T.Normalize(MEAN, STD)]),
        T.Compose([T.CenterCrop(32), T.ToTensor(), _CustomNormalisation(MEAN, STD)]),
        T.Compose([T.CenterCrop(32), T.ToTensor()]),
        T.Compose([T.CenterCrop(32), T.ToTensor(), T.Normalize(MEAN, STD), T.RandomErasing()]),
        T.Compose([T.ToTensor(), T.CenterCrop(32), T.Normalize(MEAN, STD)]),
    ],
    ids=[
        "function",
        "augmented",
        "border",
        "custom crop",
        "random",
        "custom normalisation",
        "bare",
        "erased",
        "late crop",
    ],
)
def test_an_unknown_transform_is_not_split(transform):
    assert split_transform(transform) is None
