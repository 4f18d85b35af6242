"""Fuzzed readers: random damage to a valid file of each kind, and a check of what the reader returns."""

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
from tests.bad_input.files import ENTRY, npz
from tests.bad_input.strategies import CHARACTERS, damaged, json_of, table_of
from transfer_exp.cli.score_matrix import compose_option
from transfer_exp.dataset.arrays import arrays
from transfer_exp.dataset.image_decoding import ImageDecoder
from transfer_exp.dataset.image_table import image_table
from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.evaluation.score_files import read_scores
from transfer_exp.io.accuracies import check_repetitions, to_fractions
from transfer_exp.io.csv import read_table, require_columns
from transfer_exp.model_pool.checkpoints import read_manifest
from transfer_exp.model_pool.loaded_model import LoadedModel
from transfer_exp.model_pool.published_checkpoints import CheckpointSource, create_published_pool
from transfer_exp.report.html.projection import plotted_samples, project_features
from transfer_exp.report.html.run_details import RunDetails, read_run_details
from transfer_exp.report.record import read_record
from transfer_exp.report.sweep_cells import collect

ROOT = Path(__file__).parents[2]
PICTURES = tuple(f"{name}.png" for name in "abcdefgh")


@dataclass(frozen=True)
class FuzzedReader:
    """A reader of files, with random inputs.

    Attributes
    ----------
    name : str
        Description of the file.
    inputs : SearchStrategy
        Random contents of the file.
    file_name : str
        Name of the file.
    read : callable
        Reads the file, and asserts that the returned value is valid.
    """

    name: str
    inputs: st.SearchStrategy[bytes]
    file_name: str
    read: Callable[[Path], object]

    def accepts(self, content: bytes) -> bool:
        """Return whether the reader accepts an input; it must return a valid value or raise a one-line `InputError`."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / self.file_name
            path.write_bytes(content)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")  # a warning would be a second line on stderr
                    self.read(path)
            except InputError as error:
                refusal = str(error)
            else:
                refusal = ""
            assert refusal.isprintable(), refusal
            assert [file.name for file in Path(folder).iterdir()] == [self.file_name], "the reader wrote a file"
        return not refusal


def _manifest() -> st.SearchStrategy[bytes]:
    entry = json_of(**ENTRY, source_classes=3, interpolation="bicubic").map(lambda raw: b'{"net": ' + raw + b"}")
    return entry | json_of(net=ENTRY) | damaged(json.dumps({"net": ENTRY}).encode())


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
    valid = struct.pack("<Q", len(header)) + header + bytes(24)
    random_header = json_of(a={"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]})
    return random_header.map(lambda raw: struct.pack("<Q", len(raw)) + raw + bytes(24)) | damaged(valid)


def _torch() -> bytes:
    content = io.BytesIO()
    torch.save({"state_dict": {"a": torch.ones(2, 3), "b": torch.arange(3)}, "epoch": 3}, content)
    return content.getvalue()


def _list() -> st.SearchStrategy[bytes]:
    names = st.sampled_from([*PICTURES, "gone.png", "../a.png", ""])
    line = st.tuples(names, st.sampled_from(["cat", "dog", "", "1"]), st.sampled_from(["train", "test", "dev"]))
    random_lines = st.lists(line, max_size=9).map(lambda lines: "\n".join(map(",".join, lines)))
    valid = "".join(f"{name},{'cat' if name < 'e' else 'dog'},train\n" for name in PICTURES)
    head = b"file,label,split\n"
    return random_lines.map(lambda lines: head + lines.encode()) | damaged(head + valid.encode())


def _run_details() -> st.SearchStrategy[bytes]:
    labels = np.arange(8) % 2
    projection = project_features(np.eye(2)[labels] + np.arange(8)[:, None] / 9, labels, None)
    samples = plotted_samples(labels, ("x", "y"))
    details = RunDetails("command", {"numpy": "2"}, {"a": {"scoring": 0.5}}, samples, {"a": projection})
    valid = asdict(details)
    return json_of(**valid) | damaged(json.dumps(valid).encode())


def _read_weights(path: Path) -> None:
    def check(name: str, content: object, file: Path) -> LoadedModel:
        for value in tree_leaves(content):
            assert not isinstance(value, torch.Tensor) or value.nbytes <= file.stat().st_size
        raise NotApplicableError("the file was read, and none of the models fits it")

    sources = {"net": CheckpointSource("page", "file")}
    (candidate,) = create_published_pool("pool", sources, check, str(path.parent)).candidates
    with suppress(NotApplicableError):
        candidate.load()


def _read_features(path: Path) -> None:
    target = arrays(str(path))
    feature_set = target.feature_set(path.stem, "scoring_set")
    assert np.isfinite(feature_set.features).all()
    assert len(feature_set.features) == len(feature_set.labels)


def _read_image(path: Path) -> None:
    image = ImageDecoder().decode(path.read_bytes(), "1.png", "remove it")
    assert image.mode == "RGB"
    assert image.width * image.height <= (Image.MAX_IMAGE_PIXELS or 0)


def _read_list(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in PICTURES:
            (Path(folder) / name).write_bytes(_image("PNG"))
        dataset = image_table(str(path), root=folder)
        assert len(dataset.train) + len(dataset.test) <= len(PICTURES)


def _read_manifest(path: Path) -> None:
    for entry in read_manifest(path.parent).values():
        assert (path.parent / entry.file).resolve().is_relative_to(path.parent.resolve())
        assert np.isfinite([*entry.mean, *entry.std]).all()


def _read_accuracies(path: Path) -> None:
    rows = read_table(path)
    require_columns(rows, ("model", "dataset", "accuracy"), path)
    rows = to_fractions(rows, "fraction", path, "--unit")
    check_repetitions(rows, path)
    assert rows["accuracy"].between(0, 1).all()


def _read_scores(path: Path) -> None:
    values = read_scores(path).to_numpy()
    assert not np.isinf(values).any()


def _read_option(path: Path) -> None:
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        text = path.read_bytes().decode("utf-8", "replace")
        assert isinstance(compose_option("metric", text, 0), dict)


READERS = [
    FuzzedReader("manifest of checkpoints", _manifest(), "manifest.json", _read_manifest),
    FuzzedReader("weights as safetensors", _safetensors(), "net.safetensors", _read_weights),
    FuzzedReader("weights as a torch file", damaged(_torch()), "net.pth", _read_weights),
    FuzzedReader("npz of features", damaged(_npz()), "net.npz", _read_features),
    FuzzedReader(
        "image", damaged(*map(_image, ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"))), "1.png", _read_image
    ),
    FuzzedReader("table of accuracies", table_of("model", "dataset", "accuracy"), "t.csv", _read_accuracies),
    FuzzedReader("scores from any source", table_of("model", "dataset", "score"), "s.csv", _read_scores),
    FuzzedReader("rows of a score matrix", table_of(*reports.HEAD.strip().split(",")), "s.csv", _read_scores),
    FuzzedReader("list of images", _list(), "list.csv", _read_list),
    FuzzedReader("details of a run", _run_details(), "page.json", lambda p: read_run_details(p.parent)),
    FuzzedReader("record of a cell", json_of(**reports.RECORD), "result.json", read_record),
    FuzzedReader(
        "status of a cell",
        json_of(state="failed", reason="", cell={"metric": "a"}),
        "status.json",
        lambda p: collect(p.parent),
    ),
    FuzzedReader(
        "name of an option",
        (st.sampled_from(["knn", "knn(k=3)", "knn(k=", "emms(rounds=2)"]) | CHARACTERS).flatmap(
            lambda text: CHARACTERS.map(lambda more: (text + more).encode()) | st.just(text.encode())
        ),
        "text",
        _read_option,
    ),
]
