"""A run goes on with the images it began with: its surveys are kept, and no image decoded again."""

import io
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file

from scratchdet.data.formats import read_data
from scratchdet.data.pack import pack
from scratchdet.data.survey import Survey, survey_images, usable_images
from scratchdet.data.voc_write import write_voc
from scratchdet.recipe import DataRecipe, differing
from scratchdet.structures import Record, Strings, from_records
from scratchdet.tensor_file import DamagedFile, write_tensors
from scratchdet.train import loop
from scratchdet.train.kept_survey import (
    COLUMNS,
    FORMAT,
    Surveyed,
    kept_surveys,
    read_surveys,
    survey_of,
    write_surveys,
)
from scratchdet.train.log import read_log
from scratchdet.train.prepare import prepare


def values(survey: Survey) -> dict:
    columns = set(COLUMNS)
    return {
        name: (value.dtype, value.shape, value.tolist()) if name in columns else value
        for name, value in survey._replace(remarks=[*survey.remarks])._asdict().items()
    }


def after_a_round_trip(folder: Path, survey: Survey) -> Survey:
    write_surveys(folder / "survey.safetensors", {"training": Surveyed("abc", survey)})
    (annotations, found) = read_surveys(folder / "survey.safetensors")["training"]
    assert annotations == "abc"
    return found


def bands(path: Path, channels: int, size=(40, 30)) -> Path:
    rng = np.random.default_rng(channels)
    np.save(path, rng.integers(-99, 3000, (size[1], size[0], channels)).astype(np.int16))
    return path


@pytest.mark.parametrize("channels", [1, 2, 426])
@pytest.mark.parametrize("images", [0, 1, 4])
def test_a_survey_that_was_written_gives_the_same_images(tmp_path, images, channels):
    not_unicode = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.npy"))
    not_unicode.write_bytes(b"no image")
    found = [
        bands(tmp_path / "as_annotated.npy", channels),
        bands(tmp_path / "resized.npy", channels, size=(80, 60)),
        not_unicode,
        bands(tmp_path / "other_shape.npy", channels, size=(30, 40)),
    ][:images]
    box, label = np.array([[2, 4, 10, 20]], np.float32), np.zeros(1, np.int64)
    records = [Record(path.stem, path, (40, 30), box, label, label > 0) for path in found]
    data = from_records(records, ("a",))
    survey = survey_images(data, threads=2)
    again = after_a_round_trip(tmp_path, survey)
    assert values(again) == values(survey)
    before, after = usable_images(data, survey), usable_images(data, again)
    assert len(before) == min(images, 2)
    assert after.problems == before.problems
    assert after.boxes.tolist() == before.boxes.tolist()
    assert after.sizes.tolist() == before.sizes.tolist()


@given(st.lists(st.binary(max_size=9).map(os.fsdecode), max_size=5))
def test_remarks_are_kept_whatever_bytes_are_in_them(tmp_path_factory, remarks):
    survey = Survey(
        sizes=np.zeros((len(remarks), 2), np.int32),
        remarks=Strings(remarks),
        channels=3,
        dtype="uint8",
        is_rgb=True,
        mean=np.zeros(3),
        std=np.ones(3),
        stored=np.full(len(remarks), 3, np.int32),
        orientations=np.ones(len(remarks), np.uint8),
        digests=np.zeros((len(remarks), 8), np.uint8),
        prints=np.zeros((len(remarks), 32), np.uint8),
    )
    folder = tmp_path_factory.getbasetemp()
    assert [*after_a_round_trip(folder, survey).remarks] == remarks


def test_a_file_of_something_else_is_no_survey(tmp_path):
    torch.save({}, tmp_path / "other")
    with pytest.raises(DamagedFile, match="other is damaged, or no safetensors file"):
        read_surveys(tmp_path / "other")


@pytest.mark.parametrize(
    "about",
    [{}, {"about": "no JSON"}, {"about": '{"training": {}}'}, {"about": '{"test": {"dtype": 1}}'}],
)
def test_a_survey_that_lacks_something_is_damaged(tmp_path, about):
    metadata = {"format": FORMAT, **about}
    write_tensors(tmp_path / "kept", {"a": torch.zeros(1)}, metadata=metadata)
    with pytest.raises(DamagedFile, match="kept is no whole survey"):
        read_surveys(tmp_path / "kept")


