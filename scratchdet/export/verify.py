"""Whether an exported network computes what the detector does, image by image, prior by prior.

In two steps, each without an excuse. What all priors say has to be the same within the tolerances.
And what is chosen from it has to be exactly what the rules of `ops.postprocess` choose from the
same numbers. To compare final detections alone would be neither strict nor stable: two boxes that
overlap by 0.45, or a score of 0.01, fall to one side or the other by the last bit.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import clip_boxes_to_image, nms

from scratchdet.export.card import Card
from scratchdet.export.engines import open_file
from scratchdet.export.to_onnx import OUTPUTS
from scratchdet.models.detector import Detector
from scratchdet.ops.boxes import denormalise
from scratchdet.ops.coding import decode
from scratchdet.ops.pixels import fitted

LARGEST_SCORE = 1e-3  # difference of a score that is allowed
LARGEST_BOX = 0.1  # of a corner, in pixels of the network's input
LAST_BITS = 1e-6  # of an overlap: engines round differently
BATCH = 4  # images at a time, after a first batch of one
ALLOWED = {"scores": LARGEST_SCORE, "boxes": LARGEST_BOX, "logits": LARGEST_SCORE}
"""In the outputs of a file, to those of the network in memory; all others have to be equal."""
OTHER_SIZES = ((0.61, 0.83), (1.37, 1.04))  # height and width, times those of the input

Run = Callable[[np.ndarray], Mapping[str, np.ndarray]]
"""An engine with the network: images (B, H, W, C) -> its outputs by name."""


class Difference(NamedTuple):
    """What was compared, and how much differs at most."""

    images: int
    detections: int
    """In these images; 0 of the raw form, which has none."""
    score: float
    box: float
    """Pixels of the network's input."""


def verify(detector: Detector, run: Run, images: Sequence[np.ndarray], *, card: Card) -> Difference:
    """How `run` differs from the detector on `images`; RuntimeError if by more than is allowed.

    images: as read, of any sizes.
    """
    if not images:
        raise ValueError("an exported network is verified on images: there is none")
    detector = copy.deepcopy(detector).eval()
    score = box = 0.0
    counts: list[int] = []
    for part in _batches(images, card):
        expected_scores, expected_boxes = priors_say(detector, part)
        found = {name: torch.from_numpy(array) for name, array in run(part.numpy()).items()}
        scores, boxes = _said(found, size=(part.shape[1], part.shape[2]))
        if scores.shape != expected_scores.shape:
            raise RuntimeError(
                f"the exported network has {scores.shape[1]} priors and the model "
                f"{expected_scores.shape[1]} for images of {part.shape[1]} x {part.shape[2]}: "
                "it cannot be exported with --dynamic-size. Nothing was written"
            )
        of_scores, of_boxes = _largest(scores - expected_scores), _largest(boxes - expected_boxes)
        if not (of_scores < LARGEST_SCORE and of_boxes < LARGEST_BOX):  # nor is NaN
            raise RuntimeError(
                f"the exported network is not the same as the model: scores differ by up to "
                f"{of_scores:.2g} (allowed: {LARGEST_SCORE:g}), boxes by up to {of_boxes:.2g} "
                f"pixels (allowed: {LARGEST_BOX:g}). Nothing was written"
            )
        score, box = max(score, of_scores), max(box, of_boxes)
        if card.form == "end-to-end":
            for number in range(len(part)):
                _check_choice({name: array[number] for name, array in found.items()}, card)
            counts += found["count"].tolist()
    return Difference(len(images), sum(counts[: len(images)]), score, box)  # the others are again


def verify_file(path: Path, run: Run, images: Sequence[np.ndarray], *, card: Card) -> None:
    """Raises RuntimeError unless the file has the card, and gives on `images` what `run` gives.

    `run`, a network in memory, has been verified; this is what others will have.
    """
    written, own = open_file(path)
    if own != card:
        raise RuntimeError(f"the metadata are not read as they were written: {own} for {card}")
    for part in _batches(images, card):
        expected = run(part.numpy())
        for name, found in zip(OUTPUTS[card.form], written(part.numpy()), strict=True):
            if not _nearly(found, expected[name], allowed=ALLOWED.get(name, 0.0)):
                raise RuntimeError(
                    f"the file that was written gives other {name} than the network that was "
                    "verified. Nothing was written"
                )


def _nearly(found: np.ndarray, expected: np.ndarray, *, allowed: float) -> bool:
    return found.shape == expected.shape and np.allclose(found, expected, rtol=0, atol=allowed)


