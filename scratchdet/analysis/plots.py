"""Pictures: detections drawn on images, a sheet of them, and the curves of a training run.

Pictures that come out are new RGB uint8 arrays. Coordinates are pixels of the image drawn on.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from scratchdet.analysis.picture import as_picture
from scratchdet.files import replacing
from scratchdet.structures import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Colour = tuple[int, int, int]

# Okabe and Ito (2008): told apart by colour-blind readers too. Their black is left to the text.
PALETTE = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
DARK, WHITE = (24, 24, 24), (255, 255, 255)
FONT = cv2.FONT_HERSHEY_SIMPLEX
FONT_HEIGHT = 22  # pixels of a capital at scale 1
LEAST_LETTERS = 9.0  # pixels; smaller ones cannot be read
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
SMOOTHING = 40  # a smoothed point averages a twentieth of the curve: 1/40 to either side
GAP = 8  # pixels of paper around the pictures of a sheet


class Found(Protocol):
    """What is drawn of a result: `Detections`, or anything with these three (NumPy or CPU)."""

    @property
    def boxes(self) -> Any: ...
    @property
    def scores(self) -> Any: ...
    @property
    def labels(self) -> Any: ...


def draw_detections(
    image: np.ndarray,
    boxes: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    *,
    classes: Sequence[str],
) -> np.ndarray:
    """RGB copy of `image` (H, W[, C]) with boxes (K, 4) and tags `class 0.97`, best on top.

    An image that is not RGB is shown `as_picture`. Line width and letters follow the image size;
    tags are moved to stay inside.
    """
    order = np.argsort(np.asarray(scores), kind="stable")
    boxes, scores, labels = (np.asarray(column)[order] for column in (boxes, scores, labels))
    colours = [PALETTE[int(label) % len(PALETTE)] for label in labels]
    tags = [
        f"{classes[int(label)]} {score:.2f}" for label, score in zip(labels, scores, strict=True)
    ]
    # All boxes before the first tag: no line runs through a text.
    return _with_tags(_with_boxes(as_picture(image), boxes, colours), boxes, tags, colours)


def contact_sheet(
    images: Sequence[np.ndarray],
    detections: Sequence[Found],
    *,
    classes: Sequence[str],
    columns: int = 4,
    min_score: float = 0.3,
    truth: Sequence[np.ndarray] | None = None,
    cell: int = 320,
) -> np.ndarray:
    """A grid of the images, each enlarged or reduced to `cell` pixels, with what was found on it.

    `truth` boxes, where given, are drawn in white below the detections. Zero images: one cell of
    paper.
    """
    columns = max(1, min(columns, len(images)))
    rows = max(1, -(-len(images) // columns))
    pitch = cell + GAP
    sheet = np.full((rows * pitch + GAP, columns * pitch + GAP, 3), WHITE, np.uint8)
    known = [np.zeros((0, 4))] * len(images) if truth is None else truth
    for index, (image, found, real) in enumerate(zip(images, detections, known, strict=True)):
        picture, scale = fitted(image, cell)
        picture = _with_boxes(picture, np.asarray(real) * scale, [WHITE] * len(real))
        scores = np.asarray(found.scores)
        shown = scores >= min_score
        picture = draw_detections(
            picture,
            np.asarray(found.boxes)[shown] * scale,
            scores[shown],
            np.asarray(found.labels)[shown],
            classes=classes,
        )
        height, width = picture.shape[:2]
        top = GAP + index // columns * pitch + (cell - height) // 2
        left = GAP + index % columns * pitch + (cell - width) // 2
        sheet[top : top + height, left : left + width] = picture
    return sheet


def fitted(image: np.ndarray, cell: int) -> tuple[np.ndarray, np.ndarray]:
    """RGB copy scaled to `cell` pixels on its longer side, and the factors (4,) for its boxes."""
    picture = as_picture(image)
    height, width = picture.shape[:2]
    ratio = cell / max(height, width)
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    interpolation = cv2.INTER_AREA if ratio < 1 else cv2.INTER_CUBIC
    factors = np.array([size[0] / width, size[1] / height] * 2)
    return cv2.resize(picture, size, interpolation=interpolation), factors


def _with_boxes(picture: np.ndarray, boxes: np.ndarray, colours: Sequence[Colour]) -> np.ndarray:
    """Copy of `picture` with the outlines, dark-edged to be seen on any ground.

    They run around the boxes, not over them: the lines of a small box would hide what is inside.
    """
    height, width = picture.shape[:2]
    drawn = picture.copy()
    thickness = max(1, round(min(height, width) / 200))
    for box, colour in zip(boxes, colours, strict=True):
        left, top, right, bottom = (
            np.clip(np.rint(box), 0, [width, height] * 2).astype(int).tolist()
        )
        for distance in range(thickness + 1, 0, -1):  # inwards, so that colour wins at the border
            first = (max(left - distance, 0), max(top - distance, 0))
            last = (min(right - 1 + distance, width - 1), min(bottom - 1 + distance, height - 1))
            cv2.rectangle(drawn, first, last, DARK if distance > thickness else colour)
    return drawn


def tag_place(
    box: np.ndarray, size: tuple[int, int], picture_size: tuple[int, int]
) -> tuple[int, int]:
    """(left, top) of a tag of `size` (width, height): above the box, else below, else inside.

    All of the tag lies in the picture (width, height) if it is not larger than that.
    """
    left, top, _, bottom = (round(float(value)) for value in box)
    places = (top - size[1], bottom, top)
    room = picture_size[1] - size[1]
    fitting = next((place for place in places if 0 <= place <= room), top)
    return max(0, min(left, picture_size[0] - size[0])), max(0, min(fitting, room))


def _with_tags(
    picture: np.ndarray, boxes: np.ndarray, tags: Sequence[str], colours: Sequence[Colour]
) -> np.ndarray:
    """Copy of `picture` with each tag on a patch of its colour next to its box."""
    height, width = picture.shape[:2]
    drawn = picture.copy()
    for box, tag, colour in zip(boxes, tags, colours, strict=True):
        (full_width, _), _ = cv2.getTextSize(tag, FONT, 1.0, 1)
        letters = max(LEAST_LETTERS, min(height, width) / 50)
        scale = min(letters / FONT_HEIGHT, max(1.0, width - 4.0) / max(1, full_width))
        thickness = max(1, round(1.6 * scale))
        (text_width, text_height), below = cv2.getTextSize(tag, FONT, scale, thickness)
        pad = max(2, text_height // 4)
        size = (text_width + 2 * pad, text_height + pad + max(pad, below))
        left, top = tag_place(box, size, (width, height))
        corner = (left + size[0] - 1, top + size[1] - 1)
        cv2.rectangle(drawn, (left, top), corner, colour, cv2.FILLED)
        ink = DARK if np.dot(colour, LUMA) > 110 else WHITE  # about equal contrast at 110 of 255
        origin = (left + pad, top + pad + text_height)
        cv2.putText(drawn, tag, origin, FONT, scale, ink, thickness, cv2.LINE_AA)
    return drawn


def save_image(image_rgb: np.ndarray, path: Path) -> None:
    """Writes the picture to `path`, in the format its suffix names, whole or not at all."""
    pixels = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR)
    try:
        done, encoded = cv2.imencode(path.suffix, pixels)
    except cv2.error as error:
        raise DataError(f"{path}: no picture format by that suffix; use .png or .jpg") from error
    if not done:
        raise DataError(f"{path}: OpenCV cannot write shape {image_rgb.shape} in that format")
    with replacing(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def plot_training(log: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Writes a PNG with the losses, learning rate, gradient norm and AP50 over steps.

    `log`: the records of log.jsonl. Those with `evaluation` give AP50, those with `loss` the rest.
    """
    from matplotlib.figure import Figure

    losses = [record for record in log if "loss" in record]
    tests = [record for record in log if "evaluation" in record]
    figure = Figure(figsize=(10, 6), dpi=110, layout="constrained")
    loss, precision, rate, gradient = figure.subplots(2, 2, sharex=True).flat
    for key, colour in (
        ("loss", DARK),
        ("classification", PALETTE[5]),
        ("localisation", PALETTE[4]),
    ):
        _curve(loss, losses, key, colour)
    _curve(rate, losses, "lr", PALETTE[2], window=1)
    _curve(gradient, losses, "gradient_norm", PALETTE[6])
    curve = [record["evaluation"]["ap50"] for record in tests]
    precision.plot([record["step"] for record in tests], curve, "o-", color=_unit(PALETTE[5]), ms=4)
    protocols = {str(record["evaluation"].get("protocol", "")) for record in tests}
    _dress(loss, "loss", log_scale=True)
    _dress(precision, " ".join(["AP50", *sorted(protocols)]))
    _dress(rate, "learning rate")
    _dress(gradient, "gradient norm", log_scale=True)
    precision.set_ylim(0, 1)
    rate.set_ylim(bottom=0)
    if losses:
        loss.legend(frameon=False, ncols=3, fontsize="small")
    for axes in (rate, gradient):
        axes.set_xlabel("step")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def _curve(
    axes: "Axes",
    records: Sequence[Mapping[str, Any]],
    key: str,
    colour: Colour,
    *,
    window: int | None = None,
) -> None:
    """Draws the logged values on `axes` as points, and their running mean as a line."""
    steps = np.array([record["step"] for record in records], float)
    values = np.array([record.get(key, np.nan) for record in records], float)
    if window is None:
        window = 1 + 2 * (len(values) // SMOOTHING)
    if window > 1:
        axes.plot(steps, values, ".", color=_unit(colour), ms=2, alpha=0.25)
    axes.plot(steps, running_mean(values, window), color=_unit(colour), lw=1.6, label=key)


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Centred mean over `window` (odd) neighbours, fewer at the ends, of what is finite."""
    finite = np.isfinite(values)
    if not finite.any():
        return np.full(len(values), np.nan)
    reach = window // 2
    sums = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    first = np.clip(np.arange(len(values)) - reach, 0, None)
    last = np.clip(np.arange(len(values)) + reach + 1, None, len(values))
    number = counts[last] - counts[first]
    return np.where(number > 0, (sums[last] - sums[first]) / np.maximum(number, 1), np.nan)


def _dress(axes: "Axes", title: str, *, log_scale: bool = False) -> None:
    """Gives `axes` its title, a light grid and no frame that it does not need."""
    axes.set_title(title, loc="left", fontsize="medium")
    if log_scale and np.isfinite(axes.dataLim.minposy):  # infinite without a positive value
        axes.set_yscale("log")
    axes.grid(alpha=0.25, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _unit(colour: Colour) -> tuple[float, ...]:
    """The colour as matplotlib wants it, 0 to 1."""
    return tuple(value / 255 for value in colour)
