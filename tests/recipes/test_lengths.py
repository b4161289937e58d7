"""What follows from the number of steps is concrete, within bounds, and near what was measured."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchdet.data.augment import PRESETS
from scratchdet.recipe import Recipe, RecipeError, differing
from scratchdet.recipes.lengths import has_ended, lengthened, settle
from scratchdet.train.optim import learning_rate

LEFT_OPEN = differing(
    Recipe(), data={"augment": "auto"}, optim={"ema": -1.0}, schedule={"warmup_steps": -1}
)
lengths = st.integers(1, 10**7)


def settled(steps, **groups):
    return settle(differing(LEFT_OPEN, schedule={"steps": steps}, **groups))


@pytest.mark.parametrize(
    ("steps", "warmup", "ema", "augment"),
    [
        (1, 0, 0.0, "mild"),
        (2, 0, 0.0, "mild"),
        (19, 0, 1 - 1 / 7.6, "mild"),
        (20, 1, 1 - 1 / 8, "mild"),
        (300, 15, 1 - 1 / 120, "mild"),
        (1_200, 60, 1 - 1 / 480, "mild"),  # the demo: 50 and 0.998 before
        (2_499, 124, 0.998, "mild"),
        (2_500, 125, 0.998, "ssd"),
        (4_000, 200, 0.998, "ssd"),
        (12_000, 500, 1 - 1 / 1_200, "ssd"),
        (100_000, 500, 0.9999, "ssd"),
        (325_000, 500, 0.9999, "ssd"),
    ],
)
def test_warm_up_average_and_augmentation_follow_from_the_steps(steps, warmup, ema, augment):
    recipe = settled(steps)
    assert recipe.schedule.warmup_steps == warmup
    assert recipe.optim.ema == pytest.approx(ema, abs=1e-12)
    assert recipe.data.augment == augment


@pytest.mark.parametrize("kind", ["", "_any_up", "_no_mirror"])
@pytest.mark.parametrize(("steps", "strength"), [(10, "mild"), (10_000, "ssd")])
def test_every_kind_of_augmentation_can_be_left_to_the_steps(kind, steps, strength):
    recipe = settled(steps, data={"augment": f"auto{kind}"})
    assert recipe.data.augment == f"{strength}{kind}"
    assert recipe.data.augment in PRESETS


@pytest.mark.parametrize("augment", [*PRESETS, "automatic", "my.preset"])
def test_what_is_said_is_left_as_it_is(augment):
    recipe = differing(
        Recipe(),
        data={"augment": augment},
        optim={"ema": 0.5},
        schedule={"warmup_steps": 0, "steps": 7},
    )
    assert settle(recipe) == recipe


@given(lengths)
def test_a_settled_recipe_is_valid_settled_and_otherwise_as_before(steps):
    recipe = settled(steps)
    assert settle(recipe) == recipe
    assert 0 <= recipe.schedule.warmup_steps < steps
    assert 0 <= recipe.optim.ema <= 0.9999
    opened = differing(
        recipe, data={"augment": "auto"}, optim={"ema": -1.0}, schedule={"warmup_steps": -1}
    )
    assert opened == differing(LEFT_OPEN, schedule={"steps": steps})


@given(lengths, lengths)
def test_a_longer_training_never_warms_up_less_averages_less_or_is_augmented_less(one, other):
    short, long = settled(min(one, other)), settled(max(one, other))
    assert short.schedule.warmup_steps <= long.schedule.warmup_steps
    assert short.optim.ema <= long.optim.ema
    assert (short.data.augment, long.data.augment) != ("ssd", "mild")


PUBLISHED = differing(
    Recipe(),
    schedule={"steps": 100_000, "shape": "drops", "drops": (40_000, 75_000, 90_000)},
)


@pytest.mark.parametrize(
    ("steps", "drops"),
    [
        (1, ()),
        (2, (1,)),  # 0.8, 1.5 and 1.8: the last two would be after the end
        (3, (1, 2)),
        (300, (120, 225, 270)),
        (100_000, (40_000, 75_000, 90_000)),
        (200_000, (80_000, 150_000, 180_000)),
    ],
)
def test_drops_keep_their_shares_of_a_training_of_another_length(steps, drops):
    recipe = lengthened(PUBLISHED, steps)
    assert recipe == differing(PUBLISHED, schedule={"steps": steps, "drops": drops})


def test_the_learning_rate_of_a_shorter_training_falls_as_that_of_the_whole():
    def rates(recipe):
        schedule = recipe.schedule
        return [
            learning_rate(
                int(share * schedule.steps),
                highest=1.0,
                steps=schedule.steps,
                warmup_steps=0,
                shape=schedule.shape,
                drops=schedule.drops,
            )
            for share in (0, 0.39, 0.41, 0.74, 0.76, 0.89, 0.91, 0.99)
        ]

    assert rates(lengthened(PUBLISHED, 1_000)) == rates(PUBLISHED)
    assert len(set(rates(PUBLISHED))) == 4


def test_a_recipe_without_drops_only_gets_its_steps():
    assert lengthened(Recipe(), 5) == differing(Recipe(), schedule={"steps": 5})


@pytest.mark.parametrize("steps", [0, -3])
def test_a_training_of_no_steps_is_refused(steps):
    with pytest.raises(RecipeError, match=r"schedule\.steps"):
        lengthened(PUBLISHED, steps)


def test_only_figures_of_the_last_step_are_of_the_end():
    assert has_ended({"steps": 6, "ap50": None}, steps=6)
    assert not has_ended({"steps": 6, "ap50": 0.5}, steps=12), "of the end before it was extended"
    assert not has_ended({}, steps=6)
