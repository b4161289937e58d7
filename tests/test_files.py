"""Files that are either complete or not there."""

import os
from pathlib import Path

import pytest

from scratchdet.files import replacing, write_text


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text("old")
    return path


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def fail_half_way(path, error):
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise error


def test_the_file_is_replaced_when_the_block_ends(file):
    with replacing(file) as temporary:
        temporary.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert names_in(file.parent) == ["result.txt"]


def test_missing_folders_are_made(tmp_path):
    path = tmp_path / "a" / "b" / "result.txt"
    write_text(path, "new")
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_nothing_else(file, error):
    with pytest.raises(error):
        fail_half_way(file, error)
    assert file.read_text() == "old"
    assert names_in(file.parent) == ["result.txt"]


def test_an_error_leaves_no_file_where_there_was_none(tmp_path):
    with pytest.raises(RuntimeError):
        fail_half_way(tmp_path / "new.txt", RuntimeError)
    assert names_in(tmp_path) == []


def test_a_failing_rename_leaves_the_old_file_and_nothing_else(file, monkeypatch):
    def failing(path, target):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(OSError, match="disk full"):
        write_text(file, "new")
    assert file.read_text() == "old"
    assert names_in(file.parent) == ["result.txt"]


def test_a_block_that_writes_nothing_is_an_error(file):
    with pytest.raises(FileNotFoundError), replacing(file):
        pass
    assert file.read_text() == "old"


def test_it_is_on_the_disk_before_it_is_renamed(file, monkeypatch):
    events = []
    fsync, rename = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (events.append("flushed"), fsync(fd))[1])
    monkeypatch.setattr(
        Path, "replace", lambda path, to: (events.append("renamed"), rename(path, to))[1]
    )
    write_text(file, "new")
    assert events == ["flushed", "renamed", "flushed"]  # the file, then the names in the folder


def test_the_temporary_file_keeps_the_ending(tmp_path):
    # Writers of pictures choose the format by it.
    with replacing(tmp_path / "curve.tar.png") as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent == tmp_path
        temporary.touch()


def test_text_is_written_as_utf_8_with_its_line_ends(file):
    write_text(file, "ä\r\nb\n")
    assert file.read_bytes() == "ä\r\nb\n".encode()
