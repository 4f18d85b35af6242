"""Arguments that the commands beside the application do not have, and targets that ``rank`` cannot use."""

from __future__ import annotations

import numpy as np

from tests.bad_input.files import Build, both, npz, pictures, text
from tests.bad_input.kind import Kind

PAGES = ("calibration.__main__", "method_figure", "stored_rows_pages", "paper.document", "real_pool.__main__")


def _wrong(command: str, *arguments: str) -> Kind:
    name = command.removesuffix(".__main__") if command != "__main__" else arguments[0]
    return Kind(f"wrong argument of {name}", (*arguments, "--bogus"), "--bogus", None, command)


def _rank(name: str, message: str, *arguments: str, build: Build | None = None) -> Kind:
    return Kind(name, ("rank", *arguments), message, build)


KINDS = [
    *(_wrong(f"studies.{page}", "page.md") for page in PAGES),
    _wrong("cli.report", "sweep"),
    _wrong("cli.reproduction", "s.csv", "--pool", "p"),
    _wrong("cli.evaluate", "s.csv", "t.csv"),
    _wrong("__main__", "cache", "ls"),
    _wrong("__main__", "doctor"),
    _wrong("__main__", "rank", "images"),
    Kind("age that is no time", ("cache", "prune", "--older-than", "soon"), "'soon' is no age such as 90m", None),
    _rank("target that is not there", "absent is no folder of images, CSV, npz or id of a hub", "absent"),
    _rank("target that is some other file", "notes.txt is no folder", "notes.txt", build=text("notes.txt", "words")),
    _rank("folder without classes", "no class", "images", build=lambda folder: (folder / "images").mkdir()),
    _rank("budget that is no time", "budget=soon is no time", "images", "--budget", "soon", build=pictures),
    _rank(
        "pool that there is not", "model_pool has no option 'everyda'", "images", "--pool", "everyda", build=pictures
    ),
    _rank("setting that rank lacks", "halvin", "images", "halvin.top=1", build=pictures),
    _rank(
        "embeddings of different samples",
        "labels of net.npz differ from those of a.npz",
        ".",
        build=both(npz("a.npz"), npz(labels=1 - np.arange(8) % 2)),
    ),
]
