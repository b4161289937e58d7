"""The picture of range tests shows what was measured, also where it is no number."""

import io
import math

import pytest

from scratchdet.analysis.range_plot import RateCurve, draw_range_test

STABLE = RateCurve("BatchNorm", [0.1, 1.0, 10.0], [4.0, 2.0, 9.0], [4.0, 2.0, 9.0], 5.0, 1.0)
BROKEN = RateCurve("no norm", [0.1, 1.0], [4.0, math.inf], [4.0, math.inf], 5.0, 0.1)
EMPTY = RateCurve("nothing", [], [], [], math.nan, None)


@pytest.mark.parametrize("curves", [[], [EMPTY], [STABLE], [STABLE, BROKEN]])
def test_it_can_be_drawn(curves):
    written = io.BytesIO()
    draw_range_test(curves, lr=0.15).savefig(written, format="png")
    assert written.getvalue().startswith(b"\x89PNG")


def test_largest_stable_rates_and_the_recipes_are_marked():
    axes = draw_range_test([STABLE, BROKEN], lr=0.15).axes[0]
    upright = [line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1]
    assert upright == [1.0, 0.1, 0.15]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["BatchNorm", "no norm", "the recipe's 0.15"]


def test_what_diverged_leaves_the_picture():
    assert draw_range_test([STABLE], lr=0.1).axes[0].get_ylim()[1] == pytest.approx(8.0)
