"""A detector asked at several input sizes, and mirrored: the "+" in the results of the papers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from scratchdet.ops.limits import KEEP, MIN_SCORE
from scratchdet.ops.merging import MERGES, Merge, joined, taken
from scratchdet.ops.pixels import check_images, flip
from scratchdet.structures import Arrays, Predictor, as_arrays

LEAST_INPUT = 32  # pixels a side: SSD's third map has one location there


class Scale(NamedTuple):
    """An input size, and which objects are taken from it."""

    factor: float
    """Of the input size that is asked for."""
    smallest: float
    """The size of an object is the square root of its share of the image's area."""
    largest: float


class MultiScale:
    """Finds what `predictor` finds at several input sizes and mirrored, merged into one list.

    scales: input sizes, as multiples of the one asked for; rounded to whole pixels, and to nothing
    else: priors keep their distance in pixels at any size, as at SSD's 300, which is no multiple of
    a stride either. They keep their size in pixels too, so in a larger input they are for smaller
    objects. smallest, largest: of each scale, the size of the objects that are taken from it, both
    included; see `Scale`. flip: every scale is asked for the mirrored image as well. merge,
    merge_iou: how the passes become one, see `ops.merging`.

    A single pass is left as it is. A larger input is asked about fewer images at a time.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        scales: Sequence[float],
        smallest: Sequence[float],
        largest: Sequence[float],
        flip: bool,
        merge: Merge,
        merge_iou: float,
    ) -> None:
        if not 0 < len(scales) == len(smallest) == len(largest):
            raise ValueError(
                f"{len(scales)} scales, {len(smallest)} smallest and {len(largest)} largest sizes: "
                "give each scale one of both"
            )
        self.predictor = predictor
        self.classes, self.in_channels = predictor.classes, predictor.in_channels
        self.image_dtype, self.files = predictor.image_dtype, predictor.files
        self.input_size = predictor.input_size
        self.passes = [
            (Scale(*scale), mirrored)
            for scale in zip(scales, smallest, largest, strict=True)
            for mirrored in ((False, True) if flip else (False,))
        ]
        self.merge, self.merge_iou = MERGES[merge], merge_iou

    def predict(
        self,
        images: Sequence[np.ndarray],
        *,
        input_size: tuple[int, int] | None = None,
        **choices: float | int,
    ) -> list[Arrays]:
        """The objects in each image, best score first, in pixels of that image.

        choices: those of the predictor, for every pass; of several, `min_score` and `keep` say what
        is left when they are merged. Raises ValueError for what the predictor refuses, such as an
        input size that it was not exported for, and for scales at which the input would be tiny.
        """
        check_images(images, self.in_channels, dtype=self.image_dtype)
        # Refuses what it cannot do here: the passes are not asked for it.
        self.predictor.predict([], input_size=self.input_size, **choices)
        size = input_size or self.input_size
        several = len(self.passes) > 1
        asked = generous(choices) if several else choices
        passes = [
            self._ask(images, scale, mirrored=mirrored, size=size, choices=asked)
            for scale, mirrored in self.passes
        ]
        if not several:
            return passes[0]
        return [self._merged(parts, choices) for parts in zip(*passes, strict=True)]

    def _merged(self, parts: Sequence[Arrays], choices: Mapping[str, float | int]) -> Arrays:
        """What all passes found in one image, as little of it as is asked for."""
        merged = self.merge(joined(parts), iou=self.merge_iou)
        above = taken(merged, merged.scores > float(choices.get("min_score", 0)))
        return taken(above, slice(int(choices.get("keep", KEEP))))

    def _ask(
        self,
        images: Sequence[np.ndarray],
        scale: Scale,
        *,
        mirrored: bool,
        size: tuple[int, int],
        choices: Mapping[str, float | int],
    ) -> list[Arrays]:
        """What one pass finds in each image, of the sizes that are taken from it."""
        height, width = (round(side * scale.factor) for side in size)
        if min(height, width) < LEAST_INPUT:
            raise ValueError(
                f"at the scale {scale.factor:g} the input would be {height} x {width} pixels, "
                f"less than {LEAST_INPUT}: leave it out, or give a larger input size"
            )
        found: list[Arrays] = []
        at_once = max(1, int(len(images) / scale.factor**2))  # the memory of a batch at scale 1
        for start in range(0, len(images), at_once):
            batch = images[start : start + at_once]
            if mirrored:
                batch = [flip(np.atleast_3d(image), 0) for image in batch]
            found += map(
                as_arrays, self.predictor.predict(batch, input_size=(height, width), **choices)
            )
        if mirrored:
            found = [mirror(one, image.shape[1]) for one, image in zip(found, images, strict=True)]
        return [sized(one, image, scale) for one, image in zip(found, images, strict=True)]


def generous(choices: Mapping[str, float | int]) -> dict[str, float | int]:
    """The choices of a pass: less than it finds by itself is not asked for.

    Weak boxes vote, too: where an object is must not depend on the score from which on it is shown.
    By itself an exported network finds what it was exported for.
    """
    asked = dict(choices)
    if asked.get("min_score", 1) >= MIN_SCORE:
        asked.pop("min_score", None)
    if asked.get("keep", 0) <= KEEP:
        asked.pop("keep", None)
    return asked


def mirror(found: Arrays, width: int) -> Arrays:
    """The detections in the mirrored image, which is `width` pixels wide."""
    left, top, right, bottom = found.boxes.T
    return found._replace(boxes=np.stack([width - right, top, width - left, bottom], axis=1))


def sized(found: Arrays, image: np.ndarray, scale: Scale) -> Arrays:
    """The detections in `image` whose sizes are taken from the scale."""
    height, width = image.shape[:2]
    sides = (found.boxes[:, 2:] - found.boxes[:, :2]) / np.array([width, height], np.float32)
    sizes = np.minimum(np.sqrt(sides[:, 0] * sides[:, 1]), 1)  # boxes may reach outside the image
    return taken(found, (scale.smallest <= sizes) & (sizes <= scale.largest))
