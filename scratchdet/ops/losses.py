"""The multibox loss: softmax cross-entropy with hard-negative mining, and smooth L1 (SSD, 2.2)."""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchvision.ops import box_convert

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


class Assigned(NamedTuple):
    """What the priors of a batch have to learn."""

    boxes_norm: Tensor
    """(B, G, 4)"""
    matches: Tensor
    """(B, P), see `match`."""
    quota: Tensor
    """(B,) hard negatives wanted of each image."""
    counts: Tensor
    """(2,) what the terms are divided by, classification and localisation, if not less than 1."""


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

    def assign(self, targets: Targets) -> Assigned:
        """What every prior has to learn. It follows from the targets alone, before any forward."""
        boxes_norm = normalise(targets.boxes, self.input_size)
        matches = match(
            boxes_norm,
            real=targets.labels >= 0,
            ignore=targets.ignore,
            priors=self.priors,
            threshold=self.threshold,
        )
        matched = (matches >= 0).sum(1)
        quota = (matched * self.negatives_per_positive).clamp(min=self.min_negatives)
        counts = torch.stack([(quota / self.negatives_per_positive).sum(), matched.sum()])
        return Assigned(boxes_norm, matches, quota, counts)

    def __call__(
        self,
        raw: Raw,
        targets: Targets,
        *,
        assigned: Assigned | None = None,
        divisors: Float[Tensor, " 2"] | None = None,
    ) -> Losses:
        """The losses of a batch, or of a part of one.

        assigned: of these targets, if it is known already. divisors: of the two terms, where other
        parts or processes have a share in the step: the sum of all counts, not less than 1.
        """
        boxes_norm, matches, quota, counts = assigned or self.assign(targets)
        divisors = counts.clamp(min=1.0) if divisors is None else divisors
        positive = matches >= 0
        logits, offsets = raw.logits.float(), raw.offsets.float()

        rows = matches.clamp(min=0)
        classes = torch.zeros_like(matches)  # column 0 of the logits is background
        if boxes_norm.shape[1]:
            classes = torch.where(positive, targets.labels.gather(1, rows) + 1, 0)
        cross_entropy = F.cross_entropy(logits.flatten(0, 1), classes.flatten(), reduction="none")
        cross_entropy = cross_entropy.view_as(matches)
        hard = hardest(cross_entropy.detach(), among=matches == BACKGROUND, count=quota.long())
        classification = torch.where(positive | hard, cross_entropy, 0.0).sum()

        localisation = self._localisation(offsets, boxes_norm, rows, positive).sum()
        return Losses(classification / divisors[0], localisation / divisors[1], positive.sum())

    def _localisation(
        self, offsets: Tensor, boxes_norm: Tensor, rows: Tensor, positive: Tensor
    ) -> Tensor:
        """(B, P, 4), zero where nothing is matched. All priors are computed: picking out those that
        are matched would make a GPU wait for their number."""
        if not boxes_norm.shape[1]:
            return offsets * 0.0
        priors = self.priors.expand_as(offsets)
        matched = boxes_norm.gather(1, rows[..., None].expand_as(offsets))
        # The others are encoded as themselves: rows of padding have no size to take a logarithm of.
        boxes = torch.where(positive[..., None], matched, box_convert(priors, "cxcywh", "xyxy"))
        wanted = encode(boxes.flatten(0, 1), priors.flatten(0, 1)).view_as(offsets)
        losses = F.smooth_l1_loss(offsets, wanted, reduction="none")
        return torch.where(positive[..., None], losses, 0.0)


def hardest(
    losses: Float[Tensor, "B P"], *, among: Bool[Tensor, "B P"], count: Int[Tensor, " B"]
) -> Bool[Tensor, "B P"]:
    """In each row the `count` entries of `among` with the largest loss; all, if fewer."""
    order = losses.masked_fill(~among, -1.0).argsort(dim=1, descending=True, stable=True)
    places = torch.arange(losses.shape[1], device=losses.device).expand_as(order)
    rank = torch.empty_like(order).scatter(1, order, places)
    return among & (rank < count[:, None])
