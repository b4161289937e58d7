"""The shipped recipes: complete, buildable, with data that can be found."""

from dataclasses import fields

import pytest
import torch

from scratchdet.data.augment import PRESETS
from scratchdet.models.zoo import create_model
from scratchdet.ops.priors import make_priors
from scratchdet.recipe import Recipe, RecipeError
from scratchdet.recipe_toml import from_toml, to_toml
from scratchdet.recipes import (
    FEW_IMAGES,
    GROUPS,
    MANY_IMAGES,
    RECIPES,
    choose_recipe,
    list_recipes,
    load_recipe,
)
from scratchdet.recipes.lengths import lengthened, settle

each = pytest.mark.parametrize("name", RECIPES)
OWN = list(GROUPS["Your own data"])


def test_every_recipe_has_a_name_of_its_own_that_no_file_can_have():
    assert sum(map(len, GROUPS.values())) == len(RECIPES)
    assert list_recipes() == list(RECIPES)
    assert not [name for name in RECIPES if "/" in name or name.endswith(".toml") or " " in name]


@each
def test_a_recipe_says_in_one_line_what_it_is(name):
    what = RECIPES[name].what
    assert what.endswith(".")
    assert "\n" not in what
    assert len(what) < 90
    assert sum(shipped.what == what for shipped in RECIPES.values()) == 1


@each
def test_a_recipe_is_complete_in_toml_and_reads_back_the_same(name):
    text = to_toml(load_recipe(name))
    assert from_toml(text, source=name, bases={}) == load_recipe(name) == RECIPES[name].recipe
    for group in fields(Recipe):
        assert f"[{group.name}]" in text


@each
def test_the_model_of_a_recipe_can_be_built_at_its_size(name):
    recipe = load_recipe(name).model
    with torch.device("meta"):
        detector = create_model(
            recipe.name,
            3,
            input_size=recipe.input_size,
            norm_backbone=recipe.norm_backbone,
            norm_head=recipe.norm_head,
            **recipe.choices,
        ).eval()
    assert detector.input_size == recipe.input_size
    image = torch.empty(1, 3, *recipe.input_size, device="meta")
    maps = detector.neck(detector.backbone(image))
    sizes = [(one.shape[2], one.shape[3]) for one in maps]
    assert len(make_priors(detector.specs, sizes, recipe.input_size)) > 1_000


@each
@pytest.mark.parametrize("steps", [None, 1, 300, 10**6])
def test_the_schedule_of_a_recipe_makes_sense_at_any_length(name, steps):
    recipe = load_recipe(name)
    recipe = settle(lengthened(recipe, steps or recipe.schedule.steps))
    schedule = recipe.schedule
    assert 0 <= schedule.warmup_steps < schedule.steps
    assert list(schedule.drops) == sorted(set(schedule.drops))
    assert all(0 < drop < schedule.steps for drop in schedule.drops)
    assert 0 <= recipe.optim.ema < 1
    assert recipe.data.augment in PRESETS
    if steps is None:
        assert bool(schedule.drops) == (schedule.shape == "drops")
        assert all(schedule.warmup_steps < drop for drop in schedule.drops)


@each
def test_the_learning_rate_of_a_recipe_is_for_a_stated_batch(name):
    recipe = load_recipe(name)
    assert recipe.optim.reference_batch > 0
    assert recipe.data.batch % 16 == 0


@each
def test_a_recipe_leaves_data_and_machine_open(name):
    recipe = load_recipe(name)
    assert (recipe.data.path, recipe.run.device, recipe.data.workers) == ("", "auto", -1)
    assert recipe.model.init == ""


@pytest.mark.parametrize("name", OWN)
def test_a_recipe_for_your_own_data_follows_its_length_and_takes_any_split(name):
    recipe = load_recipe(name)
    assert recipe.schedule.warmup_steps == recipe.optim.ema == -1
    assert recipe.data.augment in ("auto", "auto_no_mirror")
    assert (recipe.data.split, recipe.data.val_split) == ("", "")
    assert recipe.data.test_split == ("test" if name == "digits" else "")
    assert recipe.run.protocol == "voc"


def test_the_demo_trains_as_it_was_measured():
    # docs/results.md: 1,200 steps, a warm-up of 50, an average over 500 steps, mild_no_mirror.
    recipe = settle(load_recipe("digits"))
    assert (recipe.schedule.steps, recipe.data.batch, recipe.optim.lr) == (1_200, 16, 0.15)
    assert recipe.schedule.warmup_steps == pytest.approx(50, abs=10)
    assert 1 / (1 - recipe.optim.ema) == pytest.approx(500, abs=20)
    assert recipe.data.augment == "mild_no_mirror"
    assert (recipe.schedule.shape, recipe.optim.mining) == ("cosine", "minimum")


@each
def test_a_file_may_say_only_what_differs(tmp_path, name):
    file = tmp_path / "mine.toml"
    file.write_text(f'base = "{name}"\n[optim]\nlr = 0.003\n')
    recipe = load_recipe(file)
    assert recipe.optim.lr == 0.003
    assert recipe.model == load_recipe(name).model
    assert recipe.schedule == load_recipe(name).schedule


def test_what_is_neither_a_name_nor_a_file_is_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"neither a recipe file nor a shipped recipe"):
        load_recipe("gigantic")
    with pytest.raises(RecipeError, match="neither a recipe file"):
        load_recipe(tmp_path)


@pytest.mark.parametrize(
    ("images", "gpu", "chosen"),
    [
        (1, False, "small_data"),
        (FEW_IMAGES - 1, False, "small_data"),
        (FEW_IMAGES, False, "nano"),
        (10**6, False, "nano"),
        (1, True, "scratchdet300_small_data"),
        (MANY_IMAGES - 1, True, "scratchdet300_small_data"),
        (MANY_IMAGES, True, "default"),
        (10**6, True, "default"),
    ],
)
def test_the_recipe_is_chosen_by_data_size_and_device(images, gpu, chosen):
    assert choose_recipe(images, gpu=gpu) == chosen
    assert chosen in OWN, "others ask for the splits of VOC or COCO"
