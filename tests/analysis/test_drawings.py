"""The drawings of the networks: well-formed, nothing cut off or covered, and true."""

from pathlib import Path

import pytest
import torch
from defusedxml import ElementTree

from scratchdet.analysis.drawings import DRAWINGS, shapes_in
from scratchdet.analysis.svg import SIZE, Box, Canvas
from scratchdet.models.zoo import create_model

DOCS = Path(__file__).resolve().parents[2] / "docs"
SVG = "{http://www.w3.org/2000/svg}"
WIDEST = 0.62 * SIZE  # pixels a letter, on average, of wide fonts


@pytest.fixture(scope="module")
def drawn():
    return {name: draw() for name, draw in DRAWINGS.items()}


def texts(svg):
    """(left, middle, right, text) of every line of text in a wide font."""
    lines = []
    for element in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        x, width = float(element.get("x")), len(element.text) * WIDEST
        left = {"start": x, "middle": x - width / 2, "end": x - width}[element.get("text-anchor")]
        lines.append((left, float(element.get("y")) - 0.35 * SIZE, left + width, element.text))
    return lines


@pytest.mark.parametrize("name", DRAWINGS)
def test_the_drawing_in_the_docs_is_what_would_be_drawn_now(drawn, name):
    file = DOCS / "models" / f"{name}.svg"
    again = "draw it again: python -m scratchdet.analysis.models_page"
    assert file.read_text(encoding="utf-8") == drawn[name], again


@pytest.mark.parametrize("name", DRAWINGS)
def test_nothing_is_cut_off(drawn, name):
    root = ElementTree.fromstring(drawn[name])
    _, _, width, height = map(float, root.get("viewBox").split())
    for left, y, right, text in texts(drawn[name]):
        assert left >= 0, text
        assert right <= width, text
        assert SIZE / 2 <= y <= height - SIZE / 2, text
    for box in root.iter(f"{SVG}rect"):
        x, y, w, h = (float(box.get(key, 0)) for key in ("x", "y", "width", "height"))
        assert x >= 0
        assert y >= 0
        assert x + w <= width
        assert y + h <= height


@pytest.mark.parametrize("name", DRAWINGS)
def test_no_text_covers_another(drawn, name):
    lines = texts(drawn[name])
    for number, (left, y, right, text) in enumerate(lines):
        for other_left, other_y, other_right, other in lines[:number]:
            apart = right <= other_left or other_right <= left or abs(y - other_y) >= SIZE
            assert apart, (text, other)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "root_resnet",
            ["300 × 300", "38 × 38", "1 × 1", "6 blocks", "512 channels", "8,732 priors, each"],
        ),
        ("dsod", ["2 × 2", "1568 channels", "5,776 priors", "16 priors", "8,744 priors, each"]),
        ("grp_dsod", ["320 × 320", "1056 channels", "342 channels", "17,078 priors, each"]),
    ],
)
def test_the_drawing_says_what_is_known_of_the_network(drawn, name, said):
    lines = [text for _, _, _, text in texts(drawn[name])]
    for what in said:
        assert any(line.startswith(what) for line in lines), what


def test_shapes_are_those_of_the_maps():
    with torch.device("meta"):
        detector = create_model("scratchdet300_r18", input_size=(96, 160))
    shapes = shapes_in(detector)
    assert shapes["backbone.root"] == (64, 96, 160)
    assert shapes["backbone.stages.3"] == (512, 6, 10)
    assert shapes["head.classes.0"] == (4 * 21, 12, 20)
    assert not any(module._forward_hooks for module in detector.modules())


def test_text_is_escaped_and_stands_in_the_middle_of_its_box():
    canvas = Canvas(100, 50, title="a < b")
    canvas.box(Box(50, 25, 40, 20), "head", ["a < b & c"])
    ((left, y, right, text),) = texts(str(canvas))
    assert text == "a < b & c"
    assert ((left + right) / 2, y) == pytest.approx((50, 25))
    assert ElementTree.fromstring(str(canvas)).find(f"{SVG}title").text == "a < b"


def test_the_sides_of_a_box_are_where_arrows_meet_it():
    box = Box(50, 25, 40, 20)
    assert (box.left, box.right, box.top, box.bottom) == ((30, 25), (70, 25), (50, 15), (50, 35))
