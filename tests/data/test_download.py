"""Published data sets from a server on this machine: whole, once, and nothing that looks whole."""

import hashlib
import io
import shutil
import tarfile
import zipfile
from contextlib import contextmanager
from dataclasses import replace

import pytest

from scratchdet.cli import main
from scratchdet.data.download import DOWNLOADS, Archive, Published, download
from scratchdet.data.fetch import DownloadError
from scratchdet.data.formats import detect_format, list_splits, read_data
from scratchdet.data.unpack import UnsafeArchive
from scratchdet.recipes import load_recipe

XML = (
    "<annotation><size><width>9</width><height>9</height></size><object><name>cat</name><bndbox>"
    "<xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></object></annotation>"
)
COCO = """{"images": [{"id": 1, "file_name": "%s.jpg", "width": 9, "height": 9}],
"annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 4]}],
"categories": [{"id": 1, "name": "cat"}]}"""


def voc(year, **splits):
    """The files of an archive: an image for each split."""
    files = {}
    for split, image_id in splits.items():
        top = f"VOCdevkit/{year}"
        files[f"{top}/ImageSets/Main/{split}.txt"] = f"{image_id}\n"
        files[f"{top}/Annotations/{image_id}.xml"] = XML
        files[f"{top}/JPEGImages/{image_id}.jpg"] = ""
    return files


def packed(name, files):
    stream = io.BytesIO()
    if name.endswith(".zip"):
        with zipfile.ZipFile(stream, "w") as archive:
            for path, text in files.items():
                archive.writestr(path, text)
    else:
        with tarfile.open(fileobj=stream, mode="w") as archive:
            for path, text in files.items():
                member = tarfile.TarInfo(path)
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
    return stream.getvalue()


CONTENT = {
    "trainval.tar": packed("trainval.tar", voc("VOC2007", trainval="1", val="2")),
    "test.tar": packed("test.tar", voc("VOC2007", test="3")),
    "voc12.tar": packed("voc12.tar", voc("VOC2012", trainval="2008_4")),
    "annotations.zip": packed(
        "annotations.zip",
        {f"annotations/instances_{split}2017.json": COCO % split for split in ("train", "val")}
        | {"annotations/captions_val2017.json": "{}"},
    ),
    "train2017.zip": packed("train2017.zip", {"train2017/train.jpg": ""}),
    "val2017.zip": packed("val2017.zip", {"val2017/val.jpg": ""}),
}
NAMES = {
    "voc07": ["trainval.tar", "test.tar"],
    "voc12": ["voc12.tar"],
    "coco17": ["annotations.zip", "train2017.zip", "val2017.zip"],
}


@pytest.fixture
def web(server, monkeypatch):
    """The published data sets with a small archive for each, on a server of ours."""
    server.files = dict(CONTENT)
    for key, names in NAMES.items():
        archives = tuple(
            Archive(
                url=f"{server.url}/{name}",
                size=len(CONTENT[name]),
                md5=hashlib.md5(CONTENT[name]).hexdigest(),
                unpacked=10_000,
                into=DOWNLOADS[key].archives[0].into,
            )
            for name in names
        )
        real = DOWNLOADS[key]
        monkeypatch.setitem(DOWNLOADS, key, replace(real, archives=archives))
    return server


@contextmanager
def silent(what):
    yield lambda done, total: None


def get(name, folder, *, keep_archives=False):
    return download(name, folder, keep_archives=keep_archives, phase=silent)


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


def asked(web):
    return [path for path, _ in web.asked]


def test_both_years_of_voc_become_one_devkit(web, tmp_path):
    assert get("voc07", tmp_path)
    assert get("voc12", tmp_path)
    assert left_in(tmp_path) == ["VOCdevkit"]
    devkit = tmp_path / "VOCdevkit"
    assert list_splits(devkit) == ["test", "trainval", "val"]
    assert list(read_data(devkit, split="trainval+VOC2007/test").ids) == ["1", "3", "2008_4"]


