"""From what the network computes to detections: scores, the best per class, NMS (SSD, 2.2)."""

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.ops import batched_nms, clip_boxes_to_image

from scratchdet.ops.boxes import denormalise
from scratchdet.ops.coding import decode
from scratchdet.ops.limits import KEEP, MIN_SCORE, NMS_IOU, TOP_PER_CLASS
from scratchdet.structures import Detections, Raw


def postprocess(
    raw: Raw,
    priors: Float[Tensor, "P 4"],
    *,
    image_sizes: list[tuple[int, int]],
    min_score: float = MIN_SCORE,
    top_per_class: int = TOP_PER_CLASS,
    nms_iou: float = NMS_IOU,
    keep: int = KEEP,
) -> list[Detections]:
    """The detections of each image, best score first, in pixels of `image_sizes` (height, width).

    At most `top_per_class` boxes a class enter NMS, so an untrained network, which scores
    everything, costs no more than a trained one. Boxes are clipped to the image; those outside it
    are dropped.
    """
    scores = raw.logits.float().softmax(dim=-1)[..., 1:]
    boxes_norm = decode(raw.offsets.float(), priors)
    return [
        _one_image(
            image_scores,
            clip_boxes_to_image(denormalise(image_boxes, size), size),
            min_score=min_score,
            top_per_class=top_per_class,
            nms_iou=nms_iou,
            keep=keep,
        )
        for image_scores, image_boxes, size in zip(scores, boxes_norm, image_sizes, strict=True)
    ]


def _one_image(
    scores: Float[Tensor, "P C"],
    boxes: Float[Tensor, "P 4"],
    *,
    min_score: float,
    top_per_class: int,
    nms_iou: float,
    keep: int,
) -> Detections:
    inside = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    best, prior = scores.topk(min(top_per_class, len(scores)), dim=0)
    row, label = ((best > min_score) & inside[prior]).nonzero(as_tuple=True)
    candidate_scores, candidate_boxes = best[row, label], boxes[prior[row, label]]
    kept = batched_nms(candidate_boxes, candidate_scores, label, nms_iou)[:keep]
    return Detections(candidate_boxes[kept], candidate_scores[kept], label[kept])


def empty_detections() -> Detections:
    """No detection at all, with the right shapes and types."""
    return Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
