"""What the page is put together from: markup, charts, the choice of pictures, boxes on them."""

import base64
import math
import re

import cv2
import numpy as np
import pytest
from hand_made import CAT, DOG, ELSEWHERE, FAR, NOTHING, TEN, columns_of, data_of
from report_contents import Page, contents_of

from scratchdet.analysis.report.chart import (
    Line,
    line_chart,
    linear_axis,
    log_axis,
    shown_number,
    thinned,
)
from scratchdet.analysis.report.chosen import choose_images, hardest_misses, surest_errors
from scratchdet.analysis.report.drawn import Marked, cut_out, drawn
from scratchdet.analysis.report.markup import Html, element, joined, table
from scratchdet.analysis.report.pictures import pictures
from scratchdet.analysis.report.words import count, duration, figure, listed, millions
from scratchdet.evaluation.outcomes import outcomes


def test_text_is_escaped_once_and_markup_never():
    inner = element("b", "a < b & 'c'")
    assert inner == "<b>a &lt; b &amp; &#x27;c&#x27;</b>"
    assert element("p", inner, "<i>") == f"<p>{inner}&lt;i&gt;</p>"
    assert joined(Html("<br/>"), "<br/>") == "<br/>&lt;br/&gt;"


def test_attributes_are_escaped_and_may_be_left_out():
    made = element("div", class_="a b", aria_label='"<x>"', title=None, checked=True, hidden=False)
    assert made == '<div class="a b" aria-label="&quot;&lt;x&gt;&quot;" checked></div>'


def test_tables_set_totals_apart_and_can_be_scrolled_by_keyboard():
    made = Page(table(["class", "AP"], [["a", "1"], ["mean", "1"]], caption="of two", last=1))
    assert made.named("div")[0]["tabindex"] == "0"
    assert made.named("tbody") == [{}, {"class": "totals"}]
    assert made.text == "class AP a 1 mean 1 of two"


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 0.15, [0, 0.05, 0.1, 0.15]),
        (0, 1234, [0, 250, 500, 750, 1000, 1250]),
        (-1, 1, [-1, -0.5, 0, 0.5, 1]),
        (0, 0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
    ],
)
def test_ticks_are_round_and_the_values_within(low, high, ticks):
    axis = linear_axis(low, high)
    assert list(axis.ticks) == pytest.approx(ticks)
    assert axis.low <= low
    assert high <= axis.high


@pytest.mark.parametrize("number", [1e-30, 3e-7, 0.5, 7.0, 4e12])
@pytest.mark.parametrize("tight", [True, False])
def test_any_range_has_a_few_ticks_within_it(number, tight):
    axis = linear_axis(number, number * 2.3, tight=tight)
    assert 3 <= len(axis.ticks) <= 9
    assert all(
        axis.low <= tick * (1 + 1e-9) and tick <= axis.high * (1 + 1e-9) for tick in axis.ticks
    )
    assert len(log_axis(number, number * 1e6).ticks) in range(3, 9)


def test_logarithmic_axes_begin_and_end_at_1_2_or_5():
    axis = log_axis(0.3, 8)
    assert (axis.low, axis.high) == pytest.approx((0.2, 10))
    assert axis.share(np.array([0.2, math.sqrt(2), 10, 0])) == pytest.approx(
        [0, 0.5, 1, math.nan], nan_ok=True
    )


def test_of_many_points_the_extremes_stay():
    x, y = np.arange(10_000.0), np.zeros(10_000)
    y[1234], y[5678], y[3000] = 7, -7, np.nan
    few_x, few_y = thinned(x, y, 100)
    assert len(few_x) <= 100
    assert few_y.max() == 7
    assert few_x[few_y.argmax()] == 1234
    assert few_y.min() == -7
    assert few_x[few_y.argmin()] == 5678


def test_a_chart_of_nothing_is_nothing():
    assert line_chart([], title="t") == ""
    assert line_chart([Line("a", np.arange(3.0), np.full(3, np.nan))], title="t") == ""


def test_lines_are_where_their_values_are_and_nan_is_a_gap():
    line = Line("a", np.array([0.0, 1, 2, 3]), np.array([0, 1, np.nan, 0.5]))
    made = line_chart([line], title="t", y_range=(0, 1))
    (path,) = re.findall(r'<path d="([^"]*)" class="line', made)
    assert path == "M46.0 216.0L167.3 10.0M410.0 113.0"


def test_a_line_of_one_value_and_one_step_can_be_drawn():
    made = line_chart([Line("a", np.array([5.0]), np.array([2.0]), marked=True)], title="t")
    assert Page(made).named("circle")
    assert "nan" not in made


def test_marks_say_their_values_and_many_are_left_out():
    line = Line("a", np.array([5.0, 10]), np.array([0.25, np.nan]), marked=True)
    assert "a 5: 0.25" in line_chart([line], title="t")
    assert len(Page(line_chart([line], title="t")).named("circle")) == 1
    many = line._replace(x=np.arange(500.0), y=np.sin(np.arange(500.0)))
    assert not Page(line_chart([many], title="t")).named("circle")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.25, "0.25"), (1200, "1,200"), (2e6, "2M"), (1e-5, "1e-05"), (-0.5, "-0.5")],
)
def test_numbers_at_axes_are_short(value, shown):
    assert shown_number(value) == shown


