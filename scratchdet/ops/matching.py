"""Which object each prior is to learn, for the whole batch at once (SSD, section 2.2).

First every object gets the prior that overlaps it most (bipartite, so that no object goes
unlearned), then every prior that overlaps some object by the threshold learns that object.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchvision.ops import box_convert, box_iou

BACKGROUND = -1
NEUTRAL = -2  # neither object nor background: the prior lies on an ignored object
THRESHOLD = 0.5  # SSD Caffe release, overlap_threshold
COVERED = 0.5  # of a prior's area, by an ignored object; our choice
NONE = -1.0  # below every IoU


def match(
    boxes: Float[Tensor, "B G 4"],
    *,
    real: Bool[Tensor, "B G"],
    ignore: Bool[Tensor, "B G"],
    priors: Float[Tensor, "P 4"],
    threshold: float = THRESHOLD,
) -> Int[Tensor, "B P"]:
    """For every prior the index of its object in 0..G-1, or BACKGROUND, or NEUTRAL.

    boxes: xyxy, priors: cxcywh, same units. real: False for rows that only pad the batch.
    ignore: objects not to be learned. Priors that would have learned one, and those that lie on
    one by half of their area (small priors inside a crowd), become NEUTRAL.
    """
    batch, objects, _ = boxes.shape
    if objects == 0:
        return torch.full((batch, len(priors)), BACKGROUND, device=boxes.device)
    priors_xyxy = box_convert(priors, "cxcywh", "xyxy")
    iou = box_iou(boxes.reshape(-1, 4), priors_xyxy).reshape(batch, objects, len(priors))
    learnable = iou.masked_fill(~(real & ~ignore)[..., None], NONE)

    best, matched = learnable.max(dim=1)
    matched = torch.where(best >= threshold, matched, BACKGROUND)
    if (real & ignore).any():
        neutral = _on_ignored(boxes, iou, priors_xyxy, ignored=real & ignore, threshold=threshold)
        matched = torch.where((matched == BACKGROUND) & neutral, NEUTRAL, matched)

    prior_of_object = match_bipartite(learnable)
    image, index = (prior_of_object >= 0).nonzero(as_tuple=True)
    return matched.index_put((image, prior_of_object[image, index]), index)


def _on_ignored(
    boxes: Float[Tensor, "B G 4"],
    iou: Float[Tensor, "B G P"],
    priors: Float[Tensor, "P 4"],
    *,
    ignored: Bool[Tensor, "B G"],
    threshold: float,
) -> Bool[Tensor, "B P"]:
    """Whether a prior (xyxy) overlaps an ignored object enough, is its best, or lies on it."""
    low = torch.maximum(boxes[:, :, None, :2], priors[:, :2])
    high = torch.minimum(boxes[:, :, None, 2:], priors[:, 2:])
    covered = (high - low).clamp(min=0).prod(dim=-1) / (priors[:, 2:] - priors[:, :2]).prod(dim=-1)
    best = iou == iou.amax(dim=2, keepdim=True).clamp(min=torch.finfo(iou.dtype).tiny)
    touched = (iou >= threshold) | best | (covered >= COVERED)
    return (touched & ignored[..., None]).any(dim=1)


def match_bipartite(overlap: Float[Tensor, "B G P"]) -> Int[Tensor, "B G"]:
    """For every object a prior of its own, or -1 if none overlaps it: the greedy matching that
    takes the best pair of all, strikes out both, and goes on.

    Instead of one pair at a time, every round takes all pairs that are best for both sides. Such a
    pair can lose neither partner to a better pair, so greedy would take it too, and a few rounds
    do for the whole batch what greedy does in G. Equal overlaps go to the first object and prior.
    """
    batch, objects, _ = overlap.shape
    order = torch.arange(objects, device=overlap.device).expand(batch, -1)
    result = torch.full_like(order, -1)
    left = overlap
    while True:
        best, prior = left.max(dim=2)
        mutual = (best > 0) & (left.argmax(dim=1).gather(1, prior) == order)
        if not mutual.any():
            return result
        result = torch.where(mutual, prior, result)
        image, index = mutual.nonzero(as_tuple=True)
        taken = torch.zeros_like(left[:, 0], dtype=torch.bool)
        taken = taken.index_put(
            (image, prior[image, index]), torch.ones_like(index, dtype=torch.bool)
        )
        left = left.masked_fill(mutual[..., None] | taken[:, None], NONE)
