"""ScratchDet: Root-ResNet trained from scratch, Zhu et al., CVPR 2019.

Where the paper's values are not at hand for a data set, those of its neighbour stand here, and the
source says so.
"""

from scratchdet.recipes.data_sets import (
    COCO_35K,
    NO_TEST,
    VOC07_PLUS_12,
    VOC0712_AFTER_COCO,
    VOC12,
)
from scratchdet.recipes.plus import PLUS_512
from scratchdet.recipes.shipped import OURS, Values, derived, said_by
from scratchdet.recipes.ssd import BATCH, PAPER, SGD, ssd300_voc0712

RELEASE = f"{PAPER}; its release, ssd_coco.py"
R34 = said_by(
    f"{PAPER}, section 3.2; ssd_pascal.py and ssd_coco.py", model={"name": "scratchdet300_r34"}
)
HEAD_NOTE = (
    "For GPUs. The head has BatchNorm, as the paper says; ssd_pascal.py of the release has "
    "use_batchnorm False there, its ssd_coco.py True."
)
COCO_VALUES = said_by(
    RELEASE,
    data=BATCH,
    optim=SGD,
    schedule={"steps": 325_000, "drops": (150_000, 250_000, 310_000), "log_every": 20},
    model={"choices": {"prior_sizes": "coco"}},
)
COCO_NOTE = f"For GPUs. The release drops once more at 320,000. {NO_TEST[COCO_35K.name]}"
FINE_TUNING = (
    said_by(
        f"{OURS}: that of the model it begins with", model={"choices": {"prior_sizes": "coco"}}
    ),
    said_by(
        f"{OURS}: a tenth of the rate from scratch, half of the steps, drops at the same shares",
        optim={"lr": 0.005},
        schedule={"steps": 50_000, "drops": (20_000, 37_500, 45_000)},
    ),
)
FINE_TUNING_NOTE = (
    "For GPUs. Begins with a model trained on COCO by {coco}: without --init it is a poor training "
    "from scratch. What the paper fine-tunes with is not at hand: the values are our own."
)
SIZE_512: Values = said_by(
    f"{PAPER}; ssd512_scratchdet_coco.py of its release",
    model={"name": "scratchdet512_r34", "input_size": (512, 512)},
)
NOTE_512 = (
    "For GPUs. Trained like ScratchDet300: of 512 px the release has only a configuration for COCO "
    "with mmdetection, lr 0.03 for 20 images on each of an unknown number of GPUs, 84 epochs."
)

scratchdet300_voc0712 = derived(
    ssd300_voc0712,
    what="ScratchDet300 on Root-ResNet-34: the paper's main result.",
    notes=HEAD_NOTE,
    reported=True,
    values=[R34],
)
scratchdet300_voc0712_r18 = derived(
    ssd300_voc0712,
    what="ScratchDet300 on Root-ResNet-18.",
    notes="For GPUs. The same network as ablation_stem_root.",
    reported=True,
    values=[said_by(f"{PAPER}, the root block", model={"name": "scratchdet300_r18"})],
)
scratchdet300_voc07_plus_12 = derived(
    scratchdet300_voc0712,
    what="ScratchDet300 for the test images of VOC 2012.",
    notes=f"{HEAD_NOTE} Values of 07+12. {NO_TEST[VOC07_PLUS_12.name]}",
    data=VOC07_PLUS_12,
)
scratchdet300_voc12 = derived(
    scratchdet300_voc0712,
    what="ScratchDet300 on VOC 2012 alone, as comp3 demands.",
    notes=f"{HEAD_NOTE} Values of 07+12. {NO_TEST[VOC12.name]}",
    data=VOC12,
)
scratchdet300_coco = derived(
    scratchdet300_voc0712,
    what="ScratchDet300 on COCO, with smaller priors.",
    notes=COCO_NOTE,
    data=COCO_35K,
    reported=True,
    values=[COCO_VALUES],
)
scratchdet300_voc0712_coco = derived(
    scratchdet300_voc0712,
    what="ScratchDet300 fine-tuned on VOC 07+12, from your model of COCO.",
    notes=FINE_TUNING_NOTE.format(coco="scratchdet300_coco"),
    data=VOC0712_AFTER_COCO,
    flags="--init runs/COCO",
    values=FINE_TUNING,
)

scratchdet512_voc0712 = derived(
    scratchdet300_voc0712,
    what="ScratchDet512 on Root-ResNet-34.",
    notes=NOTE_512,
    values=[SIZE_512, PLUS_512],
)
scratchdet512_voc07_plus_12 = derived(
    scratchdet512_voc0712,
    what="ScratchDet512 for the test images of VOC 2012.",
    notes=f"{NOTE_512} {NO_TEST[VOC07_PLUS_12.name]}",
    data=VOC07_PLUS_12,
)
scratchdet512_voc12 = derived(
    scratchdet512_voc0712,
    what="ScratchDet512 on VOC 2012 alone, as comp3 demands.",
    notes=f"{NOTE_512} {NO_TEST[VOC12.name]}",
    data=VOC12,
)
scratchdet512_coco = derived(
    scratchdet300_coco,
    what="ScratchDet512 on COCO, with smaller priors.",
    notes=f"{NOTE_512} {NO_TEST[COCO_35K.name]}",
    values=[SIZE_512, PLUS_512],
)
scratchdet512_voc0712_coco = derived(
    scratchdet300_voc0712_coco,
    what="ScratchDet512 fine-tuned on VOC 07+12, from your model of COCO.",
    notes=FINE_TUNING_NOTE.format(coco="scratchdet512_coco"),
    flags="--init runs/COCO",
    values=[SIZE_512, PLUS_512],
)

SCRATCHDET = {
    "scratchdet300_voc0712": scratchdet300_voc0712,
    "scratchdet300_voc0712_r18": scratchdet300_voc0712_r18,
    "scratchdet300_voc07++12": scratchdet300_voc07_plus_12,
    "scratchdet300_voc12": scratchdet300_voc12,
    "scratchdet300_coco": scratchdet300_coco,
    "scratchdet300_voc0712_coco": scratchdet300_voc0712_coco,
    "scratchdet512_voc0712": scratchdet512_voc0712,
    "scratchdet512_voc07++12": scratchdet512_voc07_plus_12,
    "scratchdet512_voc12": scratchdet512_voc12,
    "scratchdet512_coco": scratchdet512_coco,
    "scratchdet512_voc0712_coco": scratchdet512_voc0712_coco,
}