def _batches(images: Sequence[np.ndarray], card: Card) -> Iterator[Tensor]:
    """The images (B, H, W, C) as the network is fed, one and then several at a time.

    Where there are fewer than that takes, they come again. For a network of dynamic size some of
    them at other sizes, too, where maps round otherwise.
    """
    count = max(len(images), 1 + BATCH)
    cycled = [images[number % len(images)] for number in range(count)]
    sizes = [card.input_size]
    if card.dynamic_size:
        height, width = card.input_size
        sizes += [(round(height * tall), round(width * wide)) for tall, wide in OTHER_SIZES]
    for number, size in enumerate(sizes):
        batch = torch.from_numpy(fitted(cycled if number == 0 else cycled[: 1 + BATCH], size))
        yield batch[:1]
        yield from batch[1:].split(BATCH)


@torch.no_grad()
def priors_say(detector: Detector, images: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (B, P, C) and boxes (B, P, 4) of all priors, in pixels of `images` (B, H, W, C).

    The detector is in `eval()`.
    """
    raw = detector(detector.normalise(images.to(detector.device)))
    size = (images.shape[1], images.shape[2])
    return _scores_and_boxes(raw.logits.cpu(), raw.offsets.cpu(), detector.priors_for(size), size)


def _said(found: Mapping[str, Tensor], *, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """As `priors_say`, of the outputs of an exported network."""
    if "all_scores" in found:
        return found["all_scores"], found["all_boxes"]
    return _scores_and_boxes(found["logits"], found["offsets"], found["priors"], size)


def _scores_and_boxes(
    logits: Tensor, offsets: Tensor, priors: Tensor, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    boxes = denormalise(decode(offsets.float(), priors.cpu()), size)
    return logits.float().softmax(dim=-1)[..., 1:], clip_boxes_to_image(boxes, size)


def _largest(differences: Tensor) -> float:
    """The largest absolute value; NaN if there is one."""
    return float(differences.abs().max()) if differences.numel() else 0.0


def _check_choice(found: Mapping[str, Tensor], card: Card) -> None:
    """Raises RuntimeError if other boxes were chosen than the rules choose from the same scores."""
    count = int(found["count"])
    rows = [found[name][:count] for name in ("scores", "labels", "boxes")]
    places = _places(rows, found["all_scores"], found["all_boxes"])
    for iou in (card.nms_iou, card.nms_iou - LAST_BITS, card.nms_iou + LAST_BITS):
        expected = choose(found["all_scores"], found["all_boxes"], card, iou=iou, places=places)
        if all(torch.equal(*pair) for pair in zip(rows, expected, strict=True)):
            return
    raise RuntimeError(
        f"the exported network chooses {count} boxes of an image that are not those which "
        "non-maximum suppression chooses from its own scores. Nothing was written"
    )


def _places(rows: Sequence[Tensor], scores: Tensor, boxes: Tensor) -> Tensor:
    """(P, C): where in the list of what was chosen each class of each prior is, or behind its end.

    What looks the same everywhere, as a black border, has scores that are equal to the last bit,
    and which of them comes first is for the engine to say.
    """
    places = torch.full(scores.shape, len(rows[0]))
    for number, (score, label, box) in reversed(list(enumerate(zip(*rows, strict=True)))):
        places[(scores[:, label] == score) & (boxes == box).all(dim=1), label] = number
    return places


def choose(
    scores: Tensor, boxes: Tensor, card: Card, *, iou: float, places: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, labels and boxes chosen from all scores (P, C) and boxes (P, 4) of an image.

    As `ops.postprocess`, and exact where that leaves open what comes first: among equal scores what
    has the lower of the `places` (P, C), then the class and the prior with the lower number.
    """
    if places is None:
        places = torch.zeros(scores.shape)
    inside = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    chosen: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    for label in range(scores.shape[1]):
        order = _best_first(scores[:, label], places[:, label])[: card.top_per_class]
        rows = order[(scores[order, label] > card.min_score) & inside[order]]
        rows = rows[nms(boxes[rows], scores[rows, label], iou)]
        label_of_rows = torch.full_like(rows, label)
        chosen.append((scores[rows, label], places[rows, label], label_of_rows, boxes[rows]))
    values, order, labels, corners = (torch.cat(parts) for parts in zip(*chosen, strict=True))
    best = _best_first(values, order)[: card.keep]
    return values[best], labels[best], corners[best]


def _best_first(scores: Tensor, places: Tensor) -> Tensor:
    """The rows by falling score; of equal ones, by rising place and then by number."""
    rows = places.argsort(stable=True)
    return rows[scores[rows].argsort(descending=True, stable=True)]
