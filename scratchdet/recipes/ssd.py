"""SSD300 from scratch."""

from scratchdet.recipe import Recipe, differing


def ssd300() -> Recipe:
    """SSD300 on VGG-16 with BatchNorm in backbone and head, as ScratchDet trains it.

    Command: scratchdet train VOCdevkit --recipe ssd300 --split trainval --val-split none
    --test-split test. Made for GPUs: 100,000 steps of 128 images.
    Values: Zhu et al., ScratchDet, CVPR 2019 (lr 0.05, batch 128, 100k steps, drops at
    40k, 75k and 90k, momentum 0.9, weight decay 5e-4); augmentation, matching and mining as in the
    SSD Caffe release, which also learns the objects marked difficult. Our own: the warm-up.
    Result: not measured here.
    """
    return differing(
        Recipe(),
        model={"name": "ssd300_vgg16", "input_size": (300, 300)},
        data={"augment": "ssd", "batch": 128, "ignored": "object"},
        optim={"lr": 0.05, "mining": "image"},
        schedule={
            "steps": 100_000,
            "warmup_steps": 500,
            "shape": "drops",
            "drops": (40_000, 75_000, 90_000),
            "evaluate_every": 10_000,
            "checkpoint_every": 1_000,
            "log_every": 20,
        },
        run={"protocol": "voc07"},
    )
