"""For your own data: from a handful of images on a CPU to many thousands on GPUs.

The numbers are our own; those of the nano network were found with the demo's digits and with BCCD
(docs/results.md). What depends on the length of the training is left to it: `lengths.py`.
"""

from scratchdet.recipes.shipped import OURS, Shipped, derived, said_by

BY_LENGTH = said_by(
    f"{OURS}: by the number of steps, recipes/lengths.py",
    data={"augment": "auto"},
    optim={"ema": -1.0},
    schedule={"warmup_steps": -1},
)

nano = derived(
    Shipped(),
    what="The nano network at 160 x 160: a first detector in minutes of two cores.",
    values=[
        said_by(
            f"{OURS}: ScratchDet in small",
            model={"name": "scratchdet_nano", "input_size": (160, 160)},
        ),
        said_by(
            f"{OURS}: learns faster than 0.05 at this batch, benchmarks/output_gain.py",
            data={"batch": 16},
            optim={"lr": 0.15, "reference_batch": 16},
        ),
        said_by(OURS, schedule={"steps": 4_000, "evaluate_every": 500, "checkpoint_every": 250}),
        BY_LENGTH,
    ],
)

digits = derived(
    nano,
    what="The demo: ten digits on photographs.",
    notes="Result: docs/results.md.",
    values=[
        said_by(
            f"{OURS}: digits have a left and a right; by the number of steps, recipes/lengths.py",
            data={"augment": "auto_no_mirror"},
        ),
        said_by("the embedded data", data={"test_split": "test"}),
        said_by(
            f"{OURS}: leaves a margin to six minutes on two cores",
            schedule={"steps": 1_200, "evaluate_every": 300},
        ),
    ],
)

small_data = derived(
    nano,
    what="Hundreds of images, on a CPU: larger input, gentle augmentation.",
    notes="The input has the 4:3 of most cameras; --model.input-size for other shapes. Results on "
    "BCCD and FOD-A: docs/results.md.",
    values=[
        said_by(f"{OURS}: 4:3, as most cameras", model={"input_size": (240, 320)}),
        said_by(
            f"{OURS}: BCCD in a quarter of an hour",
            schedule={"steps": 1_200, "evaluate_every": 300},
        ),
    ],
)

scratchdet300_small_data = derived(
    Shipped(),
    what="ScratchDet300 on Root-ResNet-18 for hundreds of images and more, on one GPU.",
    notes="Not measured here.",
    values=[
        said_by(
            f"{OURS}: the smaller of ScratchDet's networks",
            model={"name": "scratchdet300_r18", "input_size": (300, 300)},
        ),
        said_by(
            f"{OURS}: a guess, from small_data",
            data={"batch": 32},
            optim={"lr": 0.02, "reference_batch": 32},
            schedule={
                "steps": 12_000,
                "evaluate_every": 1_000,
                "checkpoint_every": 500,
                "log_every": 20,
            },
        ),
        BY_LENGTH,
    ],
)

default = derived(
    Shipped(),
    what="ScratchDet300 on Root-ResNet-34 for thousands of images and more.",
    notes="A fifth of the images that ScratchDet sees in all; give more --steps to millions of "
    "objects. Not measured here.",
    values=[
        said_by(
            "ScratchDet, CVPR 2019: its main network",
            model={"name": "scratchdet300_r34", "input_size": (300, 300)},
        ),
        said_by(
            "ScratchDet, CVPR 2019: 0.05 for 128 images",
            optim={"lr": 0.05, "reference_batch": 128},
        ),
        said_by(
            f"{OURS}: a guess",
            data={"batch": 64},
            schedule={
                "steps": 40_000,
                "evaluate_every": 2_000,
                "checkpoint_every": 1_000,
                "log_every": 20,
            },
        ),
        BY_LENGTH,
    ],
)

OWN_DATA = {
    "nano": nano,
    "small_data": small_data,
    "scratchdet300_small_data": scratchdet300_small_data,
    "default": default,
    "digits": digits,
}
