"""The flags of `scratchdet train` for networks, their choices, and fine-tuning."""

import pytest

from scratchdet.cli import main
from scratchdet.data.voc_write import write_voc
from scratchdet.models.saved import load_model, save_model
from scratchdet.models.zoo import create_model
from scratchdet.recipe import differing
from scratchdet.recipe_toml import save_recipe
from scratchdet.recipes import RECIPES, load_recipe
from scratchdet.train import loop


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


@pytest.fixture
def data(here, scenes):
    return write_voc(here / "voc", {"train": scenes(3)}, classes=("a", "b"))


@pytest.fixture
def parent(here):
    """A model that differs from every recipe in its network."""
    file = here / "parent.safetensors"
    choices = {"norm_head": "group", "variant": "caffe", "input_size": (64, 96)}
    save_model(create_model("scratchdet300_r18", classes=["b"], **choices), file)
    return file


@pytest.fixture
def asked_for(monkeypatch):
    """The recipes that a training was asked for; none is begun."""
    recipes = []

    def note(recipe, **named):
        recipes.append(recipe)
        raise RuntimeError("seen enough")

    monkeypatch.setattr(loop, "train", note)
    return recipes


def call(*arguments: object) -> int:
    try:
        return main(["train", *map(str, arguments)])
    except SystemExit as end:
        return int(end.code or 0)


FINE_TUNING = [name for name, shipped in RECIPES.items() if shipped.flags]


@pytest.mark.parametrize("name", FINE_TUNING)
def test_a_recipe_for_fine_tuning_is_refused_without_a_model_to_begin_with(
    data, parent, asked_for, capsys, name
):
    assert call(data, "--recipe", name) == 2
    assert "goes on from a trained model: give it, --init runs/COCO" in capsys.readouterr().err
    assert not asked_for
    assert call(data, "--recipe", name, "--init", parent) == 1
    assert asked_for[0].model.init == str(parent)


def test_a_network_and_its_choices_are_said_in_short(data, asked_for):
    flags = ["--model", "ssd300_resnet18", "--model.choices", "stem=7x7/2", "x=a=b"]
    assert call(data, "--recipe", "nano", *flags, "--lr", "0.5") == 1
    expected = {"name": "ssd300_resnet18", "choices": {"stem": "7x7/2", "x": "a=b"}}
    optim = {"lr": 0.5, "reference_batch": 0}
    assert asked_for == [differing(load_recipe("nano"), model=expected, optim=optim)]


def test_choices_of_a_recipe_stay_are_replaced_and_are_taken_back(data, here, asked_for, tiny):
    save_recipe(differing(tiny, model={"choices": {"stem": "root"}}), here / "mine.toml")
    for flags in ([], ["--model.choices", "variant=caffe"], ["--model.choices"]):
        assert call(data, "--recipe", "mine.toml", *flags) == 1
    choices = [recipe.model.choices for recipe in asked_for]
    assert choices == [{"stem": "root"}, {"variant": "caffe"}, {}]


def test_a_choice_without_a_value_is_refused(data, capsys):
    assert call(data, "--recipe", "nano", "--model.choices", "caffe") == 2
    assert "caffe is not CHOICE=VALUE" in capsys.readouterr().err


def test_init_takes_over_the_network_of_the_parent(data, parent, asked_for, capsys):
    assert call(data, "--init", parent.name, "--device", "cpu") == 1
    said = capsys.readouterr().out
    assert "recipe: small_data, for 3 images on a CPU" in said
    assert "network: that of parent.safetensors" in said
    model = {
        "name": "scratchdet300_r18",
        "norm_head": "group",
        "choices": {"variant": "caffe", "prior_sizes": "voc"},
        "input_size": (64, 96),
        "init": parent.name,
    }
    assert asked_for == [differing(load_recipe("small_data"), model=model, run={"device": "cpu"})]


def test_the_command_line_has_the_last_word_over_the_parent_s_input_size(data, parent, asked_for):
    assert call(data, "--init", parent, "--model.input-size", 128, 96) == 1
    assert asked_for[0].model.input_size == (128, 96)
    assert asked_for[0].model.name == "scratchdet300_r18"


