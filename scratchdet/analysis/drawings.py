"""The structures of Root-ResNet, DSOD and GRP-DSOD as SVG, drawn from the networks themselves.

A column for every size of map, fine to coarse; channels, numbers of layers and of priors are read
off the network that `create_model` builds.
"""

import copy
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import log2
from typing import NamedTuple

import torch
from torch import Tensor, nn

from scratchdet.analysis.svg import FAINT, Box, Canvas
from scratchdet.models.detector import Detector, Shape
from scratchdet.models.zoo import create_model

COLUMN, WIDTH = 124.0, 106.0  # from one column to the next, and of a box in it
MARGIN = 14.0
TALL, HALF = 80.0, 44.0  # of a box of the backbone, and of half a map
FIRST_ROW, PREDICTION, PYRAMID = 78.0, 292.0, 430.0


class Level(NamedTuple):
    """A map as it is drawn: one box, or two that are concatenated, and the frame of both."""

    upper: Box
    lower: Box
    frame: Box
    shape: Shape


def shapes_in(detector: Detector) -> dict[str, Shape]:
    """(channels, height, width) of the last map that each module makes, by the module's name.

    Of a module that makes several, its first.
    """
    probe = copy.deepcopy(detector).to("meta").eval()
    shapes: dict[str, Shape] = {}

    def remember(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            first = output[0] if isinstance(output, tuple | list) else output
            if isinstance(first, Tensor) and first.ndim == 4:
                shapes[name] = (first.shape[1], first.shape[2], first.shape[3])

        return hook

    for name, module in probe.named_modules():
        module.register_forward_hook(remember(name))
    probe(torch.empty(1, detector.in_channels, *detector.input_size, device="meta"))
    return shapes


class Sheet:
    """A canvas with a column for each size of map, which it takes from the network."""

    def __init__(self, detector: Detector, height: float, *, title: str) -> None:
        self.detector, self.shapes = detector, shapes_in(detector)
        sides = {side for _, side, _ in self.shapes.values()} | {detector.input_size[0]}
        self.sides = sorted(sides, reverse=True)
        self.canvas = Canvas(2 * MARGIN + COLUMN * len(self.sides), height, title=title)
        for side in self.sides:
            self.canvas.text(self.x(side), 16, f"{side} × {side}", colour=FAINT)

    def x(self, side: int) -> float:
        return MARGIN + COLUMN * (self.sides.index(side) + 0.5)

    def count(self, module: str) -> int:
        """How many modules there are in a list of them."""
        return len(list(self.detector.get_submodule(module).children()))

    def image(self, y: float) -> Box:
        box = Box(self.x(self.sides[0]), y, WIDTH, 38)
        return self.canvas.box(box, "image", ["image", f"{self.detector.in_channels} channels"])

    def map(self, shape: Shape, y: float, kind: str, lines: Sequence[str], height: float) -> Box:
        """A box in the column of the map's size, its channels below `lines`."""
        box = Box(self.x(shape[1]), y, WIDTH, height)
        return self.canvas.box(box, kind, [*lines, f"{shape[0]} channels"])

    def whole(self, shape: Shape, y: float, what: str) -> Level:
        box = self.map(shape, y, "neck", [what], 2 * HALF)
        return Level(box, box, box, shape)

    def halves(self, upper: tuple[Shape, str], lower: tuple[Shape, str], y: float) -> Level:
        """Two maps, each with what is said of it, concatenated."""
        first = self.map(upper[0], y - HALF / 2, "neck", [upper[1]], HALF)
        second = self.map(lower[0], y + HALF / 2, "pooled", [lower[1]], HALF)
        frame = Box(first.x, y, WIDTH, 2 * HALF)
        self.canvas.frame(frame)
        channels, height, width = upper[0]
        return Level(first, second, frame, (channels + lower[0][0], height, width))

    def heads(self, sources: Sequence[Box], y: float, what: str) -> None:
        """The head below each of the boxes that feed it, and the sum of the priors."""
        columns, specs = self.detector.head.columns, self.detector.specs
        for level, (source, spec) in enumerate(zip(sources, specs, strict=True)):
            _, height, width = self.shapes[f"head.classes.{level}"]
            outputs = f"{len(spec)} × ({columns} + 4)"
            lines = ["head", what, outputs, f"{len(spec) * height * width:,} priors"]
            box = self.canvas.box(Box(source.x, y, WIDTH, 72), "head", lines)
            self.canvas.arrow(source.bottom, box.top)
        total = f"{len(self.detector.priors):,} priors"
        text = f"{total}, each with {columns} logits and 4 offsets"
        self.canvas.text((sources[0].x + sources[-1].x) / 2, y + 54, text, bold=True)

    def inset(self, y: float, title: str, parts: Sequence[str], joins: Sequence[str]) -> None:
        """A small diagram below the first columns: parts in a row, then joins with the input."""
        canvas, left, start = self.canvas, MARGIN + 28.0, MARGIN + 4.0
        canvas.text(start, y - 36, title, bold=True, anchor="start")
        before = (start, y)
        for part in (*parts, *joins):
            width = 16 + 6.4 * len(part)
            kind = "image" if part in joins else "backbone"
            box = canvas.box(Box(left + width / 2, y, width, 28), kind, [part])
            canvas.arrow(before, box.left)
            before, left = box.right, left + width + 16
            if part in joins:
                below = y + 36
                canvas.arrow((start + 9, y), (start + 9, below), (box.x, below), box.bottom)
        canvas.arrow(before, (before[0] + 20, y))


def root_resnet() -> str:
    """ScratchDet300 on Root-ResNet-34, as the paper draws it."""
    sheet = Sheet(_untrained("scratchdet300_r34"), 400, title="ScratchDet300 on Root-ResNet-34")
    shapes, canvas, y = sheet.shapes, sheet.canvas, 160.0
    shape = shapes["backbone.root"]
    lines = ["root block", f"{sheet.count('backbone.root')} × conv 3×3", "stride 1"]
    chain = [sheet.map(shape, y, "stem", lines, _tall(shape))]
    canvas.arrow(sheet.image(48).bottom, chain[0].top)
    for number in range(sheet.count("backbone.stages")):
        shape = shapes[f"backbone.stages.{number}"]
        blocks = f"{sheet.count(f'backbone.stages.{number}.blocks')} blocks"
        lines = [f"stage {number + 1}", *["max pool /2"][number:], blocks]
        chain.append(sheet.map(shape, y, "backbone", lines, _tall(shape)))
    for number in range(sheet.count("neck.extras")):
        shape = shapes[f"neck.extras.{number}"]
        chain.append(sheet.map(shape, y, "neck", [f"extra {number + 1}", "1 block"], _tall(shape)))
    for before, after in pairwise(chain):
        canvas.arrow(before.right, after.left)
    sheet.heads(chain[3:], 318, "3×3, BN")
    sheet.inset(312, "a block", ["BN, ReLU, 3×3", "BN, ReLU, 3×3"], ["+"])
    return str(canvas)


def dsod() -> str:
    """DSOD300, with its dense prediction layers."""
    sheet = Sheet(_untrained("dsod300"), 490, title="DSOD300")
    boxes = _dense_backbone(sheet)
    first = sheet.whole(sheet.shapes["backbone"], PREDICTION, "as it is")
    sheet.canvas.arrow(boxes["block2"].bottom, first.frame.top)
    levels = _dense_prediction(sheet, first, boxes["block4"])
    sheet.heads([level.frame for level in levels], PREDICTION + 118, "L2, 3×3, BN")
    sheet.inset(300, "a dense layer", ["BN, ReLU, 1×1", "BN, ReLU, 3×3"], ["concat"])
    return str(sheet.canvas)


def grp_dsod() -> str:
    """GRP-DSOD320: DSOD's prediction layers, and on top of them the gated recurrent pyramid."""
    sheet = Sheet(_untrained("grp_dsod320"), 712, title="GRP-DSOD320")
    canvas, shapes, boxes = sheet.canvas, sheet.shapes, _dense_backbone(sheet)
    early = " + ".join(str(shapes[f"backbone.early.{number}"][0]) for number in range(2))
    box = Box(boxes["block1"].x, PREDICTION, WIDTH, 2 * HALF)
    taken = canvas.box(box, "pooled", ["early maps", "pooled, 1×1", f"{early} ch."])
    canvas.arrow(boxes["block1"].bottom, taken.top)
    canvas.arrow(boxes["stem"].bottom, (boxes["stem"].x, PREDICTION), taken.left)
    first = sheet.whole(shapes["backbone"], PREDICTION, "concat")
    canvas.arrow(boxes["block2"].bottom, first.frame.top)
    canvas.arrow(taken.right, first.frame.left)
    joined = _recurrent_pyramid(sheet, _dense_prediction(sheet, first, boxes["block4"]))
    gates = []
    for number, level in enumerate(joined):
        shape = shapes[f"neck.1.gates.{number}"]
        gates.append(sheet.map(shape, PYRAMID + 102, "gate", ["gate"], 46))
        canvas.arrow(level.frame.bottom, gates[-1].top)
    sheet.heads(gates, PYRAMID + 200, "L2, 3×3, BN")
    sheet.inset(PYRAMID + 158, "a gate", ["mean", "linear, ReLU", "linear, σ"], ["×", "+"])
    return str(canvas)


def _dense_backbone(sheet: Sheet) -> dict[str, Box]:
    """Draws the DenseNet; its boxes by the names of the modules."""
    lines = ["stem", f"{sheet.count('backbone.stem')} × conv 3×3", "the first /2"]
    boxes = {"stem": sheet.map(sheet.shapes["backbone.stem"], FIRST_ROW, "stem", lines, TALL)}
    for name, end in (
        ("block1", "transition1"),
        ("block2", "transition2"),
        ("block3", "transition3"),
    ):
        layers = f"{sheet.count(f'backbone.{name}.layers')} dense layers"
        lines = [f"block {name[-1]}", layers, "transition 1×1"]
        shape = sheet.shapes[f"backbone.{end}"]
        boxes[name] = sheet.map(shape, FIRST_ROW, "backbone", lines, TALL)
    for before, after in pairwise([sheet.image(FIRST_ROW), *boxes.values()]):
        sheet.canvas.arrow(before.right, after.left)
    lines = ["block 4", f"{sheet.count('backbone.block4.layers')} dense layers"]
    shape = sheet.shapes["backbone.block4"]
    boxes["block4"] = sheet.map(shape, FIRST_ROW + 96, "backbone", lines, 62)
    sheet.canvas.arrow(boxes["block3"].bottom, boxes["block4"].top)
    return boxes


def _dense_prediction(sheet: Sheet, first: Level, last: Box) -> list[Level]:
    """Draws the maps that are half learned and half pooled; all of them, `first` included."""
    shapes, arrow, levels = sheet.shapes, sheet.canvas.arrow, [first]
    learned, pooled = (shapes["neck.0.transition"], "1×1"), "pool /2, 1×1"
    levels.append(sheet.halves(learned, (shapes["neck.0.pooled"], pooled), PREDICTION))
    arrow(last.bottom, levels[-1].frame.top)
    for number in range(sheet.count("neck.0.steps")):
        path = f"neck.0.steps.{number}"
        learned = (shapes[f"{path}.learned"], "1×1, 3×3 /2")
        levels.append(sheet.halves(learned, (shapes[f"{path}.pooled"], pooled), PREDICTION))
        before, after = levels[-2].frame, levels[-1].upper
        arrow((before.right[0], after.y), after.left)
    for finer, coarser in pairwise(levels):
        arrow((finer.frame.right[0], coarser.lower.y), coarser.lower.left)
    return levels


def _recurrent_pyramid(sheet: Sheet, own: Sequence[Level]) -> list[Level]:
    """Draws every map with the next coarser one, doubled, beside it; the last is alone."""
    arrow, joined, turn = sheet.canvas.arrow, [], PYRAMID - HALF - 18
    for number, (fine, coarse) in enumerate(pairwise(own)):
        doubled = (sheet.shapes[f"neck.1.doublings.{number}"], "coarser, × 2")
        level = sheet.halves((fine.shape, "as it is"), doubled, PYRAMID)
        start, gap = coarse.frame.x - 34, level.frame.x + COLUMN / 2
        corner = (start, coarse.frame.bottom[1])
        arrow(corner, (start, turn), (gap, turn), (gap, level.lower.y), level.lower.right)
        joined.append(level)
    joined.append(sheet.whole(own[-1].shape, PYRAMID, "as it is"))
    for before, after in zip(own, joined, strict=True):
        arrow(before.frame.bottom, after.frame.top)
    return joined


def _untrained(name: str) -> Detector:
    with torch.device("meta"):
        return create_model(name)


def _tall(shape: Shape) -> float:
    """The height of a box: the larger the map, the taller."""
    return 56 + 10 * log2(shape[1])


DRAWINGS: dict[str, Callable[[], str]] = {
    "root_resnet": root_resnet,
    "dsod": dsod,
    "grp_dsod": grp_dsod,
}