def prepared(path: Path, kept=None, **choices):
    recipe = DataRecipe(path=str(path), **choices)
    return prepare(recipe, threads=2, console=Console(quiet=True), kept=kept or {})


def assert_same_parts(one, other) -> None:
    for part in ("train", "val", "test"):
        ours, theirs = getattr(one, part), getattr(other, part)
        for column in ("sizes", "offsets", "boxes", "labels", "ignore"):
            assert getattr(ours, column).tolist() == getattr(theirs, column).tolist()
        assert [*ours.paths] == [*theirs.paths]
    assert (one.channels, one.dtype, one.is_rgb) == (other.channels, other.dtype, other.is_rgb)
    assert one.mean.tobytes() == other.mean.tobytes()
    assert one.problems == other.problems


@pytest.mark.parametrize("packed", [False, True])
def test_with_the_surveys_of_before_no_image_is_looked_at(tmp_path, scenes, packed):
    everything = scenes(12, channels=1)
    splits = {"train": everything[:6], "val": everything[6:9], "test": everything[9:]}
    root = write_voc(tmp_path / "voc", splits, classes=("a", "b"))
    pictures = sorted((root / "JPEGImages").iterdir())
    pictures[1].write_bytes(b"damaged before")
    Image.open(pictures[7]).resize((128, 128)).save(pictures[7])
    if packed:
        pack(root, tmp_path / "voc.lmdb")
        root = tmp_path / "voc.lmdb"
    before = prepared(root, test_split="test")
    write_surveys(tmp_path / "kept", before.surveys)
    if not packed:
        for picture in pictures:
            picture.write_bytes(b"damaged since")
    after = prepared(root, kept=read_surveys(tmp_path / "kept"), test_split="test")
    assert_same_parts(after, before)
    assert [len(part) for part in (after.train, after.val, after.test)] == [5, 3, 3]
    line = "training, validation, test: the images the run began with, none decoded again"
    assert line in after.notes
    assert line not in before.notes


def test_parts_that_are_annotated_otherwise_are_surveyed_anew(tmp_path, scenes):
    everything = scenes(9)
    splits = {"train": everything[:4], "val": everything[4:6], "other": everything[6:]}
    root = write_voc(tmp_path / "voc", splits, classes=("a", "b"))
    before = prepared(root)
    after = prepared(root, kept=before.surveys, val_split="other")
    assert after.surveys["training"] is before.surveys["training"]
    assert len(after.surveys["validation"].survey.sizes) == len(after.val) == 3
    deeper = before.surveys["validation"]
    deeper = deeper._replace(survey=deeper.survey._replace(dtype="uint16"))
    after = prepared(root, kept={"validation": deeper})
    assert after.surveys["validation"].survey.dtype == "uint8"


@pytest.fixture
def recipe(tmp_path, scenes, tiny):
    """Of images that are read anew in every epoch, and may be damaged."""
    everything = scenes(12)
    splits = {"train": everything[:8], "val": everything[8:]}
    root = write_voc(tmp_path / "voc", splits, classes=("a", "b"))
    return differing(tiny, data={"path": str(root), "cache": "off", "bad_images": 0.5})


def train(recipe, run_dir, *, resume=False) -> str:
    """What the run said."""
    console = Console(file=io.StringIO(), width=200)
    loop.train(recipe, run_dir=run_dir, resume=resume, console=console)
    return console.file.getvalue()


def happening_at(monkeypatch, step: int, happen) -> None:
    """Calls `happen` while `step` (from 1) is computed."""
    train_step, calls = loop.train_step, []

    def eventful_step(*arguments, **named):
        calls.append(1)
        if len(calls) == step:
            happen()
        return train_step(*arguments, **named)

    monkeypatch.setattr(loop, "train_step", eventful_step)


