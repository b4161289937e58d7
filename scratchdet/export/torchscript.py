"""A detector as a TorchScript file, for programs with LibTorch: no Python, no package of ours."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from scratchdet.export.card import Card
from scratchdet.export.graph import Choice, Outputs, Predictions, Rows, Whole
from scratchdet.export.quiet import quiet
from scratchdet.export.to_onnx import CHECKED, OUTPUTS
from scratchdet.export.verify import Difference, verify
from scratchdet.files import replacing
from scratchdet.models.detector import Detector

ENTRY = "card.json"
"""Name of the metadata within the file."""
EXAMPLES = 2  # images that are traced


class Found(nn.Module):
    """What a network computes, without what is there to verify it by."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        boxes, scores, labels, count, _, _ = self.network(images)
        return boxes, scores, labels, count


def export_torchscript(
    detector: Detector, path: Path, *, card: Card, images: Sequence[np.ndarray]
) -> Difference:
    """Writes `path`, if on `images` it says what the detector says; by how much it differs.

    images: as read, of any sizes. Norms that follow a convolution are folded. The card is the
    file's extra entry `card.json`. Raises RuntimeError, and writes nothing, if the exported network
    is not the same; ValueError for `dynamic_size`, which a trace cannot keep.
    """
    if card.dynamic_size:
        raise ValueError(
            "a TorchScript file is for images of one size: leave --dynamic-size out, or export ONNX"
        )
    with quiet(), torch.no_grad(), replacing(path) as temporary:
        whole = _traced(detector, card)
        shown = _trace(Found(whole), card) if card.form == "end-to-end" else whole
        torch.jit.save(
            torch.jit.freeze(shown), temporary, _extra_files={ENTRY: json.dumps(card.to_strings())}
        )
        written, twin = torch.jit.load(temporary), torch.jit.freeze(whole)

        def run(batch: np.ndarray) -> dict[str, np.ndarray]:
            images = torch.from_numpy(batch)
            found = dict(zip(OUTPUTS[card.form], written(images), strict=True))
            if card.form == "end-to-end":
                found |= zip(CHECKED, twin(images)[-len(CHECKED) :], strict=True)
            return {name: part.numpy() for name, part in found.items()}

        return verify(detector, run, images, card=card)


def _traced(detector: Detector, card: Card) -> torch.jit.ScriptModule:
    """The network with every output, those in `CHECKED` the last."""
    priors = detector.priors_for(card.input_size).cpu()
    choice = Choice(
        min_score=card.min_score,
        top_per_class=card.top_per_class,
        nms_iou=card.nms_iou,
        keep=card.keep,
        suppress=torch.jit.script(suppress),
    )
    outputs = Outputs(
        Rows(detector.specs, num_classes=len(card.classes), priors=priors),
        choice if card.form == "end-to-end" else None,
    )
    return _trace(Whole(Predictions(detector), outputs, size=card.input_size), card)


def _trace(network: nn.Module, card: Card) -> torch.jit.ScriptModule:
    shape = (EXAMPLES, *card.input_size, card.in_channels)
    images = torch.zeros(shape, dtype=getattr(torch, card.image_dtype))
    return torch.jit.trace(network.eval(), images, check_trace=False)


def suppress(boxes: Tensor, scores: Tensor, iou: float, min_score: float) -> Tensor:
    """As `graph.suppress`, of scores that fall, in operators that LibTorch has by itself.

    Torchvision's would have to be linked to every program that loads the file.
    """
    alive = scores > min_score
    areas = (boxes[:, :, 2] - boxes[:, :, 0]) * (boxes[:, :, 3] - boxes[:, :, 1])
    places = alive.any(dim=0).nonzero().squeeze(1)
    for number in range(places.shape[0]):
        place = int(places[number])
        box, later = boxes[:, place : place + 1], boxes[:, place + 1 :]
        sides = torch.minimum(box[:, :, 2:], later[:, :, 2:]) - torch.maximum(
            box[:, :, :2], later[:, :, :2]
        )
        common = sides.clamp(min=0.0).prod(dim=2)
        overlap = common / (areas[:, place : place + 1] + areas[:, place + 1 :] - common)
        covered = alive[:, place : place + 1] & (overlap > iou)
        alive[:, place + 1 :].logical_and_(~covered)  # TorchScript computes `&=` into a copy
    return torch.where(alive, scores, 0.0)
