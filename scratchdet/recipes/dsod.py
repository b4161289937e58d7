"""DSOD and GRP-DSOD: Shen et al., ICCV 2017 and arXiv 1712.00886, by the scripts of their releases.

There is none for dsod512: nothing was published of its training.
"""

from scratchdet.recipes.data_sets import (
    COCO_TRAINVAL,
    EVERY,
    NO_TEST,
    VOC07_PLUS_12,
    VOC0712,
    VOC12,
)
from scratchdet.recipes.plus import PLUS_300
from scratchdet.recipes.shipped import Shipped, derived, said_by
from scratchdet.recipes.ssd import NO_WARMUP_SAID, SSD_CHAIN

DSOD = "DSOD, ICCV 2017; its release, DSOD300_pascal.py"
NOTE = "For GPUs."
BATCH = {"batch": 128}  # accum_batch_size of all three scripts
SGD = {"lr": 0.1, "reference_batch": 128, "momentum": 0.9, "weight_decay": 5e-4}
GRP = "GRP-DSOD; its release, GRP_DSOD320_pascal.py"
GRP_NOTE = (
    "For GPUs. With a total batch of 30, mAP on VOC 2007 is said to fall from 79 to 63. The script "
    "asks for 128 images a step; on its 8 GPUs that comes out as 3 times 48."
)
GRP_README = "GRP-DSOD, README"

dsod300_voc0712 = derived(
    Shipped(),
    what="DSOD300, DS/64-192-48-1, with dense prediction.",
    notes=NOTE,
    data=VOC0712,
    reported=True,
    values=[
        said_by(
            DSOD,
            model={"name": "dsod300", "input_size": (300, 300)},
            data=BATCH,
            optim=SGD,
            schedule={
                "steps": 100_000,
                "shape": "drops",
                "drops": (20_000, 40_000, 60_000, 80_000),
                "drop_factor": 0.1,
                "log_every": 20,
            },
        ),
        said_by(
            f"{DSOD}: use_batchnorm True", model={"norm_backbone": "batch", "norm_head": "batch"}
        ),
        SSD_CHAIN,
        NO_WARMUP_SAID,
        EVERY,
        PLUS_300,
    ],
)
dsod300_voc07_plus_12 = derived(
    dsod300_voc0712,
    what="DSOD300 for the test images of VOC 2012.",
    notes=f"{NOTE} DSOD300_pascal++.py has 120,000 steps and one more drop, at 100,000. "
    f"{NO_TEST[VOC07_PLUS_12.name]}",
    data=VOC07_PLUS_12,
    reported=True,
)
dsod300_comp3 = derived(
    dsod300_voc0712,
    what="DSOD300 on VOC 2012 alone, as comp3 demands.",
    notes=f"{NOTE} Values of 07+12. {NO_TEST[VOC12.name]}",
    data=VOC12,
)
dsod300_coco = derived(
    dsod300_voc0712,
    what="DSOD300 on COCO, with smaller priors.",
    notes=f"{NOTE} {NO_TEST[COCO_TRAINVAL.name]}",
    data=COCO_TRAINVAL,
    reported=True,
    values=[
        said_by(
            "DSOD, ICCV 2017; its release, DSOD300_coco.py",
            model={"choices": {"prior_sizes": "coco"}},
            data=BATCH,
            optim=SGD,
            schedule={
                "steps": 320_000,
                "drops": (80_000, 140_000, 200_000, 260_000),
                "log_every": 10,
            },
        )
    ],
)
dsod300_lite_voc0712 = derived(
    dsod300_voc0712,
    what="DSOD300-lite, DS/64-256-64-1.",
    notes=f"{NOTE} Part of the network is a guess: docs/models.md.",
    reported=True,
    values=[said_by("DSOD release, README", model={"name": "dsod300_lite"})],
)
dsod300_smallest_voc0712 = derived(
    dsod300_voc0712,
    what="DSOD300-smallest, DS/64-64-16-1.",
    notes=NOTE,
    reported=True,
    values=[said_by("DSOD release, README", model={"name": "dsod300_smallest"})],
)

grp_dsod320_voc0712 = derived(
    dsod300_voc0712,
    what="GRP-DSOD320*, with priors of aspect ratio 1.6 as well.",
    notes=GRP_NOTE,
    reported=True,
    values=[
        said_by(
            GRP,
            model={"name": "grp_dsod320", "input_size": (320, 320)},
            data=BATCH,
            optim=SGD,
            schedule={
                "steps": 100_000,
                "drops": (20_000, 40_000, 60_000, 80_000),
                "log_every": 20,
            },
        )
    ],
)
grp_dsod320_voc0712_320 = derived(
    grp_dsod320_voc0712,
    what="GRP-DSOD320 with SSD's priors, the smaller one.",
    notes=GRP_NOTE,
    reported=True,
    values=[said_by(GRP_README, model={"choices": {"version": "320"}})],
)
grp_dsod320_voc07_plus_12 = derived(
    grp_dsod320_voc0712_320,
    what="GRP-DSOD320 with SSD's priors for the test images of VOC 2012.",
    notes=f"{GRP_NOTE} Values of 07+12. {NO_TEST[VOC07_PLUS_12.name]}",
    data=VOC07_PLUS_12,
    reported=True,
)
grp_dsod320_comp3 = derived(
    grp_dsod320_voc0712,
    what="GRP-DSOD320* on VOC 2012 alone, as comp3 demands.",
    notes=f"{GRP_NOTE} Values of 07+12. {NO_TEST[VOC12.name]}",
    data=VOC12,
    reported=True,
)
grp_dsod300_voc0712 = derived(
    grp_dsod320_voc0712,
    what="GRP-DSOD300, with DSOD300's priors.",
    notes=f"{GRP_NOTE} Values of GRP-DSOD320.",
    reported=True,
    values=[said_by(GRP_README, model={"name": "grp_dsod300", "input_size": (300, 300)})],
)

DSOD_RECIPES = {
    "dsod300_voc0712": dsod300_voc0712,
    "dsod300_voc07++12": dsod300_voc07_plus_12,
    "dsod300_comp3": dsod300_comp3,
    "dsod300_coco": dsod300_coco,
    "dsod300_lite_voc0712": dsod300_lite_voc0712,
    "dsod300_smallest_voc0712": dsod300_smallest_voc0712,
}
GRP_RECIPES = {
    "grp_dsod320_voc0712": grp_dsod320_voc0712,
    "grp_dsod320_voc0712_320": grp_dsod320_voc0712_320,
    "grp_dsod320_voc07++12": grp_dsod320_voc07_plus_12,
    "grp_dsod320_comp3": grp_dsod320_comp3,
    "grp_dsod300_voc0712": grp_dsod300_voc0712,
}
