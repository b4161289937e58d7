"""A run that is extended: its learning rate, that it can be stopped, and what is refused."""

import io
import json
import os
import shutil
import signal

import pytest
import torch
from rich.console import Console
from safetensors import safe_open
from safetensors.torch import load_file

from scratchdet.cli import main
from scratchdet.cli_extend import without_extension
from scratchdet.data.voc_write import write_voc
from scratchdet.recipe import Recipe, RecipeError, differing
from scratchdet.recipes import load_recipe
from scratchdet.train import loop
from scratchdet.train.extending import describe_extension, extended
from scratchdet.train.log import read_log
from scratchdet.train.resuming import is_finished
from scratchdet.train.setup import make_schedule


@pytest.fixture(scope="module")
def finished(tmp_path_factory, scenes, tiny):
    """A run of six steps."""
    root = tmp_path_factory.mktemp("finished")
    everything = scenes(14, empty={3})
    splits = {"train": everything[:12], "val": everything[12:]}
    data = write_voc(root / "voc", splits, classes=("a", "b"))
    recipe = differing(tiny, data={"path": str(data)})
    return train(recipe, root / "run")[0]


@pytest.fixture(scope="module")
def longer(finished, tmp_path_factory):
    """The same, extended by four steps, and what was said."""
    run = shutil.copytree(finished, tmp_path_factory.mktemp("longer") / "run")
    return extend(run, 4)


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def train(recipe, run_dir, *, resume=False):
    """The run, and what was said."""
    said = io.StringIO()
    console = Console(file=said, width=300)
    return loop.train(recipe, run_dir=run_dir, resume=resume, console=console), said.getvalue()


def extend(run, more):
    recipe = extended(load_recipe(run / "recipe.toml"), more, run_dir=run)
    return train(recipe, run, resume=True)


def stop_after(monkeypatch, step):
    """Sends this process SIGTERM while the step (from 1) after the resume is computed."""
    train_step, calls = loop.train_step, []

    def interrupted_step(*arguments, **named):
        calls.append(1)
        if len(calls) == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return train_step(*arguments, **named)

    monkeypatch.setattr(loop, "train_step", interrupted_step)


def timeless(run):
    records = read_log(run / "log.jsonl")
    return [{k: v for k, v in record.items() if k != "images_per_second"} for record in records]


def assert_same_weights(run, other, names=("last/checkpoint", "last/model", "best/model")):
    for name in names:
        ours, theirs = (load_file(folder / f"{name}.safetensors") for folder in (run, other))
        assert ours.keys() == theirs.keys()
        assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []


def progress(run):
    with safe_open(run / "last" / "checkpoint.safetensors", framework="pt") as stored:
        return json.loads(stored.metadata()["progress"])


def test_a_finished_run_goes_on_with_everything_it_has(finished, longer):
    run, said = longer
    assert "resumed at step 6" in said
    assert "extended from 6 to 10 steps: there the learning rate goes from" in said
    assert "NOTE: the learning rate is from here on" not in said
    recipe = load_recipe(run / "recipe.toml")
    assert (recipe.schedule.steps, recipe.schedule.extended_at) == (10, (6,))
    assert load_recipe(run / "recipe_until_6.toml").schedule.extended_at == ()
    before, records = timeless(finished), timeless(run)
    assert records[: len(before)] == before
    rates = [record["lr"] for record in records if "loss" in record]
    assert rates == [make_schedule(recipe)(step) for step in range(10)]
    assert is_finished(run, 10)
    found = [r["evaluation"]["ap50"] for r in records if "evaluation" in r]
    assert len(found) == 5
    assert progress(run)["best"] == max(found)


