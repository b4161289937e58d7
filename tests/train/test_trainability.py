"""The part of `scratchdet check` that looks ahead: what it prints, and what a script gets."""

import io
import json
import shlex
from dataclasses import replace

import pytest
import tyro
from rich.console import Console

from scratchdet.analysis.expectations import ClassAmount, Expectations
from scratchdet.analysis.learning_curves import Elsewhere
from scratchdet.cli import main
from scratchdet.cli_arguments import choices_registry, in_full
from scratchdet.cli_train import TrainCommand
from scratchdet.data.voc_write import write_voc
from scratchdet.train.advice import Advice
from scratchdet.train.time_estimate import TimeEstimate
from scratchdet.train.trainability import Trainability, show_trainability

FOUND = Trainability(
    recipe="small_data",
    expected=Expectations(
        images=200,
        empty=3,
        input_size=(240, 320),
        classes={
            "cat": ClassAmount(300, 150, 0.1),
            "dog": ClassAmount(30, 25, 0.5),
            "cow": ClassAmount(0, 0, float("nan")),
        },
        validation_objects=12,
        places=(),
    ),
    given={"--batch": "--batch 4"},
    elsewhere=(Elsewhere("cells", 205, 0.911), Elsewhere("debris", 436, 0.217)),
    advice=(Advice("--data.repeat-below 0.1", "rare"), Advice("", "hold out whole videos")),
    time=TimeEstimate(
        device="cpu (fast)",
        steps_timed=(0.5, 0.5, 0.7, 0.9),
        steps=1200,
        seconds_an_image=0.0,
        images=0,
    ),
)


def said(found, data="my data"):
    console = Console(file=io.StringIO(), width=200)
    show_trainability(console, found, data=data)
    return console.file.getvalue().splitlines()


def test_amounts_places_advice_and_time_are_printed():
    assert said(FOUND) == [
        "to learn from: 200 images, 3 of them without objects, 330 objects",
        "  under 8 pixels at 240 x 320: 13.6% of the objects (dog 50%, cat 10%)",
        "  rarest class: dog, 30 objects; the commonest has 10 times as many",
        "about as many images of other data gave AP50 0.22 to 0.91, one training each: no "
        "forecast, what they show decides more than how many they are",
        "  205 images of cells: 0.91",
        "  436 images of debris: 0.22",
        "recommended: scratchdet train 'my data' --recipe small_data --batch 4 "
        "--data.repeat-below 0.1",
        "  --recipe small_data: 200 training images, cpu (fast)",
        "  --batch 4: as set here",
        "  --data.repeat-below 0.1: rare",
        "  hold out whole videos",
        "time: about 12 min for 1200 steps (10 min to 15 min), by 4 steps on cpu (fast)",
    ]


def test_without_trainings_of_like_size_nothing_is_said_of_them():
    alone = replace(FOUND, elsewhere=())
    assert not [line for line in said(alone) if "other data" in line]


def test_advice_does_not_change_what_was_set():
    kept = replace(FOUND, given={"--data.repeat-below": "--data.repeat-below 0.01"})
    lines = said(kept)
    command = next(line for line in lines if line.startswith("recommended"))
    assert command.endswith("--recipe small_data --data.repeat-below 0.01")
    assert "  not in it, as it is set here: --data.repeat-below 0.1: rare" in lines


@pytest.mark.parametrize("steps", [(1.0, 3.0), (2.0,)])
def test_of_fewer_than_three_steps_no_spread_is_told(steps):
    few = replace(FOUND, time=replace(FOUND.time, steps_timed=steps))
    (line,) = [line for line in said(few) if line.startswith("time")]
    assert line.startswith("time: about 40 min for 1200 steps, by ")


def test_a_single_step_is_said_to_be_a_hint():
    coarse = replace(FOUND, time=replace(FOUND.time, steps_timed=(2.0,)))
    assert said(coarse)[-2].endswith("by 1 step on cpu (fast)")
    assert "no more than a hint" in said(coarse)[-1]


def test_a_part_of_a_batch_that_was_timed_is_said_to_be_one():
    part = replace(FOUND, time=replace(FOUND.time, part=0.125))
    assert said(part)[-1] == "  of 0.12 of a batch: a whole one takes longer than was allowed"


def test_the_json_holds_no_nan():
    assert json.loads(json.dumps(FOUND.to_json(), allow_nan=False))["recipe"] == FOUND.recipe


def checked(data, *flags, capsys):
    small = ["--model.input-size", "64", "64", "--batch", "4", "--data.workers", "0"]
    status = main(["check", str(data), *small, "--device", "cpu", "--run.threads", "1", *flags])
    return status, capsys.readouterr().out


def test_check_looks_ahead_and_a_preflight_without_time_does_not_fail(scenes, tmp_path, capsys):
    data = write_voc(tmp_path / "voc", {"train": scenes(8)}, classes=("a", "b"))
    status, out = checked(
        data,
        "--preflight",
        "--seconds",
        "0",
        "--json",
        "--out",
        str(tmp_path / "out"),
        capsys=capsys,
    )
    found = json.loads(out)
    assert found["trainability"]["recipe"] == "small_data"
    assert found["trainability"]["expected"]["images"] == 7  # one is held out
    assert found["trainability"]["time"]["seconds"] > 0
    assert found["preflight"]["verdict"] == "unfinished"
    assert (tmp_path / "out" / "range_test.png").exists()
    assert status == int(found["hygiene"]["must_be_fixed"])


@pytest.fixture
def recommended(scenes, tmp_path, capsys):
    """What `check` recommends, split as a shell does, for data of 32 pixels a side."""

    def of(*flags):
        data = write_voc(tmp_path / "voc", {"train": scenes(8)}, classes=("a", "b"))
        out = checked(data, "--device", "cpu", *flags, capsys=capsys)[1]
        (line,) = [line for line in out.splitlines() if line.startswith("recommended: ")]
        return shlex.split(line.removeprefix("recommended: scratchdet train")), out

    return of


def test_the_recommended_command_is_the_training_that_was_checked(recommended):
    """Read by the command line, it gives the settings that were set."""
    arguments, out = recommended("--data.repeat-below", "0.02", "--run.no-channels-last")
    parsed = tyro.cli(TrainCommand, args=in_full(arguments), registry=choices_registry())
    assert parsed.recipe == "small_data"
    assert parsed.settings.data.repeat_below == 0.02
    assert (parsed.settings.data.batch, parsed.settings.data.workers) == (4, 0)
    assert parsed.settings.model.input_size == (64, 64)
    assert not parsed.settings.run.channels_last
    assert "timing steps of a training, about 10 s" in out
    assert "decoding 8 images of train" in out


@pytest.mark.slow
def test_a_preflight_that_fails_is_exit_status_one(scenes, tmp_path, capsys):
    samples = [(f"{number:03d}", scene) for number, (_, scene) in enumerate(scenes(40))]
    boxes = [scene.boxes for _, scene in samples]
    shuffled = [
        (name, replace(scene, boxes=other))
        for (name, scene), other in zip(samples, boxes[1:] + boxes[:1], strict=True)
    ]
    data = write_voc(tmp_path / "voc", {"train": shuffled}, classes=("a", "b"))
    status, out = checked(data, "--preflight", "--seconds", "900", "--batch", "8", capsys=capsys)
    assert "preflight failed" in out
    assert "do they belong together?" in out
    assert status == 1
