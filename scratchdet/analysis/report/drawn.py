"""An image with boxes over it, as SVG: the boxes stay sharp, and can be switched off and on."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np

from scratchdet.analysis.report.markup import Html, element

QUALITY = 80  # of JPEG
LETTERS = 42  # that fit side by side: the size of the letters follows the drawing's

Kind = Literal["truth", "hit", "missed", "wrong"]
KINDS: tuple[Kind, ...] = get_args(Kind)  # what matters most is drawn last, on top


class Marked(NamedTuple):
    """A box to be drawn."""

    kind: Kind
    box: np.ndarray
    """(4,) xyxy in pixels of the picture."""
    title: str
    """What is said of it on hovering."""
    label: str = ""
    """What is written beside it."""


def drawn(picture: np.ndarray, boxes: Sequence[Marked], *, longest: int, told: str) -> Html:
    """The picture (H, W, 3), reduced to `longest` pixels if it is larger, under its boxes.

    told: what is said of it to who cannot see it.
    """
    height, width = picture.shape[:2]
    ratio = min(1.0, longest / max(height, width))
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if ratio < 1 else picture
    factors = np.array([size[0] / width, size[1] / height] * 2)
    ordered = [one for kind in KINDS for one in boxes if one.kind == kind]
    return element(
        "svg",
        element("image", href=as_jpeg(small), width=size[0], height=size[1]),
        *(_box(one, one.box * factors, size) for one in ordered),
        # All boxes before the first label: no line runs through a text.
        *(_label(one, one.box * factors, size) for one in ordered if one.label),
        viewBox=f"0 0 {size[0]} {size[1]}",
        role="img",
        aria_label=told,
    )


def as_jpeg(picture: np.ndarray) -> str:
    """A data URL."""
    _, encoded = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode('ascii')}"


def cut_out(
    picture: np.ndarray, box: np.ndarray, *, least: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """The box with as much around it again, and where its top left corner is, (2,).

    least: pixels on a side, so that a tiny object is seen where it is.
    """
    height, width = picture.shape[:2]
    left, top, right, bottom = box.astype(np.float64)
    side = max(2 * (right - left), 2 * (bottom - top), least)
    x, y = (left + right - side) / 2, (top + bottom - side) / 2
    # Shifted to lie inside, so that the crop of an object at the border is as large.
    x = max(0.0, min(x, width - side))
    y = max(0.0, min(y, height - side))
    first = (int(x), int(y))
    last = (min(width, int(np.ceil(x + side))), min(height, int(np.ceil(y + side))))
    return picture[first[1] : last[1], first[0] : last[0]], np.array(first, float)


def _box(one: Marked, box: np.ndarray, size: tuple[int, int]) -> Html:
    left, top, right, bottom = np.clip(box, 0, [*size, *size]).tolist()
    place = {
        "x": f"{left:.1f}",
        "y": f"{top:.1f}",
        "width": f"{right - left:.1f}",
        "height": f"{bottom - top:.1f}",
    }
    return element(
        "g",
        element("title", one.title),
        element("rect", **place, class_="edge"),
        element("rect", **place, class_="ink"),
        class_=f"box {one.kind}",
    )


def _label(one: Marked, box: np.ndarray, size: tuple[int, int]) -> Html:
    """Above the box, else inside; not beyond the right border, as far as one can tell."""
    left, top = np.clip(box[:2], 0, size).tolist()
    letters = max(size) / LETTERS
    text = element(
        "text",
        one.label,
        x=f"{min(left, max(0.0, size[0] - len(one.label) * letters * 0.58)):.1f}",
        y=f"{top - letters * 0.3 if top > letters * 1.2 else top + letters * 1.1:.1f}",
        font_size=f"{letters:.1f}",
    )
    return element("g", text, class_=f"box {one.kind}")
