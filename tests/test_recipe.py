"""Recipes as TOML: complete, strict, and equal after a round trip."""

import ast
import inspect
import math
import typing
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from itertools import zip_longest

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scratchdet.recipe
from scratchdet.recipe import Recipe, RecipeError, ScalesRecipe, ScheduleRecipe, differing
from scratchdet.recipe_toml import from_toml, save_recipe, to_toml

SHARES = {"ema", "momentum", "hold_out", "match_iou", "mosaic", "copy_paste", "bad_images"}
LARGER_THAN_ZERO = {
    "accumulate",
    "lr",
    "steps",
    "log_every",
    "input_size",
    "negatives_per_positive",
    "hold_out",
    "match_iou",
}
GROUPS = [group.name for group in fields(Recipe)]


def read(text, bases=None):
    return from_toml(text, source="mine.toml", bases=bases or {})


def values_for(hint, name):
    """Any value that a field of this annotation takes."""
    if typing.get_origin(hint) is typing.Literal:
        return st.sampled_from(typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        kind, last = typing.get_args(hint)
        values = values_for(kind, name)
        return st.lists(values).map(tuple) if last is Ellipsis else st.tuples(values, values)
    if typing.get_origin(hint) is dict:
        kind, value = typing.get_args(hint)
        return st.dictionaries(values_for(kind, name), values_for(value, name))
    if hint is str:
        return st.text()
    if hint is bool:
        return st.booleans()
    if hint is int:
        return st.integers(1 if name in LARGER_THAN_ZERO else 0, 2**62)
    smallest = 5e-324 if name in LARGER_THAN_ZERO else 0
    if name in SHARES:
        return st.floats(smallest, 1, exclude_max=True)
    return st.floats(smallest, allow_nan=False, allow_infinity=False)


@st.composite
def scales(draw):
    """Scales, with the sizes that are taken from each."""
    sizes = st.lists(st.floats(0, 1), min_size=2, max_size=2, unique=True).map(sorted)
    each = draw(st.lists(st.tuples(st.floats(5e-324, 1e308), sizes), min_size=1))
    return ScalesRecipe(
        scales=tuple(scale for scale, _ in each),
        smallest=tuple(smallest for _, (smallest, _) in each),
        largest=tuple(largest for _, (_, largest) in each),
        flip=draw(st.booleans()),
        merge=draw(values_for(typing.get_type_hints(ScalesRecipe)["merge"], "merge")),
        merge_iou=draw(st.floats(5e-324, 1)),
    )


@st.composite
def schedules(draw):
    """Schedules, with the lengths that they had before they were extended."""
    hints = typing.get_type_hints(ScheduleRecipe)
    lengths = draw(st.sets(st.integers(1, 2**62), min_size=1).map(sorted))
    values = {name: draw(values_for(hint, name)) for name, hint in hints.items()}
    return ScheduleRecipe(**values | {"steps": lengths[-1], "extended_at": tuple(lengths[:-1])})


def groups(kind):
    if kind is ScalesRecipe:
        return scales()
    if kind is ScheduleRecipe:
        return schedules()
    hints = typing.get_type_hints(kind)
    if not all(map(is_dataclass, hints.values())):
        return st.builds(kind, **{name: values_for(hint, name) for name, hint in hints.items()})
    return st.builds(kind, **{name: groups(hint) for name, hint in hints.items()})


def test_nothing_is_the_default_recipe():
    assert read("") == Recipe()


@settings(deadline=None, max_examples=50)
@given(recipe=groups(Recipe))
def test_a_recipe_comes_back_from_toml_as_it_was(recipe):
    assert read(to_toml(recipe)) == recipe


def test_a_recipe_of_before_there_were_several_scales_has_the_default_ones():
    text = to_toml(Recipe())
    older = text[: text.index("[testing]")]
    assert "[run]" in older
    assert read(older).testing == ScalesRecipe()


def test_a_saved_recipe_states_every_value_and_can_be_read(tmp_path):
    recipe = differing(Recipe(), data={"path": "Daten/ä\r\n"}, schedule={"drops": (10, 20)})
    save_recipe(recipe, tmp_path / "recipe.toml")
    text = (tmp_path / "recipe.toml").read_text(encoding="utf-8")
    assert read(text) == recipe
    for group in GROUPS:
        assert f"[{group}]" in text
        for entry in fields(getattr(recipe, group)):
            assert f"\n{entry.name} = " in text or f"\n[{group}.{entry.name}]\n" in text


def test_every_setting_is_followed_by_what_it_is_for():
    # The help of the command line shows these lines.
    module = ast.parse(inspect.getsource(scratchdet.recipe))
    for group in (node for node in module.body if isinstance(node, ast.ClassDef)):
        for entry, following in zip_longest(group.body, group.body[1:]):
            if isinstance(entry, ast.AnnAssign) and group.name != "Recipe":
                said = isinstance(following, ast.Expr) and ast.literal_eval(following.value)
                assert said, f"{group.name}.{entry.target.id}"
        assert ast.get_docstring(group), group.name


def test_a_recipe_differs_from_its_base_in_what_it_says():
    base = differing(Recipe(), optim={"lr": 0.5, "momentum": 0.1}, data={"batch": 7})
    recipe = read('base = "mine"\n[optim]\nlr = 0.25', {"mine": base})
    assert recipe == differing(base, optim={"lr": 0.25})


def test_choices_of_a_network_are_a_table_that_replaces_that_of_the_base():
    base = differing(Recipe(), model={"choices": {"stem": "root"}})
    recipe = read('base = "mine"\n[model.choices]\nvariant = "caffe"', {"mine": base})
    assert recipe.model.choices == {"variant": "caffe"}
    assert read('base = "mine"', {"mine": base}).model.choices == {"stem": "root"}


def test_without_a_base_the_defaults_hold():
    assert read("[optim]\nlr = 0.25", {"mine": differing(Recipe(), data={"batch": 7})}) == (
        differing(Recipe(), optim={"lr": 0.25})
    )


def test_whole_numbers_are_taken_for_fractions():
    lr = read("[optim]\nlr = 1").optim.lr
    assert lr == 1.0
    assert type(lr) is float


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[optim", "not TOML"),
        ('base = "yours"', r"base 'yours' is not known; there are mine"),
        ("base = 3", r"base 3 is not known; there are mine"),
        ('base = ["mine"]', r"base \['mine'\] is not known; there are mine"),
        ("[optimiser]\nlr = 1", r"optimiser is not a setting; there are model, data, optim"),
        ("[optim]\nrate = 1", r"optim\.rate is not a setting; there are lr, reference_batch"),
        ("lr = 1", r"lr is not a setting; there are model, data"),
        ("optim = 1", r"optim is a group: write \[optim\]"),
        ("[optim.lr]\nx = 1", r"optim\.lr is \{'x': 1\}; it must be of type float"),
        ("[data]\nbatch = 2.0", r"data\.batch is 2\.0; it must be of type int"),
        ("[data]\nbatch = true", r"data\.batch is True; it must be of type int"),
        ("[optim]\nlr = true", r"optim\.lr is True; it must be of type float"),
        ("[optim]\nlr = '0.1'", r"optim\.lr is '0\.1'; it must be of type float"),
        ("[run]\nchannels_last = 1", r"run\.channels_last is 1; it must be of type bool"),
        ("[data]\npath = 1", r"data\.path is 1; it must be of type str"),
        (
            "[model]\nnorm_head = 'layer'",
            r"model\.norm_head is 'layer'; choose from 'auto', 'batch', 'sync_batch'",
        ),
        ("[model]\nnorm_head = ['batch']", r"choose from 'auto', 'batch', 'sync_batch'"),
        ("[model]\nchoices = 'caffe'", r"model\.choices is 'caffe'; write \[model\.choices\] and"),
        ("[model.choices]\nvariant = 1", r"model\.choices\.variant is 1; it must be of type str"),
        ("[model]\ninput_size = 300", r"model\.input_size is 300; it must be a list"),
        ("[model]\ninput_size = [300]", r"model\.input_size has 1 values; it must have 2"),
        ("[model]\ninput_size = [300, 1.5]", r"model\.input_size is 1\.5; it must be of type int"),
        ("[schedule]\ndrops = [1, true]", r"schedule\.drops is True; it must be of type int"),
        ("[schedule]\nsteps = 0", r"schedule\.steps is 0; it must be larger than 0"),
        ("[model]\ninput_size = [300, 0]", r"model\.input_size is 0; it must be larger than 0"),
        ("[optim]\nlr = -0.1", r"optim\.lr is -0\.1; it must be larger than 0"),
        ("[optim]\nlr = nan", r"optim\.lr is nan; it must be larger than 0"),
        ("[optim]\nema = 1.0", r"optim\.ema is 1\.0; it must be from 0 to less than 1"),
        ("[testing]\nmerge_iou = 0", r"testing\.merge_iou is 0\.0; it must be in \(0, 1\]"),
        (
            "[testing]\nscales = [1]",
            r"scales has 1 values, testing\.smallest 3 and",
        ),
        ("[testing]\nscales = []\nsmallest = []\nlargest = []", r"and one at least"),
        ("[testing]\nscales = [1, 2, 0]", r"testing\.scales has 0\.0; it must be larger than 0"),
        ("[testing]\nscales = [1, 2, inf]", r"testing\.scales has inf; it must be"),
        (
            "[testing]\nsmallest = [0, 0.5, 0]\nlargest = [1, 0.5, 1]",
            r"testing takes objects of 0\.5 to 0\.5 at the scale 1\.0; it must be from 0 to 1",
        ),
        ("[testing]\nlargest = [1, 1, 1.5]", r"objects of 0\.0 to 1\.5 at the scale 1\.15"),
        ("[testing]\nsmallest = [0, nan, 0]", r"objects of nan to 1\.0 at the scale 1\.0"),
    ],
)
def test_what_is_wrong_is_said_with_what_is_allowed(text, expected):
    with pytest.raises(RecipeError, match=expected) as raised:
        read(text, {"mine": Recipe()})
    assert str(raised.value).startswith("mine.toml")


def test_a_value_out_of_range_is_refused_from_python_too():
    with pytest.raises(RecipeError, match=r"data\.batch is -1"):
        differing(Recipe(), data={"batch": -1})
    with pytest.raises(RecipeError, match=r"optim\.ema is nan"):
        differing(Recipe(), optim={"ema": math.nan})


def test_differing_replaces_and_leaves_the_original():
    recipe = Recipe()
    other = differing(recipe, optim={"lr": 0.25}, run={"seed": 3})
    assert (other.optim.lr, other.run.seed) == (0.25, 3)
    assert other == replace(
        recipe, optim=replace(recipe.optim, lr=0.25), run=replace(recipe.run, seed=3)
    )
    assert recipe == Recipe()
    assert differing(recipe) == recipe


def test_recipes_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Recipe().optim.lr = 1.0
