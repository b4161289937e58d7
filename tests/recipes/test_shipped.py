"""Every value of a shipped recipe has a source, and every source a value."""

from dataclasses import fields

import pytest

from scratchdet.recipe import Recipe
from scratchdet.recipes import RECIPES
from scratchdet.recipes.shipped import DEFAULT, DataSet, Shipped, derived, said_by

each = pytest.mark.parametrize("name", RECIPES)


def values_of(recipe):
    return {
        f"{group.name}.{entry.name}": getattr(getattr(recipe, group.name), entry.name)
        for group in fields(recipe)
        for entry in fields(getattr(recipe, group.name))
    }


@each
def test_every_value_that_is_not_the_default_has_a_source(name):
    shipped, defaults = RECIPES[name], values_of(Recipe())
    differs = {key for key, value in values_of(shipped.recipe).items() if value != defaults[key]}
    assert differs <= set(shipped.sources)
    assert all(shipped.source(key) not in ("", DEFAULT) for key in differs)


@each
def test_no_source_is_left_over_and_the_rest_is_said_to_be_a_default(name):
    shipped = RECIPES[name]
    values = values_of(shipped.recipe)
    assert set(shipped.sources) <= set(values)
    for key in set(values) - set(shipped.sources):
        assert shipped.source(key) == DEFAULT
        assert values[key] == values_of(Recipe())[key]


def test_a_value_and_its_source_are_replaced_together_and_the_base_is_left_as_it_is():
    base = derived(
        Shipped(),
        what="Base.",
        notes="N.",
        flags="--x",
        reported=True,
        values=[said_by("A", optim={"lr": 0.5, "momentum": 0.8}, data={"batch": 3})],
    )
    data = DataSet(name="D", values=(said_by("D", data={"batch": 5, "split": "a"}),))
    own = said_by("B", optim={"lr": 0.25}, data={"split": "b"})
    other = derived(base, what="Other.", data=data, values=[own])
    assert base.sources == {"optim.lr": "A", "optim.momentum": "A", "data.batch": "A"}
    assert (base.recipe.optim.lr, base.recipe.data.batch) == (0.5, 3)
    assert (other.recipe.optim.lr, other.recipe.optim.momentum) == (0.25, 0.8)
    assert (other.recipe.data.batch, other.recipe.data.split) == (5, "b")
    assert (other.source("optim.momentum"), other.source("data.split")) == ("A", "B")
    assert (other.source("optim.lr"), other.source("data.batch")) == ("B", "D")
    assert (other.what, other.notes, other.flags, other.reported) == ("Other.", "", "", False)
    assert derived(other, what="").data is data


def test_what_is_no_setting_is_refused():
    with pytest.raises(TypeError, match="speed"):
        derived(Shipped(), what="", values=[said_by("A", optim={"speed": 1})])
