"""The shipped recipes."""

import inspect
from dataclasses import fields

import pytest
import torch

from scratchdet.data.augment import PRESETS
from scratchdet.models.zoo import create_model
from scratchdet.recipe import Recipe, RecipeError
from scratchdet.recipe_toml import from_toml, to_toml
from scratchdet.recipes import (
    FEW_IMAGES,
    MANY_IMAGES,
    RECIPES,
    choose_recipe,
    list_recipes,
    load_recipe,
)

each = pytest.mark.parametrize("name", RECIPES)


@each
def test_a_recipe_is_called_like_its_function_and_says_what_it_is(name):
    make = RECIPES[name]
    assert make.__name__ == name
    assert inspect.getdoc(make)
    assert load_recipe(name) == make()


@each
def test_a_recipe_is_complete_in_toml_and_reads_back_the_same(name):
    text = to_toml(RECIPES[name]())
    assert from_toml(text, source=name, bases={}) == RECIPES[name]()
    for group in fields(Recipe):
        assert f"[{group.name}]" in text


@each
def test_the_model_of_a_recipe_can_be_built_at_its_size(name):
    recipe = RECIPES[name]().model
    with torch.device("meta"):
        detector = create_model(
            recipe.name,
            3,
            input_size=recipe.input_size,
            norm_backbone=recipe.norm_backbone,
            norm_head=recipe.norm_head,
        )
    assert detector.input_size == recipe.input_size


@each
def test_the_augmentation_of_a_recipe_exists(name):
    assert RECIPES[name]().data.augment in PRESETS


@each
def test_the_schedule_of_a_recipe_makes_sense(name):
    schedule = RECIPES[name]().schedule
    assert 0 <= schedule.warmup_steps < schedule.steps
    assert list(schedule.drops) == sorted(schedule.drops)
    assert all(schedule.warmup_steps < drop < schedule.steps for drop in schedule.drops)
    assert bool(schedule.drops) == (schedule.shape == "drops")


@each
def test_a_recipe_leaves_data_and_machine_open(name):
    recipe = RECIPES[name]()
    assert (recipe.data.path, recipe.run.device, recipe.data.workers) == ("", "auto", -1)


def test_recipes_are_listed():
    assert list_recipes() == list(RECIPES)


@each
def test_a_file_may_say_only_what_differs(tmp_path, name):
    file = tmp_path / "mine.toml"
    file.write_text(f'base = "{name}"\n[optim]\nlr = 0.003\n')
    recipe = load_recipe(file)
    assert recipe.optim.lr == 0.003
    assert recipe.model == RECIPES[name]().model
    assert recipe.schedule == RECIPES[name]().schedule


def test_what_is_neither_a_name_nor_a_file_is_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"neither a recipe file nor one of nano, small_data"):
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
        (MANY_IMAGES, True, "scratchdet300_r34"),
    ],
)
def test_the_recipe_is_chosen_by_data_size_and_device(images, gpu, chosen):
    assert choose_recipe(images, gpu=gpu) == chosen
    assert chosen in RECIPES
