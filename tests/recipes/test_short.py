"""Recipes as people write them: the base, and what differs."""

import pytest

from scratchdet.recipe import Recipe, differing
from scratchdet.recipe_toml import from_toml
from scratchdet.recipes import RECIPES, load_recipe
from scratchdet.recipes.short import differences, short_toml

BASES = {name: shipped.recipe for name, shipped in RECIPES.items()}


@pytest.mark.parametrize("name", RECIPES)
def test_what_differs_from_a_shipped_recipe_is_all_that_is_written(name):
    recipe = differing(load_recipe(name), optim={"lr": 0.123}, model={"prior_scales": (0.5, 1.0)})
    text = short_toml(recipe)
    assert from_toml(text, source="x", bases=BASES) == recipe
    assert text.count("=") == 3
    assert "lr = 0.123" in text


def test_a_shipped_recipe_is_its_name():
    assert short_toml(load_recipe("dsod300_voc0712")) == 'base = "dsod300_voc0712"\n'


def test_a_recipe_like_none_that_is_shipped_reads_back_the_same():
    recipe = differing(Recipe(), data={"batch": 7, "split": "train"}, model={"choices": {"a": "b"}})
    assert from_toml(short_toml(recipe), source="x", bases=BASES) == recipe


def test_the_data_are_given_on_the_command_line():
    recipe = differing(load_recipe("nano"), data={"path": "/somewhere", "split": "mine"})
    assert differences(recipe, load_recipe("nano")) == {"data": {"split": "mine"}}
    assert "somewhere" not in short_toml(recipe)