def test_words_for_figures():
    assert [count(1, "image"), count(2000, "image")] == ["1 image", "2,000 images"]
    assert [figure(None), figure(math.nan), figure(0.12345)] == ["–", "–", "0.123"]
    assert [duration(s) for s in (5, 125, 4271, 11_000, 200_000)] == [
        *("5 s", "2 min", "71 min", "3 h 3 min", "2 d 7 h")
    ]
    assert [millions(n) for n in (999, 812_345, 1_300_000)] == ["999", "812 k", "1.3 M"]
    assert listed([]) == ""
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(list("abcd"), 2) == "a, b and 2 more"


def chosen_of(data, *rows):
    return choose_images(data, outcomes(data, columns_of(*rows), protocol="voc", threshold=0.5))


def test_no_image_can_be_chosen_from_none():
    data = data_of()
    found = outcomes(data, NOTHING, protocol="voc", threshold=0.5)
    assert choose_images(data, found) == ([], [], [])
    assert surest_errors(found) == hardest_misses(data, found) == []


def test_the_worst_images_have_the_lowest_f1_and_the_best_the_most_objects():
    one, two = [(TEN, CAT)], [(TEN, CAT), (FAR, DOG)]
    rows = [
        *[(1, TEN, 0.9, CAT), (1, FAR, 0.9, CAT)],  # one of two, and a wrong one
        (2, TEN, 0.9, CAT),
        *[(3, TEN, 0.9, CAT), (3, FAR, 0.9, DOG)],
        (4, ELSEWHERE, 0.9, CAT),  # where nothing is
    ]
    worst, best, random = chosen_of(data_of(one, two, one, two, []), *rows)
    assert worst == [0, 4, 1], "all missed; all wrong; some"
    assert best == [3, 2]
    assert random == []


def test_the_surest_errors_and_the_least_hinted_misses_come_first():
    data = data_of([(TEN, CAT), (FAR, DOG)], [(TEN, CAT)])
    rows = columns_of((0, ELSEWHERE, 0.7, CAT), (1, ELSEWHERE, 0.9, CAT), (1, TEN, 0.3, CAT))
    found = outcomes(data, rows, protocol="voc", threshold=0.5)
    images = found.detections.image_index
    assert [int(images[row]) for row in surest_errors(found)] == [1, 0]
    assert hardest_misses(data, found) == [0, 1, 2], "the last is hinted at"


def test_no_image_gives_more_than_two_crops():
    data = data_of([(TEN, CAT)] * 5)
    found = outcomes(data, NOTHING, protocol="voc", threshold=0.5)
    assert len(hardest_misses(data, found)) == 2


def test_a_picture_is_drawn_with_its_boxes_over_it():
    picture = np.zeros((40, 80, 3), np.uint8)
    picture[:, :40] = (255, 0, 0)
    marks = [
        Marked("wrong", np.array([8.0, 8, 40, 40]), "cat 0.9: background", "cat 0.9"),
        Marked("hit", np.array([-5.0, 0, 200, 20]), "dog 0.8"),
    ]
    page = Page(drawn(picture, marks, longest=40, told="two boxes"))
    (svg,), (image,) = page.named("svg"), page.named("image")
    assert svg["viewbox"] == "0 0 40 20"
    kind, _, encoded = image["href"].partition(",")
    assert kind == "data:image/jpeg;base64"
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(encoded), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert pixels.shape == (20, 40, 3)
    assert pixels[10, 5, 0] > 200
    assert pixels[10, 35, 0] < 50
    inks = [one for one in page.named("rect") if one["class"] == "ink"]
    places = [[float(one[key]) for key in ("x", "y", "width", "height")] for one in inks]
    assert places == [[0, 0, 40, 10], [4, 4, 16, 16]], "errors on top, inside the picture"
    assert "cat 0.9: background" in page.text


@pytest.mark.parametrize(
    ("box", "corner", "size"),
    [
        ((40, 40, 60, 60), (30, 30), (40, 40)),
        ((0, 0, 4, 4), (0, 0), (32, 32)),
        ((90, 90, 100, 100), (68, 68), (32, 32)),
        ((0, 0, 100, 10), (0, 0), (100, 100)),
        ((10, 10, 10, 10), (0, 0), (32, 32)),
    ],
)
def test_a_crop_has_as_much_around_the_box_and_stays_inside(box, corner, size):
    picture = np.zeros((100, 100, 3), np.uint8)
    part, first = cut_out(picture, np.array(box, np.float32))
    assert tuple(first) == corner
    assert part.shape[1::-1] == size


def test_a_crop_of_a_small_image_is_all_of_it():
    part, first = cut_out(np.zeros((8, 6, 3), np.uint8), np.array([1, 1, 4, 4], np.float32))
    assert part.shape == (8, 6, 3)
    assert tuple(first) == (0, 0)


def test_images_that_are_gone_are_counted_and_the_others_shown(tmp_path):
    contents = contents_of(tmp_path)
    whole = pictures(contents)
    (tmp_path / "00.npy").unlink()
    left = pictures(contents)
    assert "1 image cannot be read any more" in left
    assert 0 < left.count("<image") < whole.count("<image")
    for path in tmp_path.glob("*.npy"):
        path.unlink()
    assert Page(pictures(contents)).text == "6 images cannot be read any more."
