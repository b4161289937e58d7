"""Files that are either complete or not there."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from scratchdet.files import DiskFull, check_writable, remove_left_over, replacing, write_text


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text("old")
    return path


@pytest.fixture
def read_only():
    """Makes a folder read-only for everybody, root too; skips where that is not allowed."""
    mounted = []

    def make(folder):
        for command in (["mount", "--bind"], ["mount", "-o", "remount,ro,bind"]):
            try:
                subprocess.run([*command, folder, folder], check=True, capture_output=True)
            except (OSError, subprocess.CalledProcessError):
                pytest.skip("no file system may be mounted here")
            mounted.append(folder)
        return folder

    yield make
    for folder in mounted[:1]:
        subprocess.run(["umount", folder], check=True)


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


def test_the_old_file_is_kept_under_another_name(file):
    kept = file.with_name("before.txt")
    for text in ("new", "newer"):
        with replacing(file, keep=kept) as temporary:
            temporary.write_text(text)
    assert (file.read_text(), kept.read_text()) == ("newer", "new")
    assert names_in(file.parent) == ["before.txt", "result.txt"]


def test_where_there_is_no_old_file_none_is_kept(tmp_path):
    with replacing(tmp_path / "new.txt", keep=tmp_path / "before.txt") as temporary:
        temporary.touch()
    assert names_in(tmp_path) == ["new.txt"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_told_from_other_errors_and_names_the_file(file, number):
    with pytest.raises(DiskFull, match=r"'.*/result\.txt'$"):
        fail_half_way(file, OSError(number, os.strerror(number)))
    assert file.read_text() == "old"


def test_another_error_of_the_system_names_the_file_and_is_no_full_disk(file):
    with pytest.raises(PermissionError, match=r"Permission denied: '.*/result\.txt'$"):
        fail_half_way(file, OSError(errno.EACCES, "Permission denied"))
    with pytest.raises(PermissionError, match=r"denied: '.*/result\.txt'$"), replacing(file) as one:
        raise OSError(errno.EACCES, "Permission denied", str(one))


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.EACCES, PermissionError), (errno.ENOSPC, DiskFull)]
)
def test_an_error_about_another_file_keeps_its_name(file, number, kind):
    with pytest.raises(kind, match=r"'other/a\.png'$"):
        fail_half_way(file, OSError(number, os.strerror(number), "other/a.png"))
    assert file.read_text() == "old"


def dead_process() -> int:
    process = os.fork()
    if not process:
        os._exit(0)
    os.waitpid(process, 0)
    return process


def test_files_that_a_killed_process_left_are_removed_and_nothing_else(tmp_path):
    dead, alive = dead_process(), os.getppid()
    others = [
        "part",
        ".part",
        ".note.part.txt",
        f".note.{alive}.part.txt",
        f"note.{dead}.part.txt",
        f".note.{dead}.txt",
        f".note.{dead}.part.txt.gz.old",
    ]
    ours = [f".note.{dead}.part.txt", f".no.te.{dead}.part", f".note.{os.getpid()}.part.png"]
    for name in (*others, *ours):
        (tmp_path / name).touch()
    assert {path.name for path in remove_left_over(tmp_path)} == set(ours)
    assert names_in(tmp_path) == sorted(others)


def test_a_folder_that_is_not_there_has_nothing_left_over(tmp_path):
    assert remove_left_over(tmp_path / "none") == []


@pytest.mark.parametrize("folder", [".", "a/b"])
def test_looking_whether_a_folder_can_be_written_to_leaves_nothing(tmp_path, folder):
    check_writable(tmp_path / folder)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("folder", [".", "a/b"])
def test_a_folder_that_cannot_be_written_to_is_named(tmp_path, folder, read_only):
    with pytest.raises(OSError, match=rf"Read-only file system: '{tmp_path / folder}'"):
        check_writable(read_only(tmp_path) / folder)


def test_a_file_is_no_folder_to_write_to(file):
    with pytest.raises(NotADirectoryError, match="result"):
        check_writable(file / "run")
