"""Detectors as they are exported: from images as read to what the priors say, or to detections.

In two halves, cut where the predictions of each level are still maps. Nothing in the first depends
on the size of the images; the second makes rows, priors and detections of whatever maps there are.
"""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import nms

from scratchdet.models.detector import Detector
from scratchdet.models.head import MultiBoxHead, flatten
from scratchdet.ops.coding import decode
from scratchdet.ops.priors import PriorSpec, make_priors

Suppress = Callable[[Tensor, Tensor, float, float], Tensor]
"""See `suppress`."""


@torch.library.custom_op("scratchdet::suppress", mutates_args=())
def suppress(boxes: Tensor, scores: Tensor, iou: float, min_score: float) -> Tensor:
    """`scores` (N, K) with zero for those that non-maximum suppression drops, or too low ones.

    boxes: (N, K, 4); each of the N lists is by itself. An operator of its own, so that it becomes
    the one ONNX has. Its result is dense: its shape does not depend on what is found.
    """
    result = torch.zeros_like(scores)
    for number, (listed, values) in enumerate(zip(boxes, scores, strict=True)):
        rows = (values > min_score).nonzero().squeeze(1)
        kept = rows[nms(listed[rows], values[rows], iou)]
        result[number, kept] = values[kept]
    return result


@suppress.register_fake
def _suppressed_shape(boxes: Tensor, scores: Tensor, iou: float, min_score: float) -> Tensor:
    return torch.empty_like(scores)


class Predictions(nn.Module):
    """Images (B, H, W, C) as read -> for every level a map of classes, and then one of boxes."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = copy.deepcopy(detector).cpu().float().eval()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        net = self.detector
        assert isinstance(net.head, MultiBoxHead)
        classes, boxes = net.head.predictions(net.neck(net.backbone(net.normalise(images))))
        return *classes, *boxes


class Rows(nn.Module):
    """The maps of `Predictions` -> logits (B, P, C + 1), offsets (B, P, 4), priors (P, 4).

    size: int64 (height, width) of the images. priors: those of this size; None computes them.
    """

    priors: Tensor | None

    def __init__(
        self, specs: Sequence[PriorSpec], *, num_classes: int, priors: Tensor | None
    ) -> None:
        super().__init__()
        self.specs, self.num_classes = tuple(specs), num_classes
        self.register_buffer("priors", priors)

    def forward(self, size: Tensor, *maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        classes, boxes = maps[: len(self.specs)], maps[len(self.specs) :]
        priors = self.priors
        if priors is None:
            shapes = [(features.shape[2], features.shape[3]) for features in classes]
            height, width = size.double().unbind()
            priors = make_priors(self.specs, shapes, (height, width))
        return flatten(list(classes), self.num_classes + 1), flatten(list(boxes), 4), priors


class Choice(nn.Module):
    """Logits, offsets and priors -> boxes (B, K, 4), scores (B, K), labels (B, K), count (B).

    Boxes are in pixels of the network's input; rows from `count` on are padding: zeros, and -1 for
    the label. Two further results, for verification, are what there was to choose from: scores
    (B, P, C) and boxes (B, P, 4) of all priors. The rules are those of `ops.postprocess`.
    """

    def __init__(
        self,
        *,
        min_score: float,
        top_per_class: int,
        nms_iou: float,
        keep: int,
        suppress: Suppress = suppress,
    ) -> None:
        super().__init__()
        self.suppress, self.min_score, self.top_per_class = suppress, min_score, top_per_class
        self.nms_iou, self.keep = nms_iou, keep

    def forward(
        self, size: Tensor, logits: Tensor, offsets: Tensor, priors: Tensor
    ) -> tuple[Tensor, ...]:
        scores = logits.softmax(dim=-1)[..., 1:]
        limits = size.flip(0).repeat(2).float()  # width, height, width, height
        boxes = torch.minimum((decode(offsets, priors) * limits).clamp(min=0), limits)
        return *self.chosen(scores, boxes), scores, boxes

    def chosen(self, scores: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Boxes, scores, labels, count; of the scores (B, P, C) and boxes (B, P, 4) of priors."""
        _, priors, classes = scores.shape
        listed = _least(self.top_per_class, priors)
        best, prior = scores.transpose(1, 2).topk(listed, dim=2)
        inside = (boxes[..., 2:] > boxes[..., :2]).all(dim=-1)
        inside = inside[:, None].expand(-1, classes, -1).gather(2, prior)
        rows = prior[..., None].expand(-1, -1, -1, 4)
        candidates = boxes[:, None].expand(-1, classes, -1, -1).gather(2, rows)
        kept = self.suppress(
            candidates.flatten(0, 1),
            torch.where(inside, best, 0.0).flatten(0, 1),
            self.nms_iou,
            self.min_score,
        ).reshape(-1, classes * listed)
        values, index = kept.topk(_least(self.keep, classes * listed), dim=1)
        found = values > 0
        taken = candidates.flatten(1, 2).gather(1, index[..., None].expand(-1, -1, 4))
        return (
            torch.where(found[..., None], taken, 0.0),
            values,
            torch.where(found, index // listed, -1),
            found.sum(dim=1),
        )


class Outputs(nn.Module):
    """The maps of `Predictions` -> what `Rows` makes of them, and then `Choice`, if any."""

    def __init__(self, rows: Rows, choice: Choice | None) -> None:
        super().__init__()
        self.rows, self.choice = rows, choice

    def forward(self, size: Tensor, *maps: Tensor) -> tuple[Tensor, ...]:
        rows = self.rows(size, *maps)
        return rows if self.choice is None else self.choice(size, *rows)


class Whole(nn.Module):
    """Images (B, H, W, C) as read, all of one `size` (height, width) -> what `outputs` makes."""

    size: Tensor

    def __init__(
        self, predictions: Predictions, outputs: Outputs, *, size: tuple[int, int]
    ) -> None:
        super().__init__()
        self.predictions, self.outputs = predictions, outputs
        self.register_buffer("size", torch.tensor(size))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return self.outputs(self.size, *self.predictions(images))


def _least(most: int, size: int) -> int:
    """The smaller of both. size: a symbol in `torch.export`, a tensor while TorchScript traces."""
    if torch.jit.is_tracing():
        return min(most, int(size))
    return torch.sym_min(most, size)  # type: ignore[return-value]
