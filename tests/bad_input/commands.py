"""Wrong arguments of every command, and targets that ``transfer-exp rank`` cannot use."""

from __future__ import annotations

import numpy as np

from tests.bad_input.files import Build, npz, pictures, sequence, text
from tests.bad_input.kind import Kind

STUDIES = ("calibration", "method_figure", "stored_rows_pages", "paper.document", "real_pool")


def _wrong(command: str, *arguments: str) -> Kind:
    subject = command.removeprefix("python -m ").removeprefix("transfer-exp ")
    return Kind(f"wrong argument of {subject}", (*arguments, "--bogus"), "--bogus", None, command)


def _rank(name: str, message: str, *arguments: str, build: Build | None = None) -> Kind:
    return Kind(name, arguments, message, build, "transfer-exp rank")


KINDS = [
    *(_wrong(f"python -m studies.{study}", "page.md") for study in STUDIES),
    _wrong("transfer-exp run"),
    _wrong("transfer-exp plan"),
    _wrong("transfer-exp report", "sweep"),
    _wrong("transfer-exp evaluate", "s.csv", "t.csv"),
    _wrong("transfer-exp cache", "ls"),
    _wrong("transfer-exp doctor"),
    _wrong("transfer-exp rank", "images"),
    Kind("mistyped command", ("rnak", "images"), "no command 'rnak': did you mean rank?"),
    Kind("age without a unit", ("prune", "--older-than", "soon"), "'soon' is not an age", None, "transfer-exp cache"),
    _rank("missing target of rank", "absent is not a folder of images, CSV, npz or id of a hub", "absent"),
    _rank("target of an unknown file type", "notes.doc is not a folder", "notes.doc", build=text("notes.doc", "words")),
    _rank("folder without classes", "no class", "images", build=lambda folder: (folder / "images").mkdir()),
    _rank("budget in words", "budget=soon is not a time", "images", "--budget", "soon", build=pictures),
    _rank("unknown pool", "model_pool has no option 'everyda'", "images", "--pool", "everyda", build=pictures),
    _rank("unknown setting of rank", "halvin", "images", "halvin.top=1", build=pictures),
    _rank(
        "embeddings of different samples",
        "labels of net.npz differ from those of a.npz",
        ".",
        build=sequence(npz("a.npz"), npz(labels=1 - np.arange(8) % 2)),
    ),
]
