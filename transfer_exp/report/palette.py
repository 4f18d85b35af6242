"""Palette of pages and figures: each colour for a light and for a dark background.

The colours of classes and of good, bad and accent marks can be distinguished by colour-blind readers.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

PALETTE: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "paper": ("#fbfbf9", "#15171a"),
        "raised": ("#ffffff", "#1b1e22"),
        "ink": ("#1c1f23", "#e6e7e9"),
        "soft": ("#595f67", "#a3aab3"),
        "control": ("#7b8189", "#78808a"),
        "line": ("#dcddd8", "#30353b"),
        "faint": ("#ececec", "#24282d"),
        "accent": ("#00629e", "#6db9ee"),
        "good": ("#00714f", "#4cc79a"),
        "bad": ("#b04300", "#ff9559"),
        "class0": ("#0a66ad", "#58aef0"),
        "class1": ("#d1550a", "#ff9152"),
        "class2": ("#0b8457", "#3fcf97"),
        "class3": ("#b3408f", "#ee8ccb"),
        "class4": ("#8d6f00", "#dfbc40"),
        "class5": ("#6a4cc0", "#ab97fa"),
        "class6": ("#1f93a8", "#7fdbe8"),
        "class7": ("#8a5230", "#cf9d77"),
        "class8": ("#5d6873", "#aeb9c4"),
        "class9": ("#c4214f", "#ff7393"),
    }
)
"""Colours by purpose: backgrounds, text, borders of controls, lines, marks, and ten classes."""


def figure_colour(name: str) -> str:
    """Return a colour of the palette for a figure, whose background is light."""
    return PALETTE[name][0]


def style_variables() -> str:
    """Return the palette as CSS custom properties that follow the colour scheme of the page."""
    colours = "".join(f"--{name}:light-dark({light},{dark});" for name, (light, dark) in PALETTE.items())
    return f":root{{color-scheme:light dark;{colours}}}\n"