def test_a_recipe_that_is_named_keeps_its_network(data, parent, asked_for):
    assert call(data, "--init", parent, "--recipe", "nano") == 1
    assert asked_for == [differing(load_recipe("nano"), model={"init": str(parent)})]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--recipe", "nano"], "name is 'scratchdet_nano', and 'scratchdet300_r18' there"),
        (["--model", "ssd300_vgg16"], "'ssd300_vgg16', and 'scratchdet300_r18' there"),
        (["--model.choices", "depth=3"], "model.choices.depth: scratchdet300_r18 has no such"),
        (["--resume", "runs/x"], "--resume goes on with a run; --init begins one"),
    ],
)
def test_what_contradicts_the_parent_is_refused_in_one_line(data, parent, flags, said, capsys):
    where = [] if "--resume" in flags else [data]
    assert call(*where, "--init", parent, *flags) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_model_is_fine_tuned_on_the_command_line(data, parent, here, tiny, capsys):
    flags = ["--device", "cpu", "--steps", "1", "--batch", "2", "--data.workers", "0"]
    assert call(data, "--init", parent, *flags, "--val-split", "none", "--name", "x") == 0
    said = capsys.readouterr().out
    assert "scratchdet300_r18 (variant caffe), input 64 x 96 (--model.input-size)" in said
    assert "init: parent.safetensors (scratchdet300_r18): 1 of 2 classes by name; 3 ch" in said
    assert "\n  same name: b\n  new: a\n" in said
    assert load_model(here / "runs" / "x").classes == ("a", "b")


def test_drops_move_with_the_number_of_steps_unless_they_are_given(here, data, asked_for):
    (here / "mine.toml").write_text('[schedule]\nshape = "drops"\nsteps = 100\ndrops = [40, 80]\n')
    call(data, "--recipe", "mine.toml", "--steps", "50")
    call(data, "--recipe", "mine.toml", "--steps=50", "--schedule.drops", "10")
    call(data, "--recipe", "mine.toml")
    schedules = [(recipe.schedule.steps, recipe.schedule.drops) for recipe in asked_for]
    assert schedules == [(50, (20, 40)), (50, (10,)), (100, (40, 80))]


def test_a_given_learning_rate_is_not_scaled(here, data, asked_for):
    (here / "mine.toml").write_text("[optim]\nlr = 0.05\nreference_batch = 128\n")
    call(data, "--recipe", "mine.toml", "--batch", "8")
    call(data, "--recipe", "mine.toml", "--batch", "8", "--lr", "0.01")
    call(data, "--recipe", "mine.toml", "--lr=0.01", "--optim.reference-batch", "64")
    optims = [(recipe.optim.lr, recipe.optim.reference_batch) for recipe in asked_for]
    assert optims == [(0.05, 128), (0.01, 0), (0.01, 64)]


def test_choices_given_twice_are_refused(data, asked_for, capsys):
    flags = ["--model", "ssd300_resnet18", "--model.choices", "stem=root", "--model.choices", "a=b"]
    assert call(data, *flags) == 2
    assert "give --model.choices once" in capsys.readouterr().err
    assert asked_for == []


@pytest.mark.parametrize("flags", [["--batch", "auto"], ["--batch=auto"], ["--data.batch", "0"]])
def test_a_batch_may_be_as_large_as_fits(data, asked_for, flags):
    call(data, "--recipe", "nano", *flags)
    assert [recipe.data.batch for recipe in asked_for] == [0]


def test_a_batch_that_fits_is_trained_with_and_profiled(data, here, capsys):
    flags = ["--recipe", "nano", "--batch", "auto", "--model.input-size", "64", "64"]
    settings = ["--steps", "2", "--data.workers", "0", "--run.threads", "1"]
    assert call(data, *flags, *settings, "--profile") == 0
    said = capsys.readouterr().out
    assert "batch auto: 16 images a step, as many as the recipe is for" in said
    assert "norm: BatchNorm over 16 images (16 a step)" in said
    for part in ("data", "forward", "loss", "backward", "optimiser"):
        assert f"│ {part} " in said
    assert "batch = 16" in (here / "runs/voc/recipe.toml").read_text()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--recipe", "nano"], "leave out --recipe"),
        (["--name", "other"], "leave out --name"),
    ],
)
def test_a_resumed_run_takes_no_other_recipe_or_name(here, capsys, flags, said):
    assert call("--resume", "runs/x", *flags) == 2
    assert said in capsys.readouterr().err


def test_data_beside_a_run_to_resume_is_too_much(data, capsys):
    assert call(data, "--resume", "runs/x") == 2
    assert "leave out DATA" in capsys.readouterr().err


def test_a_misspelt_recipe_is_guessed(data, capsys):
    assert call(data, "--recipe", "smal_data") == 2
    assert "did you mean small_data" in capsys.readouterr().err
