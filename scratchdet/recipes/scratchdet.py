"""ScratchDet: Root-ResNet trained from scratch."""

from scratchdet.recipe import Recipe, differing
from scratchdet.recipes.ssd import ssd300


def scratchdet300_r18() -> Recipe:
    """ScratchDet300 on Root-ResNet-18, on PASCAL VOC 07+12.

    Command: scratchdet train VOCdevkit --recipe scratchdet300_r18 --split trainval --val-split none
    --test-split test. Made for GPUs. Values: those of `ssd300`.
    Result: 78.5 mAP on VOC 2007 test, published (with the root block); not measured here.
    """
    return differing(ssd300(), model={"name": "scratchdet300_r18"})


def scratchdet300_r34() -> Recipe:
    """ScratchDet300 on Root-ResNet-34, on PASCAL VOC 07+12.

    Command: scratchdet train VOCdevkit --recipe scratchdet300_r34 --split trainval --val-split none
    --test-split test. Made for GPUs. Values: those of `ssd300`.
    Result: published in the paper for this network; not measured here.
    """
    return differing(ssd300(), model={"name": "scratchdet300_r34"})


def scratchdet300_small_data() -> Recipe:
    """ScratchDet300 on Root-ResNet-18 for hundreds to a few thousand images, on one GPU.

    Command: scratchdet train DATA --recipe scratchdet300_small_data
    Values: our own guess, from `small_data`: batch 32 with BatchNorm, cosine, averaged weights.
    Result: not measured here.
    """
    return differing(
        ssd300(),
        model={"name": "scratchdet300_r18"},
        data={"batch": 32, "ignored": "neutral"},
        optim={"lr": 0.02, "ema": 0.999, "mining": "minimum"},
        schedule={
            "steps": 12_000,
            "shape": "cosine",
            "drops": (),
            "evaluate_every": 1_000,
            "checkpoint_every": 500,
        },
        run={"protocol": "voc"},
    )
