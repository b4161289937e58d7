"""Names for the files of results: each once."""

from scratchdet.detecting.names import Names


def test_a_name_is_kept_and_the_later_get_numbers():
    names = Names()
    given = ["a", "b", "a", "a", "a-2", "a-2", "a", "a-5"]
    assert [names.free(name) for name in given] == [
        "a", "b", "a-2", "a-3", "a-2-2", "a-2-3", "a-4", "a-5",
    ]  # fmt: skip


def test_the_list_of_classes_keeps_its_name():
    assert Names().free("classes") == "classes-2"


def test_a_video_is_not_called_so_that_its_frames_would_share_the_name_of_an_image():
    names = Names()
    images = ["film-frame-000000", "a-frame-1", "a-2-frame-000003", "b"]
    assert [names.free(name) for name in images] == images
    videos = [names.free(name, frames=True) for name in ("film", "a", "b", "frame", "film")]
    assert videos == ["film-2", "a-3", "b-2", "frame", "film-3"]


def test_many_of_the_same_name_take_no_longer_each():
    names = Names()
    assert len({names.free("a") for _ in range(100_000)}) == 100_000
