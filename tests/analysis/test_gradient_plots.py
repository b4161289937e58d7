"""The figures of the gradient analysis: ranges and lines where the records say, for any runs."""

import json
import math
import subprocess
import sys

import cv2
import numpy as np
import pytest

from scratchdet.analysis.gradient_plots import (
    blocks_in,
    draw_gradient_norms,
    draw_gradients,
    draw_landscape,
    draw_predictiveness,
    draw_smoothness,
    read_gradients,
    write_gradients,
)

ALONE = [draw_landscape, draw_predictiveness, draw_smoothness, draw_gradient_norms]


def record(step, *, scale=1.0, blocks=("root", "head")) -> dict:
    return {
        "step": step,
        "step_sizes": [0.1, 0.2],
        "loss": 2.0 * scale,
        "losses": [1.0 * scale, 3.0 * scale],
        "gradient_norm": 5.0 * scale,
        "distances": [0.5 * scale, 0.7 * scale],
        "smoothness": 4.0 * scale,
        "blocks": {name: [3.0 * scale, 1.0 * scale, 8.0 * scale] for name in blocks},
    }


RUNS = {
    "with": [record(step) for step in (10, 20, 30)],
    "without": [record(step, scale=9.0) for step in (10, 20)],
}
OVERFLOWN = record(40) | {"loss": None, "losses": [0.5, None], "distances": [None] * 2}


def shaded(axes) -> list[tuple[float, float]]:
    """From where to where each shaded area reaches."""
    paths = [area.get_paths()[0].vertices[:, 1] for area in axes.collections]
    return [(path.min(), path.max()) for path in paths]


@pytest.mark.parametrize("draw", [*ALONE, draw_gradients])
@pytest.mark.parametrize(
    "runs", [{}, {"none": []}, {"one": [record(1)]}, RUNS], ids=["no", "empty", "one", "two"]
)
def test_any_number_of_runs_and_records_can_be_drawn(draw, runs):
    figure = draw(runs)
    assert figure.axes
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes)]
    shown = {text.get_text() for legend in legends if legend for text in legend.get_texts()}
    assert shown == set(runs)


def test_the_ranges_are_those_along_the_gradient():
    (axes,) = draw_landscape(RUNS).axes
    assert shaded(axes) == [(1, 3), (9, 27)]
    assert [line.get_ydata().tolist() for line in axes.lines] == [[2] * 3, [18] * 2]
    (axes,) = draw_predictiveness(RUNS).axes
    assert np.allclose(shaded(axes), [(0.5, 0.7), (4.5, 6.3)])
    (axes,) = draw_smoothness(RUNS).axes
    assert [line.get_xdata().tolist() for line in axes.lines] == [[10, 20, 30], [10, 20]]
    assert [line.get_ydata()[0] for line in axes.lines] == [4, 36]
    assert axes.lines[0].get_color() != axes.lines[1].get_color()


@pytest.mark.parametrize(("factor", "scale"), [(1.1, "linear"), (100, "log")])
def test_within_a_decade_the_axis_has_plain_numbers(factor, scale):
    records = [record(10), record(20, scale=factor)]
    axes = draw_smoothness({"a": records}).axes[0]
    assert axes.get_yscale() == scale


def test_norms_are_those_of_a_block_or_of_all():
    (axes,) = draw_gradient_norms(RUNS, block="root").axes
    assert shaded(axes)[0] == (1, 8)
    assert axes.lines[0].get_ydata()[0] == 3
    (axes,) = draw_gradient_norms(RUNS).axes
    assert axes.lines[0].get_ydata()[0] == pytest.approx(math.hypot(3, 3))
    assert shaded(axes)[0] == pytest.approx((math.sqrt(2), math.sqrt(128)))


def test_what_overflowed_is_left_out_of_its_range():
    for draw in (*ALONE, draw_gradients):
        draw({"run": [record(10), OVERFLOWN]})
    (axes,) = draw_landscape({"run": [record(10), OVERFLOWN, OVERFLOWN]}).axes
    assert shaded(axes) == [(0.5, 3)]
    assert np.isnan(axes.lines[0].get_ydata()).tolist() == [False, True, True]


def test_runs_of_other_networks_have_panels_of_their_own_blocks():
    runs = {"one": [record(10)], "other": [record(10, blocks=("stem", "head"))]}
    assert blocks_in(runs) == ["root", "head", "stem"]
    panels = [axes for axes in draw_gradients(runs).axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels[4:]] == ["root", "head", "stem"]


def test_records_are_read_but_for_a_line_that_was_cut_off(tmp_path):
    assert read_gradients(tmp_path) == []
    lines = "".join(json.dumps(record(step)) + "\n" for step in (1, 2))
    (tmp_path / "gradients.jsonl").write_text(lines + '{"step": 3, "lo')
    assert read_gradients(tmp_path) == [record(1), record(2)]


def test_the_picture_has_something_on_it(tmp_path):
    write_gradients(RUNS, tmp_path / "gradients.png")
    picture = cv2.imread(str(tmp_path / "gradients.png"))
    assert min(picture.shape[:2]) > 300
    assert picture.std() > 5


def test_no_window_system_and_no_torch_is_asked_for():
    code = (
        "import sys, scratchdet.analysis.gradient_plots; "
        "assert not {'matplotlib.pyplot', 'torch'} & {*sys.modules}"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
