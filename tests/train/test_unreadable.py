"""Unreadable images during training: each is counted once, and many of them are the end."""

import pytest

from scratchdet.structures import DataError, Problem
from scratchdet.train.unreadable import BadImages


def problem(number, what="the file is empty"):
    return Problem(f"{number}.jpg", what, "replaced by another image")


def test_nothing_unreadable_is_no_problem():
    assert BadImages(images=10, limit=0.0).add(()) == ()


def test_an_image_is_new_once_whatever_is_wrong_with_it_later():
    bad = BadImages(images=10, limit=0.2)
    assert bad.add([problem(1), problem(1)]) == (problem(1),)
    assert bad.add([problem(1, "gone"), problem(2)]) == (problem(2),)
    assert bad.problems == (problem(1), problem(2))


@pytest.mark.parametrize(("images", "limit", "allowed"), [(10, 0.2, 2), (10, 0.29, 2), (9, 0.0, 0)])
def test_more_than_the_share_that_may_be_bad_is_an_error_that_lists_them(images, limit, allowed):
    bad = BadImages(images=images, limit=limit)
    for number in range(allowed):
        bad.add([problem(number)])
    with pytest.raises(DataError) as error:
        bad.add([problem("last")])
    assert f"{allowed + 1} of {images} images cannot be read" in str(error.value)
    assert "--data.bad-images" in str(error.value)
    assert "last.jpg: the file is empty" in str(error.value)
