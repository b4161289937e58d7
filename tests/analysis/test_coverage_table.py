"""What is said of coverage: a line before a training, a table of the check, a picture."""

import io
from dataclasses import replace

import cv2
import numpy as np
import pytest
from rich.console import Console

from scratchdet.analysis.coverage import Covered, coverage, percent
from scratchdet.analysis.coverage_plot import POINTS, draw_coverage, panel_of, save_coverage
from scratchdet.analysis.coverage_table import show_coverage, summary
from scratchdet.analysis.prior_overlaps import Level
from scratchdet.structures import Record, from_records

SIZE = (100, 100)
LEVELS = (Level(1, 1, 100.0, 100.0, ((20.0, 20.0),)), Level(1, 1, 100.0, 100.0, ((90.0, 90.0),)))
SAME, OTHER = [40, 40, 60, 60], [0, 0, 5, 5]


def data_of(*boxes, classes=("a",)):
    array = np.array(boxes, np.float32).reshape(-1, 4)
    labels = np.arange(len(boxes)) % len(classes)
    ignore = np.zeros(len(boxes), bool)
    return from_records([Record("0", "x", (100, 100), array, labels, ignore)], classes)


def found(*boxes, **choices):
    return coverage(data_of(*boxes, **choices), LEVELS, input_size=SIZE)


def shown(*arguments, **choices):
    console = Console(file=io.StringIO(), width=100)
    show_coverage(console, *arguments, **choices)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("share", "said"),
    [(1.0, "100.0 %"), (0.9999, "99.9 %"), (0.29, "29.0 %"), (0.0, "0.0 %"), (float("nan"), "")],
)
def test_percents_are_cut_so_that_100_are_all(share, said):
    assert percent(share) == said


def test_a_line_says_how_many_can_be_matched():
    assert summary(found(SAME)) == "priors: 100.0 % of the objects can be matched at 0.5"
    assert summary(found()) == "priors: there is no object to match"


def test_the_line_is_a_note_where_many_or_a_class_cannot_be_matched():
    few = found(*[SAME] * 8, *[OTHER] * 2)
    assert summary(few).startswith("NOTE: priors: 80.0 % of the objects can be matched at 0.5 (scr")
    rare = replace(
        few, all=Covered(100, 97), per_class={"a": Covered(97, 97), "rare one": Covered(3, 0)}
    )
    assert (
        "97.0 % of the objects can be matched at 0.5, of some classes fewer: rare one 0.0 % ("
        in (summary(rare))
    )
    many = replace(few, per_class={str(name): Covered(2, 0) for name in range(9)})
    assert "class 3 0.0 %, class 4 0.0 % and 4 more (" in summary(many)


def test_the_table_has_a_row_for_every_class_and_size_that_has_objects():
    text = shown({"training": found(SAME, OTHER, classes=("[b]round", "flat", "none"))})
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for row in ("all objects 2 50.0 %", "[b]round 1 100.0 %", "flat 1 0.0 %", "< 8 px 1 0.0 %"):
        assert row in lines
    assert "16-32 px 1 100.0 %" in lines
    assert "none" not in text
    assert "8-16 px" not in text.replace("16-32", "")
    assert "The other 1 learn from their best prior alone, with an IoU of 0.00 (median)" in text
    assert "Objects matched on each map: 1 x 1: 1, 1 x 1: 0" in text


def test_other_priors_stand_beside_those_there_are():
    before, after = found(OTHER), found(SAME)
    text = shown({"training": before, "validation": before}, after={"training": after})
    assert "all objects 1 0.0 % 100.0 % 1 0.0 %" in " ".join(text.split())


def test_of_very_many_classes_those_that_are_matched_least_are_shown():
    many = replace(found(SAME), per_class={f"k{n}": Covered(100, n) for n in range(90)})
    text = shown({"training": many})
    assert "k29 " in text
    assert "k30 " not in text


def test_where_there_is_no_object_it_is_said_so():
    text = shown({"training": found(), "validation": found()})
    assert text.splitlines()[1:] == ["There is no object to match."]
    assert "all objects 0 1 100.0 %" in " ".join(
        shown({"training": found(), "validation": found(SAME)}).split()
    )


@pytest.mark.parametrize("boxes", [[], [SAME], [SAME, OTHER]])
def test_boxes_are_drawn_over_the_priors(tmp_path, boxes):
    panel = panel_of("shipped", data_of(*boxes), LEVELS, input_size=SIZE)
    assert panel.matched.tolist() == [True, False][: len(boxes)]
    figure = draw_coverage([panel, panel._replace(title="fitted")])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["shipped", "fitted"]
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == [f"matched: {min(1, len(boxes))}", f"not matched: {max(0, len(boxes) - 1)}"]
    numbers = [text.get_text() for text in figure.axes[0].texts]
    assert numbers == ["1", "2"]
    save_coverage(figure, tmp_path / "priors.png")
    assert cv2.imread(str(tmp_path / "priors.png")) is not None
    assert [path.name for path in tmp_path.iterdir()] == ["priors.png"]


def test_of_very_many_boxes_some_are_drawn():
    panel = panel_of("", data_of(*[SAME] * (2 * POINTS + 1)), LEVELS, input_size=SIZE)
    assert POINTS / 2 < len(panel.sides) <= POINTS
