"""What a resumed run finds: damaged checkpoints, files left over, other settings, nothing to do."""

import io
import os
import shutil
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from scratchdet import cli
from scratchdet.data.voc_write import write_voc
from scratchdet.files import DiskFull
from scratchdet.models.saved import load_model
from scratchdet.recipe import RecipeError, differing
from scratchdet.recipes import load_recipe
from scratchdet.tensor_file import DamagedFile
from scratchdet.train import begin, loop
from scratchdet.train.checkpoint import checkpoint_of, previous_of
from scratchdet.train.log import read_log
from scratchdet.train.resuming import (
    as_begun,
    changes,
    is_finished,
    put_in_order,
    saying_how_to_go_on,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory, scenes, tiny):
    """A finished run of six steps that kept every third model, and what it said."""
    root = tmp_path_factory.mktemp("made")
    everything = scenes(14)
    splits = {"train": everything[:12], "val": everything[12:]}
    data = write_voc(root / "voc", splits, classes=("a", "b"))
    recipe = differing(tiny, data={"path": str(data)}, schedule={"keep_every": 3})
    return train(recipe, root / "run")[0]


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


def train(recipe, run_dir, *, resume=False):
    """The run, and what was said."""
    said = io.StringIO()
    console = Console(file=said, width=300)
    return loop.train(recipe, run_dir=run_dir, resume=resume, console=console), said.getvalue()


