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
    neutral = _on_ignored(boxes, ignored=real & ignore, priors=priors_xyxy, threshold=threshold)
    matched = torch.where((matched == BACKGROUND) & neutral, NEUTRAL, matched)

    prior_of_object = match_bipartite(learnable)
    image, index = (prior_of_object >= 0).nonzero(as_tuple=True)
    return matched.index_put((image, prior_of_object[image, index]), index)


def _on_ignored(
    boxes: Float[Tensor, "B G 4"],
    *,
    ignored: Bool[Tensor, "B G"],
    priors: Float[Tensor, "P 4"],
    threshold: float,
) -> Bool[Tensor, "B P"]:
    """Whether a prior (xyxy) overlaps an ignored object enough, is its best, or lies on it."""
    image, row = ignored.nonzero(as_tuple=True)  # few: most images have none
    objects = boxes[image, row]
    iou = box_iou(objects, priors)
    low = torch.maximum(objects[:, None, :2], priors[:, :2])
    high = torch.minimum(objects[:, None, 2:], priors[:, 2:])
    covered = (high - low).clamp(min=0).prod(dim=-1) / (priors[:, 2:] - priors[:, :2]).prod(dim=-1)
    best = iou == iou.amax(dim=1, keepdim=True).clamp(min=torch.finfo(iou.dtype).tiny)
    touched = (iou >= threshold) | best | (covered >= COVERED)
    count = torch.zeros(len(boxes), len(priors), dtype=torch.int32, device=boxes.device)
    return count.index_add(0, image, touched.int()) > 0


def match_bipartite(overlap: Float[Tensor, "B G P"]) -> Int[Tensor, "B G"]:
    """For every object a prior of its own, or -1 if none overlaps it: the greedy matching that
    takes the best pair of all, strikes out both, and goes on.

    Instead of one pair at a time, every round takes all pairs that are best for both sides. Such a
    pair can lose neither partner to a better pair, so greedy would take it too, and a few rounds
    do for the whole batch what greedy does in G. Equal overlaps go to the first object and prior.
    """
    batch, objects, priors = overlap.shape
    rows = torch.arange(objects, device=overlap.device).expand(batch, -1)  # objects still waiting
    result = torch.full_like(rows, -1)
    left = overlap
    while left.shape[1]:
        best, prior = left.max(dim=2)
        places = torch.arange(left.shape[1], device=overlap.device)
        mutual = (best > 0) & (left.argmax(dim=1).gather(1, prior) == places)
        image, row = mutual.nonzero(as_tuple=True)
        won = prior[image, row]
        result = result.index_put((image, rows[image, row]), won)
        taken = torch.zeros(batch, priors, dtype=torch.bool, device=overlap.device)
        taken = taken.index_put((image, won), torch.ones_like(won, dtype=torch.bool))

        # Few wait after the first round: the rest of the work is done on their rows alone.
        waits = (best > 0) & ~mutual
        order = waits.int().argsort(dim=1, descending=True, stable=True)
        order = order[:, : int(waits.sum(dim=1).amax()) if batch else 0]
        struck = taken[:, None] | ~waits.gather(1, order)[..., None]
        left = left.gather(1, order[..., None].expand(-1, -1, priors)).masked_fill(struck, NONE)
        rows = rows.gather(1, order)
    return result
