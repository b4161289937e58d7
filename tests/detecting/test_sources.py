"""What the arguments of `scratchdet detect` mean."""

import pytest

from scratchdet.data.pack import pack
from scratchdet.data.references import files_of
from scratchdet.detecting.sources import ImageFile, find_sources, put_together
from scratchdet.structures import DataError


def found(*given, out="nowhere/found", here):
    return find_sources([str(one) for one in given], leave_out=here / out)


def references(sources):
    return [image.reference for image in sources.images]


def test_a_file_is_taken_as_it_is_whatever_it_is_called(tmp_path, picture):
    file = picture(tmp_path / "scan.0001")
    assert references(found(file, here=tmp_path)) == [str(file)]


def test_a_folder_is_searched_with_those_below_for_images_and_videos(tmp_path, picture):
    files = [picture(tmp_path / name) for name in ("b.png", "deep/er/a.PNG", "ü x.jpg", "c.tiff")]
    for name in ("deep/film.MP4", "notes.txt"):
        (tmp_path / name).write_text("")
    sources = found(tmp_path, here=tmp_path)
    assert references(sources) == sorted(map(str, files))
    assert sources.videos == [str(tmp_path / "deep/film.MP4")]
    names = {image.name for image in sources.images}
    assert names == {"b.png", "deep/er/a.PNG", "ü x.jpg", "c.tiff"}


def test_a_pattern_is_expanded_as_a_shell_does_and_may_go_deep(tmp_path, picture):
    for name in ("1/a.png", "2/a.png", "2/b.png", "2/notes.txt", "2/3/a.png"):
        picture(tmp_path / name)
    sources = found(tmp_path / "*/a.*", here=tmp_path)
    assert [image.name for image in sources.images] == ["1/a.png", "2/a.png"]
    sources = found(tmp_path / "**/a.png", here=tmp_path)
    assert [image.name for image in sources.images] == ["1/a.png", "2/3/a.png", "2/a.png"]
    sources = found(tmp_path / "2*", here=tmp_path)  # a folder, searched as if it were named
    assert [image.name for image in sources.images] == ["2/3/a.png", "2/a.png", "2/b.png"]
    with pytest.raises(DataError, match=r"\*\.png: no image or video is called so; looked for "):
        found(tmp_path / "*.png", here=tmp_path)


def test_a_file_with_the_signs_of_a_pattern_in_its_name_is_a_file(tmp_path, picture):
    file = picture(tmp_path / "b [x].png")
    assert references(found(file, here=tmp_path)) == [str(file)]


def test_what_is_meant_twice_is_looked_at_once(tmp_path, picture):
    file = picture(tmp_path / "a.png")
    assert references(found(tmp_path, file, tmp_path / "*.png", here=tmp_path)) == [str(file)]


@pytest.mark.parametrize("given", [".", "*", "**/*.png"])
def test_earlier_results_are_left_out(tmp_path, picture, given, monkeypatch):
    picture(tmp_path / "a.png")
    picture(tmp_path / "found/a.png")
    monkeypatch.chdir(tmp_path)
    for out in ("found", "./found", tmp_path / "found"):
        assert references(found(given, out=out, here=tmp_path)) == ["a.png"]


def test_the_folder_of_the_images_is_none_for_results(tmp_path, picture):
    picture(tmp_path / "a.png")
    with pytest.raises(DataError, match="the results would be mixed with the images"):
        found(tmp_path, out="", here=tmp_path)


def test_nothing_to_find_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        found(tmp_path / "nowhere", here=tmp_path)
    with pytest.raises(DataError, match=r"no image or video here; looked for \.jpg, "):
        found(tmp_path, here=tmp_path)


def test_cameras_and_addresses_are_videos_unless_a_file_is_called_so(
    tmp_path, picture, monkeypatch
):
    streams = ["webcam", "webcam:1", "rtsp://u:p@10.0.0.1/a?b", "http://x/y.jpg"]
    assert found(*streams, here=tmp_path).videos == streams
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "webcam")
    assert references(found("webcam", here=tmp_path)) == ["webcam"]


@pytest.mark.parametrize("pattern", ["", "{stem}_1.png,{stem}_2.png"])
def test_the_images_of_a_pack_are_found_in_it(tmp_path, picture, look, pattern):
    for name in ("x_1", "x_2"):
        picture(tmp_path / f"images/{name}.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "classes.txt").write_text("a")
    pack(tmp_path, tmp_path / "x.lmdb", files=pattern)
    sources = found(tmp_path / "x.lmdb", here=tmp_path)
    assert sources.images[0].name == "x_1.png"
    if pattern:
        images, left_over = put_together(sources.images, pattern)
        assert left_over == {}
        assert [len(files_of(image.reference)) for image in images] == [2]
        return
    done = look([tmp_path / "x.lmdb"], tmp_path / "out")
    assert done.unreadable == []
    assert [line["image"] for line in done.lines] == [
        f"{tmp_path}/x.lmdb/x_{n}.png" for n in (1, 2)
    ]
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {"x_1.png", "x_2.png", "detections.jsonl"}


def test_files_make_images_by_their_names_and_the_others_are_left_over(tmp_path, picture):
    for name in ("1/a_t.png", "1/a_v.png", "2/b_t.png", "2/b_v.png", "2/c_t.png", "2/d.png"):
        picture(tmp_path / name)
    pattern = "{stem}_v.png,{stem}_t.png"
    given = [str(tmp_path / "1/a_t.png"), str(tmp_path / "2")]
    images, left_over = put_together(found(*given, here=tmp_path).images, pattern)
    assert images == [
        ImageFile(f"{tmp_path}/1/a_v.png|{tmp_path}/1/a_t.png", f"{tmp_path}/1"),
        ImageFile(f"{tmp_path}/2/b_v.png|{tmp_path}/2/b_t.png", f"{tmp_path}/2"),
    ]
    assert [image.name for image in images] == ["a_v.png", "b_v.png"]
    assert {file.name for file in left_over} == {"c_t.png", "d.png"}
    with pytest.raises(DataError, match=r"d\.png: is not called like"):
        put_together(found(tmp_path / "2/d.png", here=tmp_path).images, pattern)
