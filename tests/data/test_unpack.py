"""Archives, good and evil: nothing lands outside the folder, and nothing but files."""

import io
import stat
import tarfile
import zipfile

import pytest

from scratchdet.data.unpack import UnsafeArchive, unpack

FILES = {"top/empty": b"", "top/deep/file.txt": b"content" * 1000}
OUTSIDE = ["../evil", "top/../../evil", "/tmp/evil", "a/../b", "..\\evil", "C:/evil"]


def make_tar(path, files, *extra):
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in extra:
            tar.addfile(member)
    return path


def make_zip(path, files, *extra):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
        for member in extra:
            file.writestr(member, "/etc/passwd")
    return path


MAKE = {"a.tar": make_tar, "a.zip": make_zip}


def unpacked(archive, *, limit=10**6):
    """The files that come, in a folder of their own with another beside it."""
    folder = archive.parent / "inside/folder"
    unpack(archive, folder, limit=limit, report=lambda *_: None)
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def nothing_came(archive):
    return [path for path in archive.parent.rglob("*") if path.is_file()] == [archive]


@pytest.mark.parametrize("name", MAKE)
def test_files_come_out_as_they_went_in_and_again_over_an_interrupted_try(tmp_path, name):
    archive = MAKE[name](tmp_path / name, FILES)
    assert unpacked(archive) == FILES
    (tmp_path / "inside/folder/top/deep/file.txt").write_bytes(b"half")
    assert unpacked(archive) == FILES


@pytest.mark.parametrize("name", MAKE)
def test_an_empty_archive_is_no_error(tmp_path, name):
    assert unpacked(MAKE[name](tmp_path / name, {})) == {}


@pytest.mark.parametrize("name", MAKE)
def test_progress_is_in_bytes(tmp_path, name):
    reports = []
    archive = MAKE[name](tmp_path / name, FILES)
    unpack(archive, tmp_path / "x", limit=7000, report=lambda *done: reports.append(done))
    assert reports == [(0, 7000), (7000, 7000)]


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("outside", OUTSIDE)
def test_a_name_that_leads_out_is_refused_before_anything_is_written(tmp_path, name, outside):
    archive = MAKE[name](tmp_path / name, {**FILES, outside: b"evil"})
    with pytest.raises(UnsafeArchive, match="leads out of the folder"):
        unpacked(archive)
    assert nothing_came(archive)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE]
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    member = tarfile.TarInfo("top/odd")
    member.type, member.linkname = kind, "../../../etc/passwd"
    archive = make_tar(tmp_path / "a.tar", FILES, member)
    with pytest.raises(UnsafeArchive, match="'top/odd' is neither a file nor a folder"):
        unpacked(archive)
    assert nothing_came(archive)


def test_links_in_a_zip_are_refused(tmp_path):
    member = zipfile.ZipInfo("top/odd")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive = make_zip(tmp_path / "a.zip", FILES, member)
    with pytest.raises(UnsafeArchive, match="'top/odd' is neither a file nor a folder"):
        unpacked(archive)
    assert nothing_came(archive)


def test_an_encrypted_zip_is_refused(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {"x": b"y"})
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(UnsafeArchive, match="'x' is encrypted"):
        unpacked(archive)


def test_a_sparse_file_in_a_tar_is_refused(tmp_path):
    member = tarfile.TarInfo("hole")
    member.pax_headers = {"GNU.sparse.size": "4000000000", "GNU.sparse.map": "0,1"}
    member.pax_headers |= {"GNU.sparse.numblocks": "1"}
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(member)
    with pytest.raises(UnsafeArchive, match="'hole' is neither"):
        unpacked(archive, limit=10**12)


@pytest.mark.parametrize("name", MAKE)
def test_more_bytes_than_expected_are_refused_before_anything_is_written(tmp_path, name):
    archive = MAKE[name](tmp_path / name, {"bomb": bytes(10**6 + 1)})
    with pytest.raises(UnsafeArchive, match="1000001 bytes, more than the 1000000"):
        unpacked(archive)
    assert nothing_came(archive)


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("damage", ["cut", "empty", "other"])
def test_a_broken_archive_is_refused_by_name(tmp_path, name, damage):
    archive = MAKE[name](tmp_path / name, FILES)
    content = archive.read_bytes()
    broken = {"cut": content[: len(content) // 3], "empty": b"", "other": b"<html>" * 500}
    archive.write_bytes(broken[damage])
    with pytest.raises(UnsafeArchive, match=f"{name}: broken"):
        unpacked(archive)


def test_flipped_bits_in_a_zip_are_noticed(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {"x": bytes(range(256)) * 50})
    content = bytearray(archive.read_bytes())
    content[40] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(UnsafeArchive, match="broken"):
        unpacked(archive)
