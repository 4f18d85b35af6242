"""What readers are fuzzed with: for each a sound file spoiled at random, and what must hold whatever comes of it."""

from __future__ import annotations

import io
import json
import struct
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import hydra
import numpy as np
import torch
from hydra.core.global_hydra import GlobalHydra
from hypothesis import strategies as st
from PIL import Image
from torch.utils._pytree import tree_leaves

from tests.bad_input import reports
from tests.bad_input.drawn import CHARACTERS, json_of, spoiled, table_of
from tests.bad_input.files import ENTRY, npz
from transfer_exp.cli.hydra_errors import named_option
from transfer_exp.dataset.arrays import arrays
from transfer_exp.dataset.image_file import read_rgb
from transfer_exp.dataset.image_table import image_table
from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.evaluation.score_files import read_scores
from transfer_exp.io.accuracies import in_fractions, read_rows
from transfer_exp.model_pool.checkpoints import read_manifest
from transfer_exp.model_pool.pool import LoadedModel
from transfer_exp.model_pool.published_checkpoints import CheckpointSource, create_published_pool
from transfer_exp.report.html.projection import plotted_samples, project_features
from transfer_exp.report.html.run_details import RunDetails, read_run_details
from transfer_exp.report.record import read_record
from transfer_exp.report.sweep_cells import collect

ROOT = Path(__file__).parents[2]
PICTURES = tuple(f"{name}.png" for name in "abcdefgh")


