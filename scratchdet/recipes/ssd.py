"""SSD300 from scratch on PASCAL VOC 07+12, and the ablations that led to ScratchDet.

Zhu et al., ScratchDet, CVPR 2019. Their release trains Root-ResNet-34 only (`ssd_pascal.py`); the
values of the training are those of that script.
"""

from scratchdet.recipe import Norm
from scratchdet.recipes.data_sets import EVERY, VOC0712
from scratchdet.recipes.plus import PLUS_300
from scratchdet.recipes.shipped import OURS, Shipped, derived, said_by

SCRATCHDET = "ScratchDet, CVPR 2019; its release, ssd_pascal.py"
PAPER = "ScratchDet, CVPR 2019"
SSD_CHAIN = said_by(
    "SSD, ECCV 2016; ssd_pascal.py of SSD, DSOD and ScratchDet",
    data={"augment": "ssd"},
    optim={"match_iou": 0.5, "mining": "image", "negatives_per_positive": 3.0},
)
BATCH = {"batch": 128}  # accum_batch_size of ssd_pascal.py and ssd_coco.py of ScratchDet
SGD = {"lr": 0.05, "reference_batch": 128, "momentum": 0.9, "weight_decay": 5e-4}
NO_WARMUP_SAID = said_by(
    f"{OURS}: by the number of steps, recipes/lengths.py; the Caffe releases have none",
    schedule={"warmup_steps": -1},
)
NORMS = ("none", "head", "backbone", "both")
RATES = (0.001, 0.01, 0.05)
STEMS = {"7x7s2": "7x7/2", "3x3x3s2": "3x3x3/2", "7x7s1": "7x7/1", "root": "root"}

ssd300_voc0712 = derived(
    Shipped(),
    what="SSD300 on VGG-16 with BatchNorm in backbone and head: ScratchDet's first system.",
    notes="For GPUs. The source of the published figure does not say its learning rate.",
    data=VOC0712,
    reported=True,
    values=[
        said_by("SSD, ECCV 2016", model={"name": "ssd300_vgg16", "input_size": (300, 300)}),
        said_by(
            f"{PAPER}, the effect of BatchNorm",
            model={"norm_backbone": "batch", "norm_head": "batch"},
        ),
        said_by(
            SCRATCHDET,
            data=BATCH,
            optim=SGD,
            schedule={
                "steps": 100_000,
                "shape": "drops",
                "drops": (40_000, 75_000, 90_000),
                "drop_factor": 0.1,
                "log_every": 20,
            },
        ),
        SSD_CHAIN,
        NO_WARMUP_SAID,
        EVERY,
        PLUS_300,
    ],
)

ssd300_voc0712_plain = derived(
    ssd300_voc0712,
    what="SSD300 on VGG-16 without norms: what BatchNorm is compared with.",
    notes="For GPUs. SSD's published 77.2 is of a backbone pre-trained on ImageNet, not of this.",
    values=[
        said_by("SSD, ECCV 2016", model={"norm_backbone": "none", "norm_head": "none"}),
        said_by("ssd_pascal.py without norms: 0.00004 x 25", optim={"lr": 0.001}),
    ],
)


def norms_in(where: str) -> dict[str, Norm]:
    """BatchNorm in one of `NORMS`, as settings of the model."""
    return {
        "norm_backbone": "batch" if where in ("backbone", "both") else "none",
        "norm_head": "batch" if where in ("head", "both") else "none",
    }


def _norm_ablation(norms: str, rate: float) -> Shipped:
    """BatchNorm in nothing, the head, the backbone (with the extra layers) or both."""
    where = {"none": "nowhere", "both": "in backbone and head"}.get(norms, f"in the {norms} only")
    return derived(
        ssd300_voc0712,
        what=f"SSD300 with BatchNorm {where}, learning rate {rate:g}.",
        notes="For GPUs. It may diverge: that is what is compared.",
        values=[
            said_by(
                f"{PAPER}, the effect of BatchNorm",
                model=norms_in(norms),
                optim={"lr": rate},
            )
        ],
    )


def _stem_ablation(stem: str) -> Shipped:
    # The network's default is left out, as `models.published` does.
    choices = {} if stem == STEMS["7x7s2"] else {"stem": stem}
    return derived(
        ssd300_voc0712,
        what=f"SSD300 on ResNet-18 with the stem {stem}.",
        notes="For GPUs.",
        reported=True,
        values=[
            said_by(
                f"{PAPER}, the root block",
                model={"name": "ssd300_resnet18", "choices": choices},
            )
        ],
    )


SSD = {"ssd300_voc0712": ssd300_voc0712, "ssd300_voc0712_plain": ssd300_voc0712_plain}
NORM_ABLATION = {
    f"ablation_bn_{norms}_lr{rate:g}": _norm_ablation(norms, rate)
    for norms in NORMS
    for rate in RATES
}
STEM_ABLATION = {f"ablation_stem_{name}": _stem_ablation(stem) for name, stem in STEMS.items()}
