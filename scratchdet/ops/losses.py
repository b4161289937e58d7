"""The multibox loss: softmax cross-entropy with hard-negative mining, and smooth L1 (SSD, 2.2)."""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scratchdet.ops.boxes import normalise
from scratchdet.ops.coding import encode
from scratchdet.ops.matching import BACKGROUND, THRESHOLD, match
from scratchdet.structures import Raw, Targets

Mining = Literal["image", "minimum"]


class Losses(NamedTuple):
    """The two terms, each a scalar in float32, and how many priors were matched in the batch."""

    classification: Tensor
    localisation: Tensor
    matched: Tensor

    @property
    def total(self) -> Tensor:
        return self.classification + self.localisation


class MultiBoxLoss:
    """`loss(raw, targets) -> Losses` for images of one size.

    mining: "image" is the Caffe release's rule, `negatives_per_positive` hard negatives for every
    matched prior of the image, so that an image without objects teaches nothing. "minimum" is the
    same for images with objects, but no image gives fewer than `min_negatives`.

    Both terms are divided by the number of matched priors, as in the paper. For the classification
    an image that was given its minimum of negatives counts as the number of matched priors that
    would have earned it them, so that a batch of empty images weighs as much as any other.
    """

    def __init__(
        self,
        priors: Float[Tensor, "P 4"],
        *,
        input_size: tuple[int, int],
        threshold: float = THRESHOLD,
        negatives_per_positive: float = 3.0,  # SSD section 2.2
        mining: Mining = "minimum",
        min_negatives: int = 12,
    ) -> None:
        self.priors = priors
        self.input_size = input_size
        self.threshold = threshold
        self.negatives_per_positive = negatives_per_positive
        self.min_negatives = min_negatives if mining == "minimum" else 0

    def __call__(self, raw: Raw, targets: Targets) -> Losses:
        boxes_norm = normalise(targets.boxes, self.input_size)
        matches = match(
            boxes_norm,
            real=targets.labels >= 0,
            ignore=targets.ignore,
            priors=self.priors,
            threshold=self.threshold,
        )
        positive = matches >= 0
        logits, offsets = raw.logits.float(), raw.offsets.float()

        rows = matches.clamp(min=0)
        classes = torch.zeros_like(matches)  # column 0 of the logits is background
        if boxes_norm.shape[1]:
            classes = torch.where(positive, targets.labels.gather(1, rows) + 1, 0)
        cross_entropy = F.cross_entropy(logits.flatten(0, 1), classes.flatten(), reduction="none")
        cross_entropy = cross_entropy.view_as(matches)

        quota = (positive.sum(1) * self.negatives_per_positive).clamp(min=self.min_negatives)
        hard = hardest(cross_entropy.detach(), among=matches == BACKGROUND, count=quota.long())
        weight = (quota / self.negatives_per_positive).sum().clamp(min=1.0)

        image, prior = positive.nonzero(as_tuple=True)
        wanted = encode(boxes_norm[image, rows[image, prior]], self.priors[prior])
        localisation = F.smooth_l1_loss(offsets[image, prior], wanted, reduction="sum")
        classification = torch.where(positive | hard, cross_entropy, 0.0).sum()
        matched = positive.sum()
        return Losses(classification / weight, localisation / matched.clamp(min=1), matched)


def hardest(
    losses: Float[Tensor, "B P"], *, among: Bool[Tensor, "B P"], count: Int[Tensor, " B"]
) -> Bool[Tensor, "B P"]:
    """In each row the `count` entries of `among` with the largest loss; all, if fewer."""
    order = losses.masked_fill(~among, -1.0).argsort(dim=1, descending=True, stable=True)
    places = torch.arange(losses.shape[1], device=losses.device).expand_as(order)
    rank = torch.empty_like(order).scatter(1, order, places)
    return among & (rank < count[:, None])
