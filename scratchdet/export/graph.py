"""Detectors as they are exported: from images as read to what the priors say, or to detections."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchvision.ops import clip_boxes_to_image, nms

from scratchdet.models.detector import Detector
from scratchdet.ops.boxes import denormalise
from scratchdet.ops.coding import decode
from scratchdet.ops.priors import make_priors

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


class RawOutputs(nn.Module):
    """Images (B, H, W, C) as read -> logits (B, P, C + 1), offsets (B, P, 4), priors (P, 4).

    The images have the size of the network's input: `size`, or any where it is None.
    """

    priors: Tensor | None

    def __init__(self, detector: Detector, *, size: tuple[int, int] | None) -> None:
        super().__init__()
        self.detector = copy.deepcopy(detector).cpu().float().eval()
        self.register_buffer("priors", self.detector.priors_for(size) if size else None)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        net = self.detector
        maps = net.neck(net.backbone(net.normalise(images)))
        logits, offsets = net.head(maps)
        if self.priors is not None:
            return logits, offsets, self.priors
        height, width = images.shape[1:3]
        shapes = [(features.shape[2], features.shape[3]) for features in maps]
        return logits, offsets, make_priors(net.specs, shapes, (height, width))


class EndToEnd(nn.Module):
    """Images (B, H, W, C) as read -> boxes (B, K, 4), scores (B, K), labels (B, K), count (B).

    Boxes are in pixels of the network's input; rows from `count` on are padding: zeros, and -1 for
    the label. Two further results, for verification, are what there was to choose from: scores
    (B, P, C) and boxes (B, P, 4) of all priors. The rules are those of `ops.postprocess`.
    """

    def __init__(
        self,
        raw: RawOutputs,
        *,
        min_score: float,
        top_per_class: int,
        nms_iou: float,
        keep: int,
        suppress: Suppress = suppress,
    ) -> None:
        super().__init__()
        self.raw, self.suppress = raw, suppress
        self.min_score, self.top_per_class = min_score, top_per_class
        self.nms_iou, self.keep = nms_iou, keep

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        logits, offsets, priors = self.raw(images)
        height, width = images.shape[1:3]
        scores = logits.softmax(dim=-1)[..., 1:]
        boxes = clip_boxes_to_image(
            denormalise(decode(offsets, priors), (height, width)), (height, width)
        )
        return *self.select(scores, boxes), scores, boxes

    def select(self, scores: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Boxes, scores, labels, count; of the scores (B, P, C) and boxes (B, P, 4) of priors."""
        _, priors, classes = scores.shape
        listed = min(self.top_per_class, priors)
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
        values, index = kept.topk(min(self.keep, classes * listed), dim=1)
        found = values > 0
        chosen = candidates.flatten(1, 2).gather(1, index[..., None].expand(-1, -1, 4))
        return (
            torch.where(found[..., None], chosen, 0.0),
            values,
            torch.where(found, index // listed, -1),
            found.sum(dim=1),
        )
