"""Which object each prior is to learn, for the whole batch at once (SSD, section 2.2).

First every object gets the prior that overlaps it most (bipartite, so that no object goes
unlearned), then every prior that overlaps some object by the threshold learns that object.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchvision.ops import box_convert, box_iou

BACKGROUND = -1
NEUTRAL = -2  # neither object nor background: the prior lies on an ignored object
THRESHOLD = 0.5  # SSD Caffe release, overlap_threshold
COVERED = 0.5  # of a prior's area, by an ignored object; our choice
NONE = -1.0  # below every IoU
INDEX_BITS = 32  # of a prior's index, below the bits of its overlap


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
    neutral = _on_ignored(
        iou, boxes=boxes, ignored=real & ignore, priors_xyxy=priors_xyxy, least=threshold
    )
    matched = torch.where((matched == BACKGROUND) & neutral, NEUTRAL, matched)

    prior_of_object = match_bipartite(learnable)
    # A column more, for the objects that no prior is left for: nothing has to be picked out.
    place = torch.where(prior_of_object >= 0, prior_of_object, len(priors))
    rows = torch.arange(objects, device=boxes.device).expand(batch, -1)
    return F.pad(matched, (0, 1)).scatter(1, place, rows)[:, :-1]


def _on_ignored(
    iou: Float[Tensor, "B G P"],
    *,
    boxes: Float[Tensor, "B G 4"],
    ignored: Bool[Tensor, "B G"],
    priors_xyxy: Float[Tensor, "P 4"],
    least: float,
) -> Bool[Tensor, "B P"]:
    """Whether a prior overlaps an ignored object enough, is its best, or lies on it."""
    batch, _, count = iou.shape
    if ignored.device.type == "cpu" and not ignored.any():  # a GPU would have to be waited for
        return torch.zeros(batch, count, dtype=torch.bool)
    low = torch.maximum(boxes[:, :, None, :2], priors_xyxy[:, :2])
    high = torch.minimum(boxes[:, :, None, 2:], priors_xyxy[:, 2:])
    sides = priors_xyxy[:, 2:] - priors_xyxy[:, :2]
    covered = (high - low).clamp(min=0).prod(dim=-1) / sides.prod(dim=-1)
    best = iou == iou.amax(dim=2, keepdim=True).clamp(min=torch.finfo(iou.dtype).tiny)
    touched = (iou >= least) | best | (covered >= COVERED)
    return (touched & ignored[..., None]).any(dim=1)


def match_bipartite(overlap: Float[Tensor, "B G P"]) -> Int[Tensor, "B G"]:
    """For every object a prior of its own, or -1 if none overlaps it: the greedy matching that
    takes the best pair of all, strikes out both, and goes on.

    Equal overlaps go to the first object and prior. All shapes are known beforehand, so that a GPU
    need not be waited for: G rounds, each over the G best priors of every object, as no more than
    G - 1 of them can be lost to others.
    """
    batch, objects, priors = overlap.shape
    most = min(objects, priors)
    # One whole number for overlap and prior, the smaller index being the larger number: no ties.
    # The bits of floats that are not negative are in the order of the floats.
    bits = overlap.clamp(min=0).contiguous().view(torch.int32).long() << INDEX_BITS
    backwards = torch.arange(priors - 1, -1, -1, device=overlap.device)
    best = (bits | backwards).topk(most, dim=2).values
    prior = priors - 1 - (best & (1 << INDEX_BITS) - 1)
    left = (best >> INDEX_BITS).int().view(torch.float32)

    rows = torch.arange(objects, device=overlap.device)
    result = torch.full((batch, objects), -1, device=overlap.device)
    for _ in range(most):
        value, place = left.flatten(1).max(dim=1, keepdim=True)
        won = value > 0
        winner = (rows == place // most) & won
        taken = torch.where(won, prior.flatten(1).gather(1, place), -1)
        result = torch.where(winner, taken, result)
        left = left.masked_fill(winner[..., None] | (prior == taken[..., None]), 0.0)
    return result
