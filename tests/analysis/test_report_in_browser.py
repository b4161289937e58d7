"""The report in a real browser: nothing is fetched, nothing complained of, everything fits."""

import cv2
import numpy as np
import pytest
from browser import browser, find_browser
from report_contents import HOSTILE, contents_of

from scratchdet.analysis.report.page import write_report

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium is installed")

PHONE, DESKTOP = 390, 1280  # CSS pixels


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Opens a report of these contents."""
    folder = tmp_path_factory.mktemp("browser")
    with browser(folder / "profile") as driven:

        def open_report(width: int = DESKTOP, *, dark: bool = False, ask=(), **contents):
            path = folder / "report.html"
            write_report(contents_of(folder / "data", **contents), path)
            return driven.open(path, width=width, dark=dark, phone=width == PHONE, ask=ask)

        yield open_report


def brightness(screenshot: bytes) -> float:
    """The median of the pixels: that of the paper."""
    return float(np.median(cv2.imdecode(np.frombuffer(screenshot, np.uint8), cv2.IMREAD_GRAYSCALE)))


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize(
    "classes", [("a", "b"), (HOSTILE, "long" * 40), tuple(map(str, range(40)))]
)
def test_it_asks_for_nothing_says_nothing_and_fits(opened, width, classes):
    seen = opened(width, classes=classes, name=classes[0])
    assert seen.requests == []
    assert seen.messages == []
    assert seen.width <= width
    assert seen.seconds < 5, "0.3 s on a core of its own; there may be other work"


def test_it_follows_the_system_into_the_dark(opened):
    assert brightness(opened().screenshot) > 240
    assert brightness(opened(dark=True).screenshot) < 40


def test_boxes_can_be_switched_off_by_keyboard_and_mouse(opened):
    shown = "getComputedStyle(document.querySelector('.pictures .hit')).display"
    press = "document.getElementById('show-hits').click()"
    focus = "document.getElementById('show-hits').focus(); document.activeElement.id"
    assert opened(ask=[shown, press, shown, press, shown, focus]).answers == [
        *("inline", None, "none", None, "inline"),
        "show-hits",
    ]


def test_tables_scroll_inside_themselves(opened):
    wide = "[...document.querySelectorAll('.wide')]"
    ask = [
        f"{wide}.some(one => one.scrollWidth > one.clientWidth)",
        f"{wide}.every(one => one.tabIndex == 0)",
        "window.innerWidth",
    ]
    assert opened(PHONE, ask=ask).answers == [True, True, PHONE]


def test_the_smallest_letters_of_a_chart_can_be_read_on_a_phone(opened):
    tick = "document.querySelector('.chart .below').getBoundingClientRect().height"
    assert opened(PHONE, ask=[tick]).answers[0] >= 10
