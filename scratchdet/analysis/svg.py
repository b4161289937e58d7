"""Boxes, arrows and text as SVG: what a drawing of a network needs, and nothing else."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

INK, FAINT = "#1f2328", "#8b949e"
FILLS = {  # fill and border
    "image": ("#ffffff", "#57606a"),
    "stem": ("#ffe2c6", "#c4752b"),
    "backbone": ("#d8e8f8", "#3d78b3"),
    "neck": ("#dcf1dc", "#4a934a"),
    "pooled": ("#f1e1f4", "#8c569a"),
    "gate": ("#fff3c4", "#a98a17"),
    "head": ("#e9ebee", "#57606a"),
}
FONT = "Helvetica, Arial, 'DejaVu Sans', sans-serif"
SIZE = 12.0  # of the font, in pixels
LINE = 15.0  # from one line to the next


class Box(NamedTuple):
    """A rectangle on the canvas; x and y of its middle."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> tuple[float, float]:
        return self.x - self.width / 2, self.y

    @property
    def right(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y

    @property
    def top(self) -> tuple[float, float]:
        return self.x, self.y - self.height / 2

    @property
    def bottom(self) -> tuple[float, float]:
        return self.x, self.y + self.height / 2


class Canvas:
    """A white page; `str(canvas)` is the whole SVG."""

    def __init__(self, width: float, height: float, *, title: str) -> None:
        self.elements: list[str] = []
        self.head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
            f'width="{width:g}" height="{height:g}" font-family="{FONT}" font-size="{SIZE:g}" '
            f'fill="{INK}">\n<title>{escape(title)}</title>\n'
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            f'markerHeight="7" orient="auto"><path d="M0,0.8 L7.5,4 L0,7.2 z" fill="{INK}"/>'
            "</marker></defs>\n"
            f'<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>\n'
        )

    def __str__(self) -> str:
        return self.head + "\n".join(self.elements) + "\n</svg>\n"

    def box(self, box: Box, kind: str, lines: Sequence[str]) -> Box:
        """Draws the box with its lines, the first of several bold, and returns it."""
        fill, border = FILLS[kind]
        left, top = box.x - box.width / 2, box.y - box.height / 2
        self.elements.append(
            f'<rect x="{left:g}" y="{top:g}" width="{box.width:g}" height="{box.height:g}" '
            f'rx="5" fill="{fill}" stroke="{border}" stroke-width="1.3"/>'
        )
        first = box.y - (len(lines) - 1) * LINE / 2
        for number, line in enumerate(lines):
            self.text(box.x, first + number * LINE, line, bold=number == 0 < len(lines) - 1)
        return box

    def text(
        self,
        x: float,
        y: float,
        line: str,
        *,
        bold: bool = False,
        colour: str = INK,
        anchor: str = "middle",
    ) -> None:
        """Writes a line; y of its middle, x of its middle or, by `anchor`, of its start or end."""
        weight = ' font-weight="bold"' if bold else ""
        self.elements.append(
            f'<text x="{x:g}" y="{y + SIZE * 0.35:g}" text-anchor="{anchor}"{weight} '
            f'fill="{colour}">{escape(line)}</text>'
        )

    def arrow(self, *points: tuple[float, float]) -> None:
        """An arrow from the first point over the others to the last."""
        path = " L".join(f"{x:g},{y:g}" for x, y in points)
        self.elements.append(
            f'<path d="M{path}" fill="none" stroke="{INK}" stroke-width="1.3" '
            'stroke-linejoin="round" marker-end="url(#tip)"/>'
        )

    def frame(self, box: Box) -> None:
        """A dark frame around the box: what is in it is one from here on."""
        left, top = box.x - box.width / 2, box.y - box.height / 2
        self.elements.append(
            f'<rect x="{left:g}" y="{top:g}" width="{box.width:g}" height="{box.height:g}" '
            f'rx="5" fill="none" stroke="{INK}" stroke-width="2"/>'
        )