def test_coco_becomes_a_folder_that_is_read(web, tmp_path):
    get("coco17", tmp_path)
    assert left_in(tmp_path) == ["coco"]
    assert left_in(tmp_path / "coco") == ["annotations", "train2017", "val2017"]
    assert detect_format(tmp_path / "coco") == "coco"
    assert list_splits(tmp_path / "coco") == ["train2017", "val2017"]
    assert read_data(tmp_path / "coco", split="val2017")[0].path.name == "val.jpg"


@pytest.mark.parametrize("name", DOWNLOADS)
def test_what_is_there_is_not_fetched_again(web, tmp_path, name):
    assert get(name, tmp_path)
    count = len(web.asked)
    assert count == len(DOWNLOADS[name].archives)
    assert not get(name, tmp_path)
    assert len(web.asked) == count


def test_archives_are_kept_where_this_is_asked_and_used_where_they_are(web, tmp_path):
    get("voc07", tmp_path, keep_archives=True)
    assert left_in(tmp_path) == ["VOCdevkit", "test.tar", "trainval.tar"]
    shutil.rmtree(tmp_path / "VOCdevkit")
    count = len(web.asked)
    get("voc07", tmp_path)
    assert len(web.asked) == count
    assert left_in(tmp_path) == ["VOCdevkit", "test.tar", "trainval.tar"]


def test_a_given_archive_that_is_wrong_is_refused_and_left_alone(web, tmp_path):
    (tmp_path / "test.tar").write_bytes(b"mine")
    with pytest.raises(DownloadError, match=r"test\.tar: its md5 is .*: remove it"):
        get("voc07", tmp_path)
    assert (tmp_path / "test.tar").read_bytes() == b"mine"


def test_an_archive_of_another_checksum_is_deleted_and_nothing_of_it_unpacked(web, tmp_path):
    web.files["test.tar"] = b"x" * len(CONTENT["test.tar"])
    with pytest.raises(DownloadError, match="it is deleted"):
        get("voc07", tmp_path)
    assert not (tmp_path / "VOCdevkit").exists()
    assert not (tmp_path / "voc07.part/test.tar").exists()
    web.files["test.tar"] = CONTENT["test.tar"]
    web.asked.clear()
    assert get("voc07", tmp_path)
    assert asked(web) == ["/test.tar"]  # the other was done


def test_what_was_interrupted_is_gone_on_with(web, tmp_path):
    web.cuts = [100] + [0] * 50
    with pytest.raises(DownloadError):
        get("voc12", tmp_path)
    assert left_in(tmp_path) == ["voc12.part"]
    web.cuts = []
    web.asked.clear()
    assert get("voc12", tmp_path)
    assert web.asked == [("/voc12.tar", "bytes=100-")]
    assert left_in(tmp_path) == ["VOCdevkit"]


@pytest.mark.parametrize("name", DOWNLOADS)
def test_an_interrupted_unpacking_is_not_taken_for_a_finished_one(web, tmp_path, name):
    files = []

    @contextmanager
    def interrupting(what):
        def report(done, total):
            if "unpacking" in what and DOWNLOADS[name].archives[-1].name in what:
                files.extend(path for path in tmp_path.rglob("*") if path.is_file())
                raise KeyboardInterrupt

        yield report

    with pytest.raises(KeyboardInterrupt):
        download(name, tmp_path, keep_archives=False, phase=interrupting)
    assert len(files) > 1
    assert left_in(tmp_path) == [f"{name}.part"]
    web.asked.clear()
    assert get(name, tmp_path)
    assert web.asked == []
    assert len(read_data(tmp_path / DOWNLOADS[name].data)) >= 1