@dataclass(frozen=True)
class Fuzzed:
    """One reader.

    Attributes
    ----------
    name
        In words.
    inputs
        Draws what the file holds; text for what is no file.
    name_of_file
        Under which it lies in a folder of its own.
    read
        Reads it, and asserts that what it returns is sound.
    """

    name: str
    inputs: st.SearchStrategy[bytes]
    name_of_file: str
    read: Callable[[Path], object]

    def accepted(self, content: bytes) -> bool:
        """Return whether the reader took an input; anything but a value or one line of refusal is an error."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / self.name_of_file
            path.write_bytes(content)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")  # it would stand on stderr, beside the one line
                    self.read(path)
            except InputError as refused:
                refusal = str(refused)
            else:
                refusal = ""
            assert refusal.isprintable(), refusal
            assert [place.name for place in Path(folder).iterdir()] == [self.name_of_file], "it wrote something"
        return not refusal


def _manifest() -> st.SearchStrategy[bytes]:
    entry = json_of(**ENTRY, source_classes=3, interpolation="bicubic").map(lambda raw: b'{"net": ' + raw + b"}")
    return entry | json_of(net=ENTRY) | spoiled(json.dumps({"net": ENTRY}).encode())


def _image(kind: str) -> bytes:
    pixels = np.arange(12 * 9 * 3, dtype=np.uint8).reshape(12, 9, 3)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, format=kind)
    return content.getvalue()


def _npz() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        npz()(Path(folder))
        return (Path(folder) / "net.npz").read_bytes()


def _safetensors() -> st.SearchStrategy[bytes]:
    header = json.dumps({"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}).encode()
    whole = struct.pack("<Q", len(header)) + header + bytes(24)
    drawn = json_of(a={"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]})
    return drawn.map(lambda raw: struct.pack("<Q", len(raw)) + raw + bytes(24)) | spoiled(whole)


def _torch() -> bytes:
    content = io.BytesIO()
    torch.save({"state_dict": {"a": torch.ones(2, 3), "b": torch.arange(3)}, "epoch": 3}, content)
    return content.getvalue()


def _list() -> st.SearchStrategy[bytes]:
    names = st.sampled_from([*PICTURES, "gone.png", "../a.png", ""])
    line = st.tuples(names, st.sampled_from(["cat", "dog", "", "1"]), st.sampled_from(["train", "test", "dev"]))
    drawn = st.lists(line, max_size=9).map(lambda lines: "\n".join(map(",".join, lines)))
    sound = "".join(f"{name},{'cat' if name < 'e' else 'dog'},train\n" for name in PICTURES)
    head = b"file,label,split\n"
    return drawn.map(lambda lines: head + lines.encode()) | spoiled(head + sound.encode())


def _notes() -> st.SearchStrategy[bytes]:
    labels = np.arange(8) % 2
    view = project_features(np.eye(2)[labels] + np.arange(8)[:, None] / 9, labels, None)
    sound = asdict(
        RunDetails("typed", {"numpy": "2"}, {"a": {"scoring": 0.5}}, plotted_samples(labels, ("x", "y")), {"a": view})
    )
    return json_of(**sound) | spoiled(json.dumps(sound).encode())


def _read_weights(path: Path) -> None:
    def check(name: str, content: object, file: Path) -> LoadedModel:
        for value in tree_leaves(content):
            assert not isinstance(value, torch.Tensor) or value.nbytes <= file.stat().st_size
        raise NotApplicableError("read, and there is no network for it")

    sources = {"net": CheckpointSource("page", "file")}
    (candidate,) = create_published_pool("pool", sources, check, str(path.parent)).candidates
    with suppress(NotApplicableError):
        candidate.load()


def _read_features(path: Path) -> None:
    target = arrays(str(path))
    found = target.feature_set(path.stem, "scoring_set")
    assert np.isfinite(found.features).all()
    assert len(found.features) == len(found.labels)


def _read_image(path: Path) -> None:
    image = read_rgb(path, "1.png", "remove it")
    assert image.mode == "RGB"
    assert image.width * image.height <= (Image.MAX_IMAGE_PIXELS or 0)


def _read_list(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in PICTURES:
            (Path(folder) / name).write_bytes(_image("PNG"))
        found = image_table(str(path), root=folder)
        assert len(found.train) + len(found.test) <= len(PICTURES)


def _read_manifest(path: Path) -> None:
    for entry in read_manifest(path.parent).values():
        assert (path.parent / entry.file).resolve().is_relative_to(path.parent.resolve())
        assert np.isfinite([*entry.mean, *entry.std]).all()


def _read_accuracies(path: Path) -> None:
    assert (
        in_fractions(read_rows(path, ("model", "accuracy")), "fraction", path, "--unit")["accuracy"].between(0, 1).all()
    )


def _read_scores(path: Path) -> None:
    values = read_scores(path).to_numpy()
    assert not np.isinf(values).any()


def _read_named_option(path: Path) -> None:
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        text = path.read_bytes().decode("utf-8", "replace")
        assert isinstance(named_option("metric", text, 0), dict)


FUZZED = [
    Fuzzed("manifest of checkpoints", _manifest(), "manifest.json", _read_manifest),
    Fuzzed("weights as safetensors", _safetensors(), "net.safetensors", _read_weights),
    Fuzzed("weights as a torch file", spoiled(_torch()), "net.pth", _read_weights),
    Fuzzed("npz of features", spoiled(_npz()), "net.npz", _read_features),
    Fuzzed("image", spoiled(*map(_image, ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"))), "1.png", _read_image),
    Fuzzed("table of accuracies", table_of("model", "dataset", "accuracy"), "t.csv", _read_accuracies),
    Fuzzed("scores made elsewhere", table_of("model", "dataset", "score"), "s.csv", _read_scores),
    Fuzzed("rows of a grid of scores", table_of(*reports.HEAD.strip().split(",")), "s.csv", _read_scores),
    Fuzzed("list of images", _list(), "list.csv", _read_list),
    Fuzzed("details of a page", _notes(), "page.json", lambda p: read_run_details(p.parent)),
    Fuzzed("record of a cell", json_of(**reports.RECORD), "result.json", read_record),
    Fuzzed(
        "status of a cell",
        json_of(state="failed", reason="", cell={"metric": "a"}),
        "status.json",
        lambda p: collect(p.parent),
    ),
    Fuzzed(
        "name of an option",
        (st.sampled_from(["knn", "knn(k=3)", "knn(k=", "emms(rounds=2)"]) | CHARACTERS).flatmap(
            lambda text: CHARACTERS.map(lambda more: (text + more).encode()) | st.just(text.encode())
        ),
        "text",
        _read_named_option,
    ),
]
