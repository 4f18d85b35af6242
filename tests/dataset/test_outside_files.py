"""Lists and links of a torchvision dataset cannot lead out of it; a link of the user's to the whole set may."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from transfer_exp.dataset.torchvision_files import inside
from transfer_exp.errors import InputError


@pytest.fixture
def dataset(tmp_path):
    """Return a set that lies elsewhere, linked into the root."""
    (tmp_path / "disk" / "images").mkdir(parents=True)
    (tmp_path / "disk" / "images" / "1.png").touch()
    (tmp_path / "secret.png").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "set").symlink_to(tmp_path / "disk")
    return SimpleNamespace(root=str(tmp_path / "data"))


def test_a_set_may_be_a_link_in_the_root(dataset, tmp_path):
    path = tmp_path / "data" / "set" / "images" / "1.png"
    assert inside(dataset, [str(path)]) == [path]


@pytest.mark.parametrize("name", ["set/images/../../secret.png", "set/../../secret.png", "/etc/hostname"])
def test_a_list_cannot_name_a_file_elsewhere(dataset, tmp_path, name):
    with pytest.raises(InputError, match="leads out of"):
        inside(dataset, [tmp_path / "data" / "set" / "images" / "1.png", tmp_path / "data" / name])


def test_a_file_in_the_set_cannot_be_a_link_to_elsewhere(dataset, tmp_path):
    link = tmp_path / "disk" / "images" / "2.png"
    link.symlink_to(tmp_path / "secret.png")
    with pytest.raises(InputError, match=r"2\.png leads out of"):
        inside(dataset, [tmp_path / "data" / "set" / "images" / "2.png"])
