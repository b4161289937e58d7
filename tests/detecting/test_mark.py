"""The mark tells annotated pictures and videos from others, and breaks neither."""

import cv2
import numpy as np
import pytest

from scratchdet.detecting.mark import is_marked, mark_mp4
from scratchdet.detecting.output import save_picture


def test_an_annotated_picture_says_what_made_it_and_is_a_sound_png(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    picture = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    save_picture(picture, tmp_path / "a.png")
    assert is_marked(tmp_path / "a.png")
    Image.open(tmp_path / "a.png").verify()  # the checksum of every chunk
    with Image.open(tmp_path / "a.png") as read:
        assert read.text == {"Software": "scratchdet detect"}
        assert np.array_equal(np.asarray(read), picture)


def test_a_picture_that_was_saved_by_another_program_is_the_users(tmp_path):
    save_picture(np.zeros((9, 7, 3), np.uint8), tmp_path / "a.png")
    cv2.imwrite(str(tmp_path / "a.png"), cv2.imread(str(tmp_path / "a.png")))
    assert not is_marked(tmp_path / "a.png")


def test_a_marked_video_has_its_frames(tmp_path, film, numbers):
    path = film(tmp_path / "a.mp4", frames=3)
    assert not is_marked(path)
    mark_mp4(path)
    assert is_marked(path)
    assert numbers(path) == [0, 1, 2]


def test_folders_broken_links_and_empty_files_are_not_marked(tmp_path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to("nowhere")
    (tmp_path / "empty.png").touch()
    assert [is_marked(path) for path in tmp_path.iterdir()] == [False] * 3
