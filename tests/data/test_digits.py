"""The demo data: reproducible, honest splits, boxes that fit the ink."""

import builtins
from itertools import pairwise

import numpy as np
import pytest

from scratchdet.data.digits import (
    HEIGHTS,
    MOST_DIGITS,
    MOST_OVERLAP,
    SPLITS,
    Pool,
    compose_scene,
    load_split,
    scenes,
    stroke,
    write_digits,
)
from scratchdet.structures import DataError

BLACK = (np.zeros((200, 200, 3), np.uint8),)


@pytest.fixture(scope="module")
def pool() -> Pool:
    return load_split("val")[0]


def black_scene(pool: Pool, seed: int):
    return compose_scene(pool, BLACK, size=160, rng=np.random.default_rng(seed))


def test_no_scenes_of_a_split_is_an_empty_sequence():
    assert list(scenes("val", 0)) == []


def test_boxes_fit_the_ink_to_the_pixel(pool):
    for seed in range(40):
        scene = black_scene(pool, seed)
        inked = scene.image.any(axis=2)
        outside = inked.copy()
        for x0, y0, x1, y1 in scene.boxes.astype(int):
            part = inked[y0:y1, x0:x1]
            assert part[0].any(), "top row of the box is empty"
            assert part[-1].any(), "bottom row of the box is empty"
            assert part[:, 0].any(), "left column of the box is empty"
            assert part[:, -1].any(), "right column of the box is empty"
            outside[y0:y1, x0:x1] = False
        assert not outside.any(), "ink outside of every box"


def test_a_scene_holds_one_to_six_legible_digits(pool):
    lengths = set()
    for seed in range(60):
        scene = black_scene(pool, seed)
        heights = scene.boxes[:, 3] - scene.boxes[:, 1]
        lengths.add(len(scene.boxes))
        assert 1 <= len(scene.boxes) <= MOST_DIGITS
        assert len(scene.labels) == len(scene.ignore) == len(scene.boxes)
        assert (heights >= 160 * HEIGHTS[0] - 1).all()
        assert (heights <= 160 * HEIGHTS[1]).all()
        assert (scene.boxes >= 0).all()
        assert (scene.boxes <= 160).all()
    assert len(lengths) >= 4


def test_boxes_overlap_at_most_a_little(pool):
    for seed in range(40):
        boxes = black_scene(pool, seed).boxes
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
        for i in range(len(boxes)):
            for j in range(i):
                common = np.minimum(boxes[i, 2:], boxes[j, 2:]) - np.maximum(
                    boxes[i, :2], boxes[j, :2]
                )
                assert np.clip(common, 0, None).prod() <= MOST_OVERLAP * min(areas[i], areas[j])


def test_a_digit_stands_out_from_any_plain_ground(pool):
    for grey in (0, 128, 255):
        ground = (np.full((128, 128, 3), grey, np.uint8),)
        for seed in range(10):
            scene = compose_scene(pool, ground, size=160, rng=np.random.default_rng(seed))
            x0, y0, x1, y1 = scene.boxes[0].astype(int)
            luma = scene.image[y0:y1, x0:x1] @ [0.299, 0.587, 0.114]
            assert np.abs(luma - grey).max() >= 50


def test_labels_name_the_digit_that_was_pasted():
    tall, flat = np.full((120, 30), 255, np.uint8), np.full((120, 240), 255, np.uint8)
    pool = Pool((tall, flat), np.array([1, 7]))
    for seed in range(20):
        scene = black_scene(pool, seed)
        wide = (scene.boxes[:, 2] - scene.boxes[:, 0]) > (scene.boxes[:, 3] - scene.boxes[:, 1])
        np.testing.assert_array_equal(scene.labels, np.where(wide, 7, 1))


def test_composing_leaves_pool_and_backgrounds_alone(pool):
    background = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    before, strokes = background.copy(), [stroke.copy() for stroke in pool.strokes[:5]]
    for seed in range(5):
        compose_scene(pool, (background,), size=160, rng=np.random.default_rng(seed))
    np.testing.assert_array_equal(background, before)
    for now, then in zip(pool.strokes, strokes, strict=False):
        np.testing.assert_array_equal(now, then)


def test_a_half_filled_loop_stays_open():
    ring = np.zeros((8, 8))
    ring[1:7, 2:7] = 1.0
    ring[3:5, 4] = 0.55  # more than the step is at: only sharpening opens it
    opacity = stroke(ring)
    height, width = opacity.shape
    assert opacity[height // 2, width // 2] == 0
    assert opacity[height // 2, 8] == 255
    assert opacity[8, width // 2] == 255


def test_scenes_depend_on_seed_split_and_index_only():
    first, again, longer = (list(scenes("val", n, seed=3)) for n in (2, 2, 3))
    for a, b, c in zip(first, again, longer, strict=False):
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.image, c.image)
        np.testing.assert_array_equal(a.boxes, c.boxes)
    other = next(scenes("val", 1, seed=4))
    assert not np.array_equal(first[0].image, other.image)
    assert not np.array_equal(first[0].image, first[1].image)


def test_splits_share_no_digit_and_are_cut_between_sheets():
    from sklearn.datasets import load_digits

    target = load_digits().target
    rows = [np.arange(len(target))[split.digits] for split in SPLITS.values()]
    np.testing.assert_array_equal(np.concatenate(rows), np.arange(1797))
    for first in (part[0] for part in rows):
        np.testing.assert_array_equal(target[first : first + 10], np.arange(10))
    for part in rows:  # every class in balance
        shares = np.bincount(target[part], minlength=10) / len(part)
        assert shares.min() > 0.07
        assert shares.max() < 0.13


def test_splits_share_no_background():
    strips = sorted(split.strip for split in SPLITS.values())
    for (_, stop), (start, _) in pairwise(strips):
        assert stop <= start


def test_an_unchanged_set_is_used_again_and_another_is_refused(tmp_path):
    root = write_digits(tmp_path / "digits", train=3, val=2, test=0, size=64)
    assert (root / "ImageSets/Main/train.txt").read_text().split() == [
        f"train_{i:05d}" for i in range(3)
    ]
    assert (root / "ImageSets/Main/test.txt").read_text() == ""
    assert len(list((root / "JPEGImages").iterdir())) == 5
    picture = root / "JPEGImages/val_00001.jpg"
    written = picture.stat().st_mtime_ns
    write_digits(root, train=3, val=2, test=0, size=64)
    assert picture.stat().st_mtime_ns == written
    with pytest.raises(DataError, match="other parameters"):
        write_digits(root, train=4, val=2, test=0, size=64)


def test_without_scikit_learn_the_error_names_the_extra(monkeypatch):
    real_import = builtins.__import__

    def without_sklearn(name, *args, **kwargs):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_sklearn)
    with pytest.raises(ImportError, match=r"pip install scikit-learn"):
        load_split("train")