def test_an_extension_that_is_stopped_equals_one_that_was_not(longer, run, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(loop.Interrupted, match="after step 8 of 10"):
            extend(run, 4)
    train(load_recipe(run / "recipe.toml"), run, resume=True)
    assert_same_weights(run, longer[0])
    assert timeless(run) == timeless(longer[0])


def test_the_recipe_of_an_extended_run_repeats_it(longer, tmp_path):
    again, _ = train(load_recipe(longer[0] / "recipe.toml"), tmp_path / "again")
    assert_same_weights(longer[0], again, names=("last/checkpoint", "last/model"))


def test_a_run_can_be_extended_again_when_it_is_finished(longer):
    recipe = load_recipe(longer[0] / "recipe.toml")
    twice = extended(recipe, 2, run_dir=longer[0])
    changed = {"steps": 12, "extended_at": (6, 10)}
    assert twice == differing(recipe, schedule=changed)


def test_the_same_command_given_again_does_not_lengthen_an_extension(longer, tmp_path):
    run = shutil.copytree(longer[0], tmp_path / "run")
    (run / "metrics.json").unlink()  # as while it is in its extension
    recipe = load_recipe(run / "recipe.toml")
    with pytest.raises(RecipeError, match=r"was extended to 10 steps and has not done them: go on"):
        extended(recipe, 4, run_dir=run)


@pytest.mark.slow
def test_the_recipe_of_a_run_that_was_extended_twice_repeats_it(longer, tmp_path):
    run = shutil.copytree(longer[0], tmp_path / "run")
    extend(run, 2)
    again, _ = train(load_recipe(run / "recipe.toml"), tmp_path / "again")
    assert_same_weights(run, again, names=("last/checkpoint", "last/model"))


@pytest.mark.slow
def test_a_run_that_is_not_finished_does_its_own_steps_first(
    finished, longer, tmp_path, monkeypatch
):
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(loop.Interrupted):
            train(load_recipe(finished / "recipe.toml"), run)
    extend(run, 4)
    assert_same_weights(run, longer[0])


def test_the_line_says_what_drops_do():
    drops = differing(
        Recipe(),
        schedule={
            "shape": "drops",
            "steps": 200,
            "warmup_steps": 0,
            "drops": (60, 80),
            "extended_at": (100,),
        },
    )
    assert describe_extension(drops) == (
        "extended from 100 to 200 steps: there the learning rate goes from 0.0005 to 0.05 in 5 "
        "steps and drops at 120, 160"
    )
    short = differing(drops, schedule={"steps": 110})
    assert describe_extension(short) == (
        "extended from 100 to 110 steps: there the learning rate goes from 0.0005 to 0.0005 in 0 "
        "steps and stays there"
    )


def test_the_line_says_what_a_cosine_does():
    recipe = differing(Recipe(), schedule={"steps": 200, "warmup_steps": 0, "extended_at": (100,)})
    assert describe_extension(recipe) == (
        "extended from 100 to 200 steps: there the learning rate goes from 1.23e-05 to 0.025 in 5 "
        "steps and falls to zero as half a cosine"
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["DATA", "--extend", "4"], "say which, with --resume"),
        (["--resume", "RUN", "--extend", "0"], "--extend 0: a run goes on for 1 step or more"),
        (["--resume", "RUN", "--extend=-3"], "--extend -3: a run"),
        (["--resume", "RUN", "--extend", "4", "--steps", "9"], "give one of them"),
        (["--resume", "RUN", "--extend", "4", "--schedule.extended-at", "3"], "give one of them"),
        (["--resume", "NOWHERE", "--extend", "4"], "no run to resume at NOWHERE"),
    ],
)
def test_nonsense_is_refused_in_words(run, capsys, arguments, reason):
    given = [str(run) if argument == "RUN" else argument for argument in arguments]
    assert main(["train", *given]) == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("ends", [(0,), (5, 5), (7, 5), (10,), (11,)])
def test_a_recipe_whose_extensions_do_not_rise_is_refused(ends):
    with pytest.raises(RecipeError, match=r"extended_at is .*must rise, from more than 0 to less"):
        differing(Recipe(), schedule={"steps": 10, "extended_at": ends})


@pytest.mark.parametrize("flag", [["--extend", "4"], ["--extend=4"]])
def test_processes_that_are_started_again_do_not_extend_once_more(flag):
    schedule = differing(Recipe(), schedule={"steps": 10, "extended_at": (3, 6)}).schedule
    assert without_extension(["--resume", "r", *flag, "--devices", "2"], schedule) == [
        *("--resume", "r", "--devices", "2"),
        *("--schedule.steps", "10", "--schedule.extended-at", "3", "6"),
    ]
    assert without_extension(["DATA"], schedule) == ["DATA"]


def test_the_command_line_extends(run, monkeypatch, capsys):
    asked_for = []
    monkeypatch.setattr(
        loop, "train", lambda recipe, **named: asked_for.append((recipe, named["resume"]))
    )
    assert main(["train", "--resume", str(run), "--extend", "4", "--lr", "0.01"]) == 0
    before = load_recipe(run / "recipe.toml")
    changed = {"schedule": {"steps": 10, "extended_at": (6,)}, "optim": {"lr": 0.01}}
    assert asked_for == [(differing(before, **changed), True)]
