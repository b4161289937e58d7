"""The cache of decoded images: what comes out is what was put in, and when there is one."""

import multiprocessing

import numpy as np
import pytest

from scratchdet.data.cache import ImageCache, choose_cache
from scratchdet.structures import DataError

SIZES = np.array([[3, 5], [1, 1], [7, 2]], np.int32)  # width, height


def image_of(index, *, channels=3, dtype="uint8"):
    width, height = SIZES[index]
    rng = np.random.default_rng(index)
    return (rng.random((height, width, channels)) * 1000).astype(dtype)


def cache_of(*, channels=3, dtype="uint8"):
    return ImageCache(SIZES, channels=channels, dtype=np.dtype(dtype))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("channels", [1, 2, 3, 10])
def test_images_of_any_depth_come_out_as_they_went_in(channels, dtype):
    cache = cache_of(channels=channels, dtype=dtype)
    assert [cache.get(index) for index in range(3)] == [None] * 3
    for index in (2, 0, 1):
        cache.put(index, image_of(index, channels=channels, dtype=dtype))
    for index in range(3):
        found = cache.get(index)
        assert found.dtype == dtype
        assert np.array_equal(found, image_of(index, channels=channels, dtype=dtype))


def test_an_image_from_the_cache_cannot_be_changed():
    cache = cache_of()
    cache.put(0, image_of(0))
    with pytest.raises(ValueError, match="read-only"):
        cache.get(0)[0, 0] = 1


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_what_another_process_stores_is_seen_here(method):
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method(method, force=True)
    try:
        cache = cache_of()
        process = multiprocessing.Process(target=cache.put, args=(1, image_of(1)))
        process.start()
        process.join()
    finally:
        multiprocessing.set_start_method(before, force=True)
    assert np.array_equal(cache.get(1), image_of(1))
    assert cache.get(0) is None


@pytest.mark.parametrize(
    "image", [image_of(0, channels=1), image_of(1), image_of(0, dtype="uint16")], ids=str
)
def test_an_image_that_is_not_what_the_cache_is_for_is_refused(image):
    cache = cache_of()
    with pytest.raises(ValueError, match="image 0 is"):
        cache.put(0, image)
    assert cache.get(0) is None


@pytest.fixture
def free(monkeypatch):
    """Sets how much memory is free, in bytes; None: nobody knows."""

    def say(free):
        monkeypatch.setattr("scratchdet.data.cache.free_memory", lambda: free)

    return say


def choose(mode, *, count=1000, processes=1):
    sizes = np.full((count, 2), (64, 10), np.int32)  # 1920 bytes each, 30 grains of 64
    return choose_cache(mode, sizes, channels=3, dtype=np.dtype(np.uint8), processes=processes)


NEEDED = 1920 * 1000 + 1024  # and a mark for each, in whole grains


@pytest.mark.parametrize(
    ("mode", "left", "processes", "kept"),
    [
        ("off", 10**12, 1, False),
        ("auto", 2 * NEEDED, 1, True),
        ("auto", 2 * NEEDED - 1, 1, False),
        ("auto", None, 1, False),
        ("auto", 4 * NEEDED, 2, True),
        ("auto", 4 * NEEDED - 1, 2, False),
        ("ram", NEEDED, 1, True),
    ],
)
def test_images_are_kept_if_they_fit_into_half_of_what_is_free(free, mode, left, processes, kept):
    free(left)
    cache, line = choose(mode, processes=processes)
    assert (cache is not None) == kept
    assert ("not kept" in line) != kept


def test_the_line_says_what_is_needed_and_what_is_there(free):
    free(5_000_000)
    _, line = choose("auto", processes=2)
    assert line == (
        "1000 decoded images need 3.84 MB of memory in 2 processes, and 5 MB are free: "
        "they are not kept (at most half of it is taken)"
    )


@pytest.mark.parametrize("left", [None, NEEDED - 1])
def test_to_keep_what_does_not_fit_is_refused(free, left):
    free(left)
    with pytest.raises(DataError, match=r"1000 decoded images need 1\.92 MB.*--cache off"):
        choose("ram")


@pytest.mark.parametrize("mode", ["auto", "ram", "off"])
def test_no_images_need_no_cache(mode):
    assert choose(mode, count=0)[0] is None