def recipe_of(folder, **groups):
    return differing(load_recipe(folder / "recipe.toml"), **groups)


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def same(one, other):
    ours, theirs = load_file(one), load_file(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


def test_every_third_model_is_kept_beside_the_last_and_the_best(made):
    assert sorted(path.name for path in (made / "steps").iterdir()) == [
        "3.safetensors",
        "6.safetensors",
    ]
    assert same(made / "steps/6.safetensors", made / "last/model.safetensors")
    assert not same(made / "steps/3.safetensors", made / "last/model.safetensors")
    assert load_model(made / "steps/3.safetensors").classes == ("a", "b")


def test_no_model_is_kept_where_none_is_asked_for(made, tmp_path):
    recipe = recipe_of(made, schedule={"keep_every": 0, "steps": 2})
    run, _ = train(recipe, tmp_path / "run")
    assert not (run / "steps").exists()


def test_the_checkpoint_before_the_last_is_kept(made):
    names = {path.name for path in (made / "last").glob("*.safetensors")}
    assert names == {"checkpoint.safetensors", "previous.safetensors", "model.safetensors"}


def test_a_whole_run_is_in_order(run):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert put_in_order(run) == []
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_the_one_before_takes_the_place_of_a_damaged_checkpoint(made, run):
    flip_a_bit(checkpoint_of(run))
    (run / "metrics.json").unlink()
    _, said = train(recipe_of(run), run, resume=True)
    assert "last/checkpoint.safetensors is damaged: its checksum is not the one" in said
    assert "resuming from the checkpoint before it" in said
    assert "resumed at step 4" in said
    for name in ("last/checkpoint", "last/previous", "last/model", "best/model", "steps/6"):
        assert same(run / f"{name}.safetensors", made / f"{name}.safetensors"), name
    steps = [record["step"] for record in read_log(run / "log.jsonl") if "loss" in record]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_a_damaged_checkpoint_does_not_push_out_the_whole_one_before_it(run):
    whole = previous_of(run).read_bytes()
    flip_a_bit(checkpoint_of(run))
    put_in_order(run)
    assert checkpoint_of(run).read_bytes() == whole
    assert not previous_of(run).exists()
    assert put_in_order(run) == []


def test_where_the_last_checkpoint_is_missing_the_one_before_is_taken(run):
    whole = previous_of(run).read_bytes()
    checkpoint_of(run).unlink()  # as between the two renames
    put_in_order(run)
    assert checkpoint_of(run).read_bytes() == whole


def test_two_damaged_checkpoints_are_refused_and_left_as_they_are(run):
    for path in (checkpoint_of(run), previous_of(run)):
        flip_a_bit(path)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(DamagedFile, match=r"checkpoint\.s.*previous\.s.*nothing is left.*--init"):
        train(recipe_of(run), run, resume=True)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_damaged_checkpoint_with_none_before_it_is_refused(run):
    previous_of(run).unlink()
    flip_a_bit(checkpoint_of(run))
    with pytest.raises(DamagedFile, match=r"none before it\. Restore it from a backup"):
        put_in_order(run)


def test_what_a_killed_process_was_writing_is_removed_and_told(run):
    left = run / "last" / ".checkpoint.4194305.part.safetensors"  # more than any process has
    left.touch()
    assert put_in_order(run) == [f"removed {left}, which a killed process had half written"]
    assert not left.exists()


def test_a_finished_run_has_nothing_left_to_do(run):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    _, said = train(recipe_of(run), run, resume=True)
    assert "is finished: nothing is left to do (--extend STEPS goes on, " in said
    assert said.rstrip().endswith("scratchdet report writes its report anew)")
    assert "AP50" not in said
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("missing", ["metrics.json", "last/checkpoint.safetensors"])
def test_a_run_without_figures_or_checkpoint_is_not_finished(run, missing):
    assert is_finished(run, 6)
    assert not is_finished(run, 8)
    (run / missing).unlink()
    assert not is_finished(run, 6)


def test_a_finished_run_can_be_made_longer_and_says_what_that_means(run):
    before = (run / "recipe.toml").read_text()
    _, said = train(recipe_of(run, schedule={"steps": 7}), run, resume=True)
    assert "changed: schedule.steps 6 -> 7" in said
    assert "NOTE: the learning rate is from here on that of a run of the new length" in said
    assert is_finished(run, 7)
    steps = [record["step"] for record in read_log(run / "log.jsonl") if "loss" in record]
    assert steps == [1, 2, 3, 4, 5, 6, 7]
    assert (run / "recipe_until_6.toml").read_text() == before
    assert load_recipe(run / "recipe.toml").schedule.steps == 7


def test_nothing_is_told_and_kept_where_nothing_has_changed(run):
    (run / "metrics.json").unlink()
    _, said = train(recipe_of(run), run, resume=True)
    assert "changed" not in said
    assert list(run.glob("recipe_until_*")) == []


def test_each_changed_setting_has_a_line(run):
    recipe = recipe_of(run, optim={"lr": 0.02}, run={"precision": "bf16"}, data={"workers": 1})
    assert changes(run, recipe) == [
        "changed: data.workers 0 -> 1",
        "changed: optim.lr 0.05 -> 0.02",
        "changed: run.precision 'fp32' -> 'bf16'",
    ]


@pytest.mark.parametrize(
    ("group", "name", "value", "reason"),
    [
        ("model", "name", "ssd300_vgg16", "another network"),
        ("model", "input_size", (96, 96), "another network"),
        ("model", "norm_head", "none", "another network"),
        ("run", "seed", 1, "images would come in another order"),
        ("data", "batch", 2, "images would come in another order"),
        ("data", "repeat_below", 0.5, "images would come in another order"),
    ],
)
def test_what_a_run_cannot_go_on_with_is_refused(run, group, name, value, reason):
    message = rf"was trained with {group}\.{name} .*; it cannot be resumed with .*{reason}"
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(RecipeError, match=message):
        train(recipe_of(run, **{group: {name: value}}), run, resume=True)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_what_a_recipe_leaves_open_is_as_the_run_began(run):
    began = recipe_of(run)
    opened = differing(
        began,
        data={"batch": 0},
        model={"norm_backbone": "auto", "norm_head": "auto"},
        optim={"lr": 0.01},
    )
    assert as_begun(opened, run) == differing(began, optim={"lr": 0.01})
    chosen = differing(began, data={"batch": 2}, model={"norm_head": "none"})
    assert as_begun(chosen, run) == chosen


def test_a_full_disk_says_how_to_go_on(tmp_path):
    with (
        pytest.raises(DiskFull, match=rf"full: 'a'\. .*scratchdet train --resume {tmp_path}"),
        saying_how_to_go_on(tmp_path),
    ):
        raise DiskFull(28, "full", "a")


def test_a_full_disk_is_a_no_and_wrong_use_is_not(run, monkeypatch, capsys):
    command = ["train", "--resume", str(run)]

    def full(*arguments, **named):
        raise DiskFull(28, "No space left on device", "a")

    with monkeypatch.context() as patch:
        patch.setattr(begin, "prepare", full)
        (run / "metrics.json").unlink()
        assert cli.main(command) == cli.NO
    assert "No space left on device: 'a'. The run has ended" in capsys.readouterr().err
    assert cli.main([*command, "--seed", "3"]) == cli.WRONG_USE


def test_where_nothing_can_be_written_no_image_is_read_first(made, tmp_path, monkeypatch):
    (tmp_path / "file").touch()

    def reading(*arguments, **named):
        raise AssertionError("images are read")

    monkeypatch.setattr(begin, "prepare", reading)
    with pytest.raises(NotADirectoryError, match=r"file/run"):
        train(recipe_of(made), tmp_path / "file" / "run")


def test_the_log_is_on_the_disk_before_the_checkpoint_that_follows_it(made, tmp_path, monkeypatch):
    events = []
    fsync, rename = os.fsync, Path.replace

    def noting_fsync(file):
        events.append(Path(f"/proc/self/fd/{file}").resolve().name)
        fsync(file)

    def noting_rename(path, target):
        events.append(f"renamed to {target.name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(Path, "replace", noting_rename)
    train(recipe_of(made, schedule={"steps": 2}), tmp_path / "run")
    logged = events.index("log.jsonl")
    figures = next(at for at, event in enumerate(events) if event.startswith("events.out"))
    assert max(logged, figures) < events.index("renamed to checkpoint.safetensors")