def test_an_evil_archive_of_the_right_checksum_comes_to_nothing(web, tmp_path, monkeypatch):
    evil = packed("voc12.tar", {"../../evil": "x"})
    web.files["voc12.tar"] = evil
    archive = Archive(
        url=f"{web.url}/voc12.tar",
        size=len(evil),
        md5=hashlib.md5(evil).hexdigest(),
        unpacked=9,
    )
    monkeypatch.setitem(
        DOWNLOADS, "voc12", Published(archives=(archive,), folder="VOCdevkit/VOC2012", data="x")
    )
    with pytest.raises(UnsafeArchive, match="leads out"):
        get("voc12", tmp_path / "a/b")
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize("keep", [True, False])
def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(
    web, tmp_path, monkeypatch, keep
):
    first, second = (archive.size for archive in DOWNLOADS["voc07"].archives)
    needed = 2 * 10_000 + (first + second if keep else max(first, second))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=needed - 1))
    with pytest.raises(DownloadError, match=r"GB are needed.*free"):
        get("voc07", tmp_path, keep_archives=keep)
    assert web.asked == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=needed))
    assert get("voc07", tmp_path, keep_archives=keep)


def test_what_is_done_needs_no_room_again(web, tmp_path, monkeypatch):
    web.cuts = [len(CONTENT["trainval.tar"]), 2000] + [0] * 50
    with pytest.raises(DownloadError):
        get("voc07", tmp_path)
    web.cuts = []
    needed = 10_000 + len(CONTENT["test.tar"]) - 2000
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=needed))
    assert get("voc07", tmp_path)


def test_the_command_says_what_is_where_and_what_comes_next(web, tmp_path, capsys):
    assert main(["download", "voc12", str(tmp_path / "my data")]) == 0
    out = capsys.readouterr().out
    assert "voc12.tar: fetching" in out
    assert f"scratchdet train '{tmp_path}/my data/VOCdevkit' --recipe" in out
    assert main(["download", "voc12", str(tmp_path / "my data")]) == 0
    assert "is there already: nothing is fetched" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("names", "suggested"),
    [
        (["voc07"], ""),
        (["voc12"], " --recipe scratchdet300_voc12"),
        (["voc07", "voc12"], " --recipe scratchdet300_voc0712"),
        (["voc12", "voc07"], " --recipe scratchdet300_voc0712"),
        (["coco17"], " --recipe scratchdet300_coco"),
    ],
)
def test_the_recipe_that_is_suggested_reads_what_was_fetched(
    web, tmp_path, capsys, names, suggested
):
    for name in names:
        assert main(["download", name, str(tmp_path)]) == 0
    data = tmp_path / DOWNLOADS[names[0]].data
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"  scratchdet train {data}{suggested}"
    if suggested:
        recipe = load_recipe(suggested.split()[-1]).data
        for split in filter(None, (recipe.split, recipe.test_split)):
            assert len(read_data(data, split=split))


@pytest.mark.parametrize("fault", ["404", "no network", "checksum"])
def test_a_download_that_fails_is_one_line_and_status_1(web, tmp_path, monkeypatch, capsys, fault):
    if fault == "no network":
        (archive,) = DOWNLOADS["voc12"].archives
        nowhere = replace(archive, url="http://host.invalid/voc12.tar")
        monkeypatch.setitem(DOWNLOADS, "voc12", replace(DOWNLOADS["voc12"], archives=(nowhere,)))
    elif fault == "404":
        del web.files["voc12.tar"]
    else:
        web.files["voc12.tar"] = bytes(len(CONTENT["voc12.tar"]))
    assert main(["download", "voc12", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("scratchdet download: ")
    assert "voc12.tar" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", DOWNLOADS)
def test_the_published_values_are_of_the_kind_that_they_should_be(name):
    for archive in DOWNLOADS[name].archives:
        assert len(bytes.fromhex(archive.md5)) == 16
        assert archive.unpacked >= archive.size
        assert archive.name.endswith((".tar", ".zip"))
        assert archive.size % 512 == 0 or archive.name.endswith(".zip")
    assert len({archive.md5 for archive in DOWNLOADS[name].archives}) == len(NAMES[name])
