"""An exported network at work: an engine and OpenCV, without torch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scratchdet.export.engines import open_file
from scratchdet.ops.pixels import check_images, fitted
from scratchdet.structures import Arrays


class ExportedDetector:
    """`ExportedDetector(path).predict(images)` finds objects, as `Detector.predict` does.

    path: an .onnx, or the .xml of OpenVINO. threads, and what is raised: see `engines.open_file`;
    ValueError also for the raw form.
    """

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        self.path = path
        self.run, self.card = open_file(path, threads=threads)
        if self.card.form != "end-to-end":
            raise ValueError(
                f"{path} is the raw form, whose outputs are no detections yet: export the model "
                "with --form end-to-end"
            )
        self.classes = self.card.classes
        self.in_channels = self.card.in_channels
        self.image_dtype = self.card.image_dtype
        self.files = self.card.files
        self.input_size = self.card.input_size

    def predict(
        self,
        images: Sequence[np.ndarray],
        *,
        input_size: tuple[int, int] | None = None,
        **choices: float | int,
    ) -> list[Arrays]:
        """The objects in each image, best score first, in pixels of that image.

        images: (H, W, C) or, for one channel, (H, W); of `image_dtype`, any sizes. choices:
        `min_score`, not below the exported one, and `keep`, not above it. ValueError for others.
        """
        check_images(images, self.in_channels, dtype=self.image_dtype)
        min_score, keep = self._chosen(choices)
        size = input_size or self.input_size
        if size != self.input_size and not self.card.dynamic_size:
            raise ValueError(
                f"this network was exported for images of {self.input_size[0]} x "
                f"{self.input_size[1]}, not {size[0]} x {size[1]}: export it with --dynamic-size"
            )
        if not images:
            return []
        outputs = self.run(fitted(images, size))
        self._check_labels(outputs[2], outputs[3])
        return [
            _in_pixels(*parts, image=image, size=size, min_score=min_score, keep=keep)
            for image, *parts in zip(images, *outputs, strict=True)
        ]

    def _check_labels(self, labels: np.ndarray, count: np.ndarray) -> None:
        """Raises ValueError if a label has no name: the metadata are of another network."""
        used = labels[np.arange(labels.shape[1]) < count[:, None]]
        if used.size and not 0 <= used.min() <= used.max() < len(self.classes):
            raise ValueError(
                f"{self.path} finds objects of the labels {used.min()} to {used.max()}, and its "
                f"metadata name {len(self.classes)} classes: they are not those of the network"
            )

    def _chosen(self, choices: dict[str, float | int]) -> tuple[float, int]:
        """`min_score` and `keep`; ValueError for what the network cannot do any more."""
        card = self.card
        fixed = {"top_per_class": card.top_per_class, "nms_iou": card.nms_iou}
        for name, value in choices.items():
            if name not in ("min_score", "keep", *fixed):
                raise ValueError(f"{name!r} is no choice; there are min_score and keep")
            if fixed.get(name, value) != value:
                raise ValueError(
                    f"{name} was exported as {fixed[name]:g} and cannot be {value:g}: export again"
                )
        min_score, keep = choices.get("min_score", card.min_score), choices.get("keep", card.keep)
        if min_score < card.min_score or keep > card.keep:
            raise ValueError(
                f"this network was exported with min_score {card.min_score:g} and keep "
                f"{card.keep}; it cannot find what scores less, or more objects in an image "
                f"(asked for: {min_score:g}, {keep:g}). Export again"
            )
        return min_score, int(keep)


def _in_pixels(
    boxes: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    count: np.ndarray,
    *,
    image: np.ndarray,
    size: tuple[int, int],
    min_score: float,
    keep: int,
) -> Arrays:
    """The detections of one image in its own pixels, without padding and what is not wanted."""
    wanted = min(int(count), keep, int((scores > min_score).sum()))  # scores fall
    factors = np.array([image.shape[1] / size[1], image.shape[0] / size[0]] * 2, np.float32)
    limits = np.array([image.shape[1], image.shape[0]] * 2, np.float32)
    return Arrays(np.minimum(boxes[:wanted] * factors, limits), scores[:wanted], labels[:wanted])
