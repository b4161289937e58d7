"""The nano network: detectors that train on a CPU in minutes."""

from scratchdet.recipe import Recipe, differing


def nano() -> Recipe:
    """The nano network at 160 x 160: a first detector on any data in minutes of two cores."""
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
    """The demo: ten digits on photographs."""
    return differing(
        nano(),
        data={"augment": "mild_no_mirror", "test_split": "test"},
        schedule={"steps": 1_200, "warmup_steps": 50, "evaluate_every": 300},
    )


def small_data() -> Recipe:
    """Hundreds of images, on a CPU."""
    return differing(
        nano(),
        model={"input_size": (240, 320)},
        data={"augment": "mild"},
        schedule={"steps": 1_200, "evaluate_every": 300},
    )
