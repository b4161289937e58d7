"""Pictures of detections and of training: what is drawn, and where."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchdet.analysis.picture import as_picture
from scratchdet.analysis.plots import (
    GAP,
    PALETTE,
    contact_sheet,
    draw_detections,
    plot_training,
    running_mean,
    save_image,
    tag_place,
)
from scratchdet.structures import DataError


def found(boxes=(), scores=(), labels=()):
    return SimpleNamespace(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.array(scores, np.float32),
        labels=np.array(labels, np.int64),
    )


def drawn(image, detections, classes=("cat", "dog")):
    return draw_detections(
        image, detections.boxes, detections.scores, detections.labels, classes=classes
    )


def has_colour(picture, colour):
    return bool((picture == colour).all(axis=-1).any())


GREY = np.full((120, 160, 3), 128, np.uint8)


@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 1), (9, 7, 2), (9, 7, 3), (9, 7, 5)])
def test_without_detections_the_picture_is_an_rgb_copy(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    picture = drawn(image, found())
    np.testing.assert_array_equal(picture, as_picture(image))
    assert not np.shares_memory(picture, image)


def test_a_shape_that_is_no_image_is_refused():
    with pytest.raises(DataError, match="shape"):
        drawn(np.zeros((0, 4, 3), np.uint8), found())


def test_drawing_leaves_the_image_alone_and_the_inside_of_the_box_visible():
    image = GREY.copy()
    picture = drawn(image, found([[60, 50, 90, 80]], [0.9], [1]))
    np.testing.assert_array_equal(image, GREY)
    np.testing.assert_array_equal(picture[50:80, 60:90], GREY[50:80, 60:90])
    assert has_colour(picture, PALETTE[1])
    assert not has_colour(picture, PALETTE[0])


def test_a_box_of_the_whole_picture_is_still_seen():
    picture = drawn(GREY, found([[-5, -5, 165, 125]], [0.9], [1]))
    for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        assert (edge == PALETTE[1]).all(axis=-1).mean() > 0.4


def test_the_best_of_two_detections_of_one_box_is_on_top():
    box = [60, 50, 90, 80]
    for scores, top in (([0.9, 0.2], 0), ([0.2, 0.9], 1)):
        picture = drawn(GREY, found([box, box], scores, [0, 1]))
        assert tuple(picture[65, 59]) == PALETTE[top]


@given(
    st.integers(-20, 200), st.integers(-20, 200), st.integers(0, 80), st.integers(0, 80),
    st.integers(1, 100), st.integers(1, 60),
)  # fmt: skip
def test_tags_stay_inside_the_picture(x, y, width, height, tag_width, tag_height):
    box = np.array([x, y, x + width, y + height])
    left, top = tag_place(box, (tag_width, tag_height), (100, 60))
    assert 0 <= left <= 100 - tag_width
    assert 0 <= top <= 60 - tag_height


def test_tags_stand_above_the_box_or_below_where_there_is_no_room():
    assert tag_place(np.array([10, 30, 50, 60]), (40, 12), (100, 100)) == (10, 18)
    assert tag_place(np.array([10, 5, 50, 60]), (40, 12), (100, 100)) == (10, 60)
    assert tag_place(np.array([10, 0, 50, 100]), (40, 12), (100, 100)) == (10, 0)
    assert tag_place(np.array([90, 30, 99, 60]), (40, 12), (100, 100)) == (60, 18)


def test_a_class_name_longer_than_the_picture_does_not_fail():
    picture = drawn(GREY, found([[0, 0, 5, 5]], [0.5], [0]), classes=["name " * 60])
    assert picture.shape == GREY.shape


def test_a_sheet_of_no_images_is_paper():
    assert (contact_sheet([], [], classes=[]) == 255).all()


@pytest.mark.parametrize(("count", "rows", "columns"), [(1, 1, 1), (3, 1, 3), (4, 2, 3)])
def test_a_sheet_has_the_rows_and_columns_it_needs(count, rows, columns):
    sheet = contact_sheet([GREY] * count, [found()] * count, classes=[], columns=3, cell=64)
    assert sheet.shape == (rows * (64 + GAP) + GAP, columns * (64 + GAP) + GAP, 3)


def test_a_sheet_shows_detections_from_the_least_score_on_and_the_truth():
    image = np.zeros((40, 40, 1), np.uint8)
    results = found([[10, 10, 20, 20], [22, 22, 30, 30]], [0.9, 0.2], [0, 1])
    arguments = {"classes": ("cat", "dog"), "cell": 160}
    sheet = contact_sheet([image], [results], **arguments)
    assert has_colour(sheet, PALETTE[0])
    assert not has_colour(sheet, PALETTE[1])
    assert has_colour(contact_sheet([image], [results], min_score=0.1, **arguments), PALETTE[1])
    inside = sheet[GAP:-GAP, GAP:-GAP]
    truth = [np.array([[2, 30, 10, 38]])]
    marked = contact_sheet([image], [results], truth=truth, **arguments)[GAP:-GAP, GAP:-GAP]
    rows, columns, _ = np.nonzero(inside != marked)
    assert abs(columns.min() - 2 * 4) <= 3  # enlarged four times
    assert abs(rows.max() - 38 * 4) <= 3


def test_as_many_results_as_images_are_asked_for():
    with pytest.raises(ValueError, match="zip"):
        contact_sheet([GREY], [], classes=[])


def test_a_saved_picture_reads_back_in_its_colours_under_any_name(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    path = tmp_path / "Überblick 图.png"
    save_image(image, path)
    stored = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(stored[..., ::-1], image)
    assert list(tmp_path.iterdir()) == [path]


def test_an_unknown_suffix_is_refused(tmp_path):
    with pytest.raises(DataError, match="suffix"):
        save_image(GREY, tmp_path / "picture.nope")


@given(st.lists(st.floats(-10, 10), max_size=30), st.integers(0, 5))
def test_running_mean_is_the_mean_of_the_neighbours(values, reach):
    array = np.array(values, float)
    expected = [
        np.mean(values[max(0, index - reach) : index + reach + 1]) for index in range(len(values))
    ]
    np.testing.assert_allclose(running_mean(array, 2 * reach + 1), expected, atol=1e-9)


def test_running_mean_leaves_out_what_is_not_finite():
    values = np.array([1.0, np.nan, 3.0, np.inf])
    np.testing.assert_array_equal(running_mean(values, 3), [1.0, 2.0, 3.0, 3.0])
    assert np.isnan(running_mean(np.array([np.nan]), 3)).all()


STEP = {"loss": 3.0, "classification": 2.0, "localisation": 1.0, "lr": 0.1, "gradient_norm": 5.0}


@pytest.mark.parametrize(
    "log",
    [
        [],
        [{"step": 1, **STEP}],
        [{"step": 1, **STEP, "loss": float("nan"), "gradient_norm": None}],
        [{"step": 5, "evaluation": {"ap50": 0.5, "protocol": "voc"}}],
        [{"step": i, **STEP} for i in range(200)],
    ],
    ids=["empty", "one step", "no number", "only an evaluation", "many steps"],
)
def test_curves_are_drawn_from_any_log(tmp_path, log):
    path = tmp_path / "curves.png"
    plot_training(log, path)
    assert cv2.imread(str(path)) is not None
    assert list(tmp_path.iterdir()) == [path]


def test_curves_show_what_was_logged(tmp_path):
    pictures = []
    for ap50 in (0.2, 0.8):
        plot_training(
            [{"step": 1, **STEP}, {"step": 5, "evaluation": {"ap50": ap50, "protocol": "voc"}}],
            tmp_path / "curves.png",
        )
        pictures.append(cv2.imread(str(tmp_path / "curves.png")))
    rows, columns, _ = np.nonzero(pictures[0] != pictures[1])
    height, width = pictures[0].shape[:2]
    assert columns.min() > width / 2, "only the AP50 panel, upper right, differs"
    assert rows.max() < height / 2
