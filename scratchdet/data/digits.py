"""The embedded demo data: real handwriting pasted on real photographs.

Everything comes with scikit-learn: the 1,797 handwritten digits of 8 x 8 pixels of the UCI
"Optical Recognition of Handwritten Digits" test set, and the photographs china.jpg and flower.jpg.

The three splits share neither a digit nor a pixel of background. The UCI order is 14 sheets, each
the same dictation of about 130 digits (0-9 three times, then a fixed sequence), one writer after
another; cutting between sheets keeps the digits of a writer together and every class in balance,
so the test asks for handwriting never seen. The photographs are cut into vertical strips.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from scratchdet.data.voc_write import write_voc
from scratchdet.structures import DataError, Sample

CLASSES = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
STAMP = "digits.txt"
VERSION = 1  # raise when the same parameters would give other pictures

MOST_DIGITS = 6  # per scene
HEIGHTS = (0.1, 0.4)  # of the scene: 16 to 64 pixels of 160
STRETCH = (0.85, 1.2)  # width against height, on top of the writer's own proportions
MOST_OVERLAP = 0.25  # of the smaller of two boxes; ink never touches ink
TRIES = 20  # places tried for one digit before a crowded scene goes without it
CROP = (80, 128)  # side of a background crop, in pixels of the photograph
CONTRAST = 75.0  # grey levels of 255 between a digit and the mean of what lies under its box
OPACITY = (0.8, 1.0)
VISIBLE = 64  # of 255: ink this opaque counts as visible and lies inside the box


class Split(NamedTuple):
    """Which part of the originals a split is composed from."""

    digits: slice
    """Rows in UCI order; the limits are starts of sheets."""
    strip: tuple[float, float]
    """Columns of the photographs, as fractions of their width."""


SPLITS = {  # 10, 1 and 3 sheets
    "train": Split(slice(0, 1287), (0.0, 0.5)),
    "val": Split(slice(1287, 1415), (0.5, 0.7)),
    "test": Split(slice(1415, 1797), (0.7, 1.0)),
}


class Pool(NamedTuple):
    """The handwriting scenes are composed from."""

    strokes: tuple[np.ndarray, ...]
    """Per digit the opacity of its ink, (H, W) uint8, cropped to the ink, about 130 high."""
    labels: np.ndarray
    """(N,) int64."""


def load_split(split: str) -> tuple[Pool, tuple[np.ndarray, ...]]:
    """The digits and the background strips (RGB uint8) of `split`."""
    try:
        from sklearn.datasets import load_digits, load_sample_images
    except ImportError as error:
        raise ImportError(
            "the demo data comes with scikit-learn: pip install scikit-learn"
        ) from error
    rows, (start, stop) = SPLITS[split]
    digits = load_digits()
    strokes = tuple(stroke(image / 16.0) for image in digits.images[rows])
    photographs = load_sample_images().images
    strips = tuple(
        photo[:, int(start * photo.shape[1]) : int(stop * photo.shape[1])] for photo in photographs
    )
    return Pool(strokes, digits.target[rows].astype(np.int64)), strips


def stroke(coverage: np.ndarray) -> np.ndarray:
    """The pen stroke behind 8 x 8 ink coverages in 0..1: opacity (H, W) uint8, cropped to the ink.

    Cubic interpolation, then a step at about half coverage. Sharpening against the neighbourhood
    first keeps the small loops of 6, 8 and 9 open, which the coarse pixels half fill.
    """
    scale = 16  # large enough that every digit in a scene is a reduction, hence anti-aliased
    padded = np.pad(coverage, 1).astype(np.float32)
    smooth = cv2.resize(padded, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    smooth = cv2.GaussianBlur(smooth, (0, 0), 0.2 * scale)
    smooth = smooth + 1.6 * (smooth - cv2.GaussianBlur(smooth, (0, 0), 1.0 * scale))
    return _cropped((np.clip((smooth - 0.36) / 0.2, 0, 1) * 255).astype(np.uint8))


def _cropped(opacity: np.ndarray) -> np.ndarray:
    """The part of `opacity` that holds all its visible ink."""
    rows = np.flatnonzero((opacity >= VISIBLE).any(axis=1))
    columns = np.flatnonzero((opacity >= VISIBLE).any(axis=0))
    return opacity[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def compose_scene(
    pool: Pool, backgrounds: Sequence[np.ndarray], *, size: int, rng: np.random.Generator
) -> Sample:
    """A picture of `size` x `size` with one to six digits of `pool`, boxes tight around the ink."""
    image = _background(backgrounds, size, rng)
    ink = np.zeros((size, size), bool)
    boxes = np.zeros((0, 4), np.float32)
    labels = []
    for _ in range(rng.integers(1, MOST_DIGITS + 1)):
        digit = rng.integers(len(pool.labels))
        opacity = _scaled(pool.strokes[digit], size, rng)
        place = _free_place(opacity, ink, boxes, rng)
        if place is None:
            continue
        left, top = place
        rows = slice(top, top + opacity.shape[0])
        columns = slice(left, left + opacity.shape[1])
        image[rows, columns] = _inked(image[rows, columns], opacity, rng)
        ink[rows, columns] |= opacity > 0
        box = np.array([[left, top, columns.stop, rows.stop]], np.float32)
        boxes = np.concatenate([boxes, box])
        labels.append(pool.labels[digit])
    return Sample(image, boxes, np.array(labels, np.int64), np.zeros(len(labels), bool))


def _background(
    backgrounds: Sequence[np.ndarray], size: int, rng: np.random.Generator
) -> np.ndarray:
    """A random square of a random photograph, mirrored at random, (size, size, 3) uint8."""
    photo = backgrounds[int(rng.integers(len(backgrounds)))]
    side = rng.integers(CROP[0], CROP[1] + 1)
    top = rng.integers(photo.shape[0] - side + 1)
    left = rng.integers(photo.shape[1] - side + 1)
    crop = photo[top : top + side, left : left + side]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    return cv2.resize(np.ascontiguousarray(crop), (size, size), interpolation=cv2.INTER_CUBIC)


def _scaled(stroke: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """`stroke` reduced to a random height and stretch; small ones are as likely as large ones."""
    height = size * np.exp(rng.uniform(*np.log(HEIGHTS)))
    width = height * stroke.shape[1] / stroke.shape[0] * np.exp(rng.uniform(*np.log(STRETCH)))
    target = (max(2, round(width)), max(2, round(height)))
    return _cropped(cv2.resize(stroke, target, interpolation=cv2.INTER_AREA))


def _free_place(
    opacity: np.ndarray, ink: np.ndarray, boxes: np.ndarray, rng: np.random.Generator
) -> tuple[int, int] | None:
    """(left, top) where the digit covers no other's ink and hardly its box; None if not found."""
    height, width = opacity.shape
    for _ in range(TRIES):
        left = int(rng.integers(ink.shape[1] - width + 1))
        top = int(rng.integers(ink.shape[0] - height + 1))
        box = np.array([left, top, left + width, top + height], np.float32)
        common = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
        common_area = np.clip(common, 0, None).prod(axis=1)
        smaller = np.minimum((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), height * width)
        under = ink[top : top + height, left : left + width]
        if (common_area <= MOST_OVERLAP * smaller).all() and not (under & (opacity > 0)).any():
            return left, top
    return None


