"""A run that was stopped and resumed equals one that was not, bit for bit.

Stopped by SIGTERM and Ctrl-C in this process; by both sent to a whole process group (as a terminal,
`timeout` and batch systems do), and by SIGKILL, in a process of its own.
"""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors import safe_open
from safetensors.torch import load_file

from scratchdet.data.voc_write import write_voc
from scratchdet.recipe import differing
from scratchdet.recipe_toml import save_recipe
from scratchdet.train import loop
from scratchdet.train.log import read_log

# Trains as the recipe in the first argument says, into the second, but slowly enough to be hit.
SLOWLY = """
import sys, time
from scratchdet.recipes import load_recipe
from scratchdet.train import loop
train_step = loop.train_step
def slow_step(*arguments, **named):
    time.sleep(0.3)
    return train_step(*arguments, **named)
loop.train_step = slow_step
loop.train(load_recipe(sys.argv[1]), run_dir=sys.argv[2])
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, scenes, tiny):
    root = tmp_path_factory.mktemp("data") / "voc"
    everything = scenes(14, empty={3})
    splits = {"train": everything[:12], "val": everything[12:]}
    write_voc(root, splits, classes=("a", "b"))
    return differing(tiny, data={"path": str(root)})


def train(recipe, run_dir, *, resume=False) -> Path:
    return loop.train(recipe, run_dir=run_dir, resume=resume, console=Console(file=io.StringIO()))


def stop_after(monkeypatch, step: int, number: int) -> None:
    """Sends this process the signal while `step` (from 1) is computed."""
    train_step, calls = loop.train_step, []

    def interrupted_step(*arguments, **named):
        calls.append(1)
        if len(calls) == step:
            os.kill(os.getpid(), number)
        return train_step(*arguments, **named)

    monkeypatch.setattr(loop, "train_step", interrupted_step)


@pytest.fixture(scope="module")
def uninterrupted(recipe, tmp_path_factory):
    """The run that others must equal, by precision; made once each."""
    folder, done = tmp_path_factory.mktemp("straight"), {}

    def make(precision: str) -> Path:
        if precision not in done:
            run = differing(recipe, run={"precision": precision})
            done[precision] = train(run, folder / precision)
        return done[precision]

    return make


def timeless(records: list[dict]) -> list[dict]:
    return [
        {name: value for name, value in record.items() if name != "images_per_second"}
        for record in records
    ]


def progress(run: Path) -> dict:
    with safe_open(run / "last" / "checkpoint.safetensors", framework="pt") as stored:
        return json.loads(stored.metadata()["progress"])


def assert_equal_runs(run: Path, straight: Path) -> None:
    records = read_log(run / "log.jsonl")
    assert [record["step"] for record in records if "loss" in record] == [1, 2, 3, 4, 5, 6]
    assert timeless(records) == timeless(read_log(straight / "log.jsonl"))
    for name in ("last/checkpoint", "last/model", "best/model"):
        ours, theirs = (load_file(f / f"{name}.safetensors") for f in (run, straight))
        assert ours.keys() == theirs.keys()
        assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []
    assert {**progress(run), "seconds": 0} == {**progress(straight), "seconds": 0}


@pytest.mark.parametrize(
    ("precision", "workers", "number"),
    [
        ("fp32", 0, signal.SIGTERM),
        ("fp32", 1, signal.SIGINT),
        ("bf16", 0, signal.SIGINT),
        ("bf16", 1, signal.SIGTERM),
    ],
)
def test_a_run_stopped_by_a_signal_and_resumed_equals_one_that_was_not(
    recipe, uninterrupted, tmp_path, monkeypatch, precision, workers, number
):
    recipe = differing(recipe, run={"precision": precision}, data={"workers": workers})
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_after(patch, 3, number)
        with pytest.raises(loop.Interrupted, match="stopped and saved after step 3 of 6"):
            train(recipe, run)
    assert progress(run)["step"] == 3
    assert [r["step"] for r in read_log(run / "log.jsonl") if "loss" in r] == [1, 2, 3]
    train(recipe, run, resume=True)
    assert_equal_runs(run, uninterrupted(precision))


def test_a_run_may_be_stopped_again_and_again(recipe, uninterrupted, tmp_path, monkeypatch):
    run = tmp_path / "run"
    for _ in range(2):
        with monkeypatch.context() as patch:
            stop_after(patch, 1, signal.SIGTERM)
            with pytest.raises(loop.Interrupted):
                train(recipe, run, resume=True)
    train(recipe, run, resume=True)
    assert_equal_runs(run, uninterrupted("fp32"))


@pytest.mark.parametrize(
    "settings",
    [
        {"data": {"accumulate": 2}, "schedule": {"precise_bn": 2}},
        {"data": {"mosaic": 0.5, "copy_paste": 0.5, "repeat_below": 0.9, "cache": "off"}},
        {"data": {"mosaic": 1.0, "cache": "ram", "workers": 2}},
        {"model": {"norm_backbone": "group", "norm_head": "none"}, "run": {"precision": "fp16"}},
    ],
    ids=["parts-precise", "mixed-repeated", "mixed-cached", "group-fp16"],
)
def test_whatever_is_set_a_resumed_run_equals_one_that_was_not_stopped(
    recipe, tmp_path, monkeypatch, settings
):
    recipe = differing(recipe, **settings)
    straight = train(recipe, tmp_path / "straight")
    with monkeypatch.context() as patch:
        stop_after(patch, 3, signal.SIGTERM)
        with pytest.raises(loop.Interrupted):
            train(recipe, tmp_path / "run")
    train(recipe, tmp_path / "run", resume=True)
    assert_equal_runs(tmp_path / "run", straight)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_run_whose_whole_process_group_is_signalled_can_be_resumed(
    recipe, uninterrupted, tmp_path, number
):
    recipe = differing(recipe, data={"workers": 1}, schedule={"checkpoint_every": 2})
    save_recipe(recipe, tmp_path / "recipe.toml")
    run = tmp_path / "run"
    command = [sys.executable, "-c", SLOWLY, tmp_path / "recipe.toml", run]
    process = subprocess.Popen(
        command,
        start_new_session=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not any(record["step"] == 3 for record in read_log(run / "log.jsonl")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, number)
    errors = process.communicate(timeout=60)[1]
    stopped = number != signal.SIGKILL
    assert ("Interrupted: stopped and saved after step" in errors) == stopped, errors
    assert progress(run)["step"] < 6
    train(recipe, run, resume=True)
    assert_equal_runs(run, uninterrupted("fp32"))


def test_a_finished_run_is_not_trained_further(uninterrupted, recipe, tmp_path):
    run = train(recipe, tmp_path / "run")
    (run / "metrics.json").unlink()
    train(recipe, run, resume=True)
    assert (run / "metrics.json").exists()
    assert_equal_runs(run, uninterrupted("fp32"))


def test_resuming_what_has_no_checkpoint_yet_begins_it(uninterrupted, recipe, tmp_path):
    assert_equal_runs(train(recipe, tmp_path / "run", resume=True), uninterrupted("fp32"))


def test_a_data_set_that_has_changed_is_refused(recipe, tmp_path, monkeypatch, scenes):
    root = write_voc(tmp_path / "voc", {"train": scenes(4)}, classes=("a", "b"))
    recipe = differing(recipe, data={"path": str(root), "val_split": "none"})
    stop_after(monkeypatch, 2, signal.SIGTERM)
    with pytest.raises(loop.Interrupted):
        train(recipe, tmp_path / "run")
    before = (tmp_path / "run/last/checkpoint.safetensors").read_bytes()
    (root / "ImageSets/Main/train.txt").write_text("000\n001\n002\n")
    with pytest.raises(ValueError, match="the training data is not what this run began with"):
        train(recipe, tmp_path / "run", resume=True)
    assert (tmp_path / "run/last/checkpoint.safetensors").read_bytes() == before
