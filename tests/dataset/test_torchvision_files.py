"""Lists and links in a torchvision dataset cannot lead out of it, but its folder may be a link."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from transfer_exp.dataset.torchvision_sets import check_paths
from transfer_exp.errors import InputError


@pytest.fixture
def dataset(tmp_path):
    """Return a dataset whose folder in the root is a link."""
    (tmp_path / "disk" / "images").mkdir(parents=True)
    (tmp_path / "disk" / "images" / "1.png").touch()
    (tmp_path / "secret.png").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "set").symlink_to(tmp_path / "disk")
    return SimpleNamespace(root=str(tmp_path / "data"))


def test_the_folder_of_a_dataset_may_be_a_link(dataset, tmp_path):
    path = tmp_path / "data" / "set" / "images" / "1.png"
    assert check_paths(dataset, [str(path)]) == [path]


@pytest.mark.parametrize("name", ["set/images/../../secret.png", "set/../../secret.png", "/etc/hostname"])
def test_a_list_with_a_file_outside_the_dataset_is_refused(dataset, tmp_path, name):
    with pytest.raises(InputError, match="leads out of"):
        check_paths(dataset, [tmp_path / "data" / "set" / "images" / "1.png", tmp_path / "data" / name])


def test_a_link_to_a_file_outside_the_dataset_is_refused(dataset, tmp_path):
    link = tmp_path / "disk" / "images" / "2.png"
    link.symlink_to(tmp_path / "secret.png")
    with pytest.raises(InputError, match=r"2\.png leads out of"):
        check_paths(dataset, [tmp_path / "data" / "set" / "images" / "2.png"])
