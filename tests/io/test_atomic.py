"""Files are written in one step, and never over a device, a folder or a file that a user may still need."""

from __future__ import annotations

import os
import stat

import pandas as pd
import pytest

from transfer_exp.errors import InputError
from transfer_exp.io.atomic import write_text
from transfer_exp.io.csv import check_target, write_table


def test_the_file_behind_a_link_is_replaced_and_the_link_stays(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("old")
    for name, target in (("link", "folder/file"), ("second", "link"), ("dangling", "folder/new")):
        (tmp_path / name).symlink_to(target)
        write_text(tmp_path / name, name)
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / name).resolve().read_text() == name
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == ["file", "new"]


@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_is_refused_and_stays(tmp_path, linked):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    path = tmp_path / ("link" if linked else "pipe")
    with pytest.raises(InputError, match=f"{path.name} is a pipe or device, .*: name a regular file"):
        write_text(path, "text")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe"]


@pytest.mark.parametrize("name", [".", "", "folder", "loop"])
def test_a_folder_and_a_link_to_itself_are_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match=r"is a (folder, not .* file|link to itself).*: name a"):
        write_text(tmp_path.__class__(name), "text")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "loop"]


def test_a_table_replaces_only_an_earlier_table_of_its_kind(tmp_path):
    path, other = tmp_path / "table.csv", tmp_path / "input.csv"
    check_target(path, [other], ["a", "b"], "numbers")
    path.touch()
    check_target(path, [other], ["a", "b"], "numbers")
    write_table(path, pd.DataFrame({"b": [1], "a": [2], "c": [3]}))
    check_target(path, [other], ["a", "b"], "numbers")
    other.symlink_to(path)
    for output in (path, other):
        with pytest.raises(InputError, match=f"{output.name} is an input of this command"):
            check_target(output, [tmp_path / "absent", path], ["a", "b"], "numbers")


@pytest.mark.parametrize("content", [b"a,c\n1,2\n", b"{}\n", b"\x89PNG\n", b"\n"])
def test_any_other_file_is_refused_as_a_target_of_a_table(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InputError, match="file is not an earlier table of numbers: name another file to write, or"):
        check_target(tmp_path / "file", [], ["a", "b"], "numbers")
