"""The part of `scratchdet check` that looks ahead: what it prints, and what a script gets."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from scratchdet.analysis.expectations import ClassAmount, Expectations, Place
from scratchdet.cli import main
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
        places=(
            Place("cells (3 classes)", "AP50 0.41", "fewer than any we measured (500)", 0.41, None),
        ),
    ),
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
        "what so much gave elsewhere (measured on the data named, other data may be easier or "
        "harder):",
        "  cells (3 classes)",
        "    as many images: AP50 0.41; as many objects: fewer than any we measured (500)",
        "recommended, beside what was set here: scratchdet train 'my data' --recipe small_data "
        "--data.repeat-below 0.1",
        "  --recipe small_data: 200 training images, cpu (fast)",
        "  --data.repeat-below 0.1: rare",
        "  hold out whole videos",
        "time: about 12 min for 1200 steps (10 min to 15 min), by 4 steps on cpu (fast)",
    ]


def test_without_curves_nothing_is_said_of_them():
    alone = replace(FOUND, expected=replace(FOUND.expected, places=()))
    assert not [line for line in said(alone) if "gave elsewhere" in line]


def test_a_single_step_is_said_to_be_a_hint():
    coarse = replace(FOUND, time=replace(FOUND.time, steps_timed=(2.0,)))
    assert said(coarse)[-2].endswith("by 1 step on cpu (fast)")
    assert "no more than a hint" in said(coarse)[-1]


def test_the_json_holds_no_nan():
    json.dumps(FOUND.to_json(), allow_nan=False)


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