def _inked(patch: np.ndarray, opacity: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`patch` with the digit on it in a random colour that stands out from the patch."""
    grey = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601 luma
    colours = rng.integers(0, 256, size=(TRIES, 3)).astype(np.float32)
    contrast = np.abs(colours @ grey - (patch @ grey).mean())
    enough = np.flatnonzero(contrast >= CONTRAST)
    colour = colours[enough[0] if len(enough) else contrast.argmax()]
    alpha = opacity[..., None] * np.float32(rng.uniform(*OPACITY) / 255)
    return np.rint(patch * (1 - alpha) + colour * alpha).astype(np.uint8)


def scenes(split: str, count: int, *, seed: int = 0, size: int = 160) -> Iterator[Sample]:
    """The first `count` scenes of `split`; scene i depends on (seed, split, i) and nothing else."""
    pool, backgrounds = load_split(split)
    number = list(SPLITS).index(split)
    for index in range(count):
        rng = np.random.default_rng((seed, number, index))
        yield compose_scene(pool, backgrounds, size=size, rng=rng)


def _ids(split: str) -> Iterator[str]:
    """train_00000, train_00001 and so on, without end."""
    return (f"{split}_{index:05d}" for index in itertools.count())


def write_digits(
    root: Path,
    *,
    seed: int = 0,
    train: int = 2000,
    val: int = 200,
    test: int = 200,
    size: int = 160,
) -> Path:
    """`root` as a PASCAL VOC folder of scenes with ImageSets/Main/{train,val,test}.txt.

    A folder that already holds exactly this set is used again. DataError if it holds another.
    """
    counts = {"train": train, "val": val, "test": test}
    stamp = json.dumps({"version": VERSION, "seed": seed, "size": size, **counts}) + "\n"
    found = root / STAMP
    if found.is_file():
        if found.read_text(encoding="utf-8") == stamp:
            return root
        raise DataError(
            f"{root}: holds digits with other parameters ({found.read_text(encoding='utf-8')!r}, "
            f"wanted {stamp!r}); delete it or name another folder"
        )
    named = {
        split: zip(_ids(split), scenes(split, count, seed=seed, size=size), strict=False)
        for split, count in counts.items()
    }
    return write_voc(root, named, classes=CLASSES, files={STAMP: stamp})
