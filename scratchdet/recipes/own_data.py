"""The nano network: detectors that train on a CPU in minutes.

The numbers are our own, found with the demo's digits and with BCCD (docs/results.md); the network
is ScratchDet's in small. Learning rate: `benchmarks/output_gain.py` shows 0.15 to learn faster than
0.05 at this batch, which is the point of BatchNorm (ScratchDet, section 3.1).
"""

from scratchdet.recipe import Recipe, differing


def nano() -> Recipe:
    """The nano network at 160 x 160: a first detector on any data in minutes of two cores.

    Command: scratchdet train DATA --recipe nano
    SSD's augmentation; EMA over about 500 steps, a tenth of the run. Result: not measured here.
    """
    return differing(
        Recipe(),
        model={"name": "scratchdet_nano", "input_size": (160, 160)},
        data={"augment": "ssd", "batch": 16},
        optim={"lr": 0.15, "ema": 0.998},
        schedule={
            "steps": 4_000,
            "warmup_steps": 100,
            "evaluate_every": 500,
            "checkpoint_every": 250,
        },
    )


def digits() -> Recipe:
    """The demo: ten digits on photographs.

    Command: make demo
    No mirror images, since digits have a left and a right; mild cropping, as in `small_data`; as
    many steps as leave a margin to six minutes on two cores. Result: docs/results.md.
    """
    return differing(
        nano(),
        data={"augment": "mild_no_mirror", "test_split": "test"},
        schedule={"steps": 1_200, "warmup_steps": 50, "evaluate_every": 300},
    )


def small_data() -> Recipe:
    """Hundreds of images, on a CPU: larger input, gentle augmentation.

    Command: scratchdet train DATA --recipe small_data
    The input has the 4:3 of most cameras; give --model.input-size for other shapes. With so few
    steps SSD's zooming out to a quarter costs more than it teaches; `mild` keeps objects near the
    sizes they have. Result on BCCD and FOD: docs/results.md.
    """
    return differing(
        nano(),
        model={"input_size": (240, 320)},
        data={"augment": "mild"},
        schedule={"steps": 1_200, "evaluate_every": 300},
    )