def stopped(monkeypatch, recipe, run_dir) -> None:
    with monkeypatch.context() as patch:
        happening_at(patch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(loop.Interrupted):
            train(recipe, run_dir)


def damage(recipe) -> None:
    """One image of each split."""
    for split in ("train", "val"):
        Path(read_data(recipe.data.path, split=split).paths[1]).write_bytes(b"no image any more")


def what_happened(run: Path) -> list[dict]:
    return [
        {name: value for name, value in record.items() if name != "images_per_second"}
        for record in read_log(run / "log.jsonl")
    ]


def test_a_run_whose_images_are_damaged_while_it_is_stopped_equals_one_that_was_not_stopped(
    recipe, tmp_path, monkeypatch
):
    originals = {path: path.read_bytes() for path in Path(recipe.data.path, "JPEGImages").iterdir()}
    straight, halting = tmp_path / "straight", tmp_path / "halting"
    with monkeypatch.context() as patch:
        happening_at(patch, 3, lambda: damage(recipe))
        said = train(recipe, straight)
    assert "replaced by another image" in said
    assert "nothing found in it" in said
    for path, content in originals.items():
        path.write_bytes(content)
    stopped(monkeypatch, recipe, halting)
    damage(recipe)
    said = train(recipe, halting, resume=True)
    assert "training, validation: the images the run began with, none decoded again" in said
    assert "replaced by another image" in said
    assert "nothing found in it" in said
    assert what_happened(halting) == what_happened(straight)
    for name in ("last/checkpoint", "last/model", "best/model"):
        ours, theirs = (load_file(run / f"{name}.safetensors") for run in (halting, straight))
        assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []
    listed = (halting / "data_problems.txt").read_text()
    assert listed == (straight / "data_problems.txt").read_text()
    assert listed.startswith("2 problems\n")


@pytest.mark.parametrize("damage", ["gone", "empty", "cut off", "of another version"])
def test_a_survey_that_is_lost_is_told_of(tmp_path, damage):
    file = survey_of(tmp_path)
    write_surveys(file, {})
    if damage == "gone":
        file.unlink()
    elif damage == "of another version":
        write_tensors(file, {}, metadata={"format": "scratchdet survey 1"})
    else:
        file.write_bytes(file.read_bytes()[:-1] if damage == "cut off" else b"")
    console = Console(file=io.StringIO(), width=200)
    assert kept_surveys(tmp_path, console) == {}
    said = console.file.getvalue()
    assert said.startswith(f"NOTE: {file} is ")
    assert said.endswith(": every image is decoded again\n")


def test_a_run_without_its_survey_makes_another_one(recipe, tmp_path, monkeypatch):
    run = tmp_path / "run"
    stopped(monkeypatch, recipe, run)
    before = read_surveys(survey_of(run))
    survey_of(run).unlink()
    said = train(recipe, run, resume=True)
    assert "every image is decoded again" in said
    assert "none decoded again" not in said
    after = read_surveys(survey_of(run))
    assert after.keys() == before.keys() == {"training", "validation"}
    for use, (annotations, survey) in before.items():
        assert after[use].annotations == annotations
        assert values(after[use].survey) == values(survey)


def test_other_annotations_are_refused_and_the_survey_stays(recipe, tmp_path, monkeypatch):
    run = tmp_path / "run"
    stopped(monkeypatch, recipe, run)
    before = survey_of(run).read_bytes()
    split = Path(recipe.data.path, "ImageSets/Main/train.txt")
    listed = split.read_text()
    split.write_text(listed.replace("000\n", ""))
    with pytest.raises(ValueError, match="the training data is not what this run began with"):
        train(recipe, run, resume=True)
    assert survey_of(run).read_bytes() == before
    split.write_text(listed)
    assert "none decoded again" in train(recipe, run, resume=True)


def test_a_new_run_looks_for_itself(recipe, tmp_path):
    run = tmp_path / "run"
    before = prepared(Path(recipe.data.path))
    write_surveys(survey_of(run), before.surveys)
    damage(recipe)
    assert "2 problems in the data" in train(recipe, run)
    assert "not an image" in (run / "data_problems.txt").read_text()
