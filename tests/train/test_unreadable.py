"""Images unreadable during training: each is counted and told once; many of them are the end."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from rich.console import Console

from scratchdet.data.formats import read_data
from scratchdet.data.voc_write import write_voc
from scratchdet.recipe import differing
from scratchdet.structures import DataError, Problem
from scratchdet.train import loop
from scratchdet.train.batches import batches_from, samples_from
from scratchdet.train.begin import begin
from scratchdet.train.distributed import Ranks
from scratchdet.train.loop import train
from scratchdet.train.prepare import prepare
from scratchdet.train.results import finish
from scratchdet.train.unreadable import BadImages

BEFORE = Problem("0.jpg", "cannot be decoded", "image dropped")


def problem(number, what="the file is empty"):
    return Problem(f"{number}.jpg", what, "replaced by another image")


def tell(bad, folder):
    """The lines that `bad` says."""
    said = folder / "said"
    with said.open("w") as file:
        bad.tell(Ranks(), run_dir=folder, console=Console(file=file))
    return said.read_text().splitlines()


def bad_images(*, images=10, limit=0.2):
    return BadImages(images=images, limit=limit, known=(BEFORE,))


def test_nothing_unreadable_is_nothing_to_tell(tmp_path):
    bad = bad_images(limit=0.0)
    bad.add(())
    assert tell(bad, tmp_path) == []
    assert bad.figures() == {}
    assert not (tmp_path / "data_problems.txt").exists()


def test_an_image_is_told_once_and_listed_after_what_the_run_began_with(tmp_path):
    bad = bad_images()
    bad.add([problem(1), problem(1)])
    assert tell(bad, tmp_path) == [f"UNREADABLE: {problem(1)}"]
    bad.add([problem(1, "gone"), problem(2)])
    assert tell(bad, tmp_path) == [f"UNREADABLE: {problem(2)}"]
    assert tell(bad, tmp_path) == []
    assert bad.figures() == {"unreadable": 2}
    listed = (tmp_path / "data_problems.txt").read_text().splitlines()
    assert listed == ["3 problems", str(BEFORE), str(problem(1)), str(problem(2))]


@pytest.mark.parametrize(("images", "limit", "allowed"), [(10, 0.2, 2), (10, 0.29, 2), (9, 0.0, 0)])
def test_more_than_the_share_that_may_be_bad_is_an_error_that_lists_them(
    tmp_path, images, limit, allowed
):
    bad = bad_images(images=images, limit=limit)
    for number in range(allowed):
        bad.add([problem(number)])
        tell(bad, tmp_path)
    bad.add([problem("last")])
    with pytest.raises(DataError) as error:
        tell(bad, tmp_path)
    assert f"{allowed + 1} of {images} images cannot be read" in str(error.value)
    assert "--data.bad-images" in str(error.value)
    assert str(problem("last")) in str(error.value)
    assert str(problem("last")) in (tmp_path / "data_problems.txt").read_text()


@pytest.fixture
def damaging(tmp_path, scenes, monkeypatch):
    """A data set of which an image is damaged when the survey is over and training begins."""
    root = write_voc(tmp_path / "voc", {"train": scenes(8)}, classes=("a", "b"))
    path = Path(read_data(root).paths[3])

    def damage(*args, **kwargs):
        path.write_bytes(b"")
        return samples_from(*args, **kwargs)

    monkeypatch.setattr("scratchdet.train.loop.samples_from", damage)
    return root, path


def test_a_training_goes_on_without_an_image_that_is_damaged_meanwhile(tiny, tmp_path, damaging):
    root, path = damaging
    recipe = differing(tiny, data={"val_split": "none", "bad_images": 0.2})
    run = train(recipe, data=root, run_dir=tmp_path / "run", console=Console(quiet=True))
    assert f"{path}: the file is empty" in (run / "data_problems.txt").read_text()
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if record.get("unreadable") == 1][-1] == 6


def test_a_resumed_run_knows_the_images_that_were_unreadable_before(
    tiny, tmp_path, damaging, monkeypatch
):
    root, path = damaging
    intact = path.read_bytes()
    recipe = differing(tiny, data={"path": str(root), "val_split": "none", "bad_images": 0.2})
    straight = train(recipe, run_dir=tmp_path / "straight", console=Console(quiet=True))
    path.write_bytes(intact)
    step, calls = loop.train_step, []

    def step_until_stopped(*arguments, **named):
        calls.append(1)
        if len(calls) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(*arguments, **named)

    monkeypatch.setattr(loop, "train_step", step_until_stopped)
    with pytest.raises(loop.Interrupted):
        train(recipe, run_dir=tmp_path / "run", console=Console(quiet=True))
    path.write_bytes(intact)  # so that nobody finds it again
    monkeypatch.setattr(loop, "samples_from", samples_from)
    run = train(recipe, run_dir=tmp_path / "run", resume=True, console=Console(quiet=True))
    problems, log = ((run / name).read_text() for name in ("data_problems.txt", "log.jsonl"))
    assert problems == (straight / "data_problems.txt").read_text()
    assert f"{path}: the file is empty" in problems
    counts = [
        [json.loads(line).get("unreadable") for line in text.splitlines()]
        for text in (log, (straight / "log.jsonl").read_text())
    ]
    assert counts[0] == counts[1]


def test_images_found_before_a_stop_are_counted_and_not_told_again(tmp_path):
    bad = BadImages(images=10, limit=0.1, known=(BEFORE,), found=(problem(1),))
    bad.add([problem(1)])
    assert tell(bad, tmp_path) == []
    assert bad.figures() == {"unreadable": 1}
    bad.add([problem(2)])
    with pytest.raises(DataError, match="2 of 10 images cannot be read"):
        tell(bad, tmp_path)


def test_what_is_found_last_is_told_where_nothing_is_evaluated(tiny, tmp_path, scenes):
    root = write_voc(tmp_path / "voc", {"train": scenes(8)}, classes=("a", "b"))
    recipe = differing(tiny, data={"path": str(root), "val_split": "none"})
    quiet = Console(quiet=True)
    folder = train(recipe, run_dir=tmp_path / "run", console=quiet)
    (folder / "metrics.json").unlink()
    run, _, progress = begin(recipe, run_dir=folder, resume=True, ranks=Ranks(), console=quiet)
    run.bad.limit = 1.0
    run.bad.add([problem(1)])
    finish(run, progress)
    assert str(problem(1)) in (folder / "data_problems.txt").read_text()


def test_a_training_ends_when_too_many_images_are_damaged(tiny, tmp_path, damaging):
    root, path = damaging
    recipe = differing(tiny, data={"val_split": "none", "bad_images": 0.1})
    with pytest.raises(DataError, match=f"1 of 8 images cannot be read(.|\n)*{path.name}"):
        train(recipe, data=root, run_dir=tmp_path / "run", console=Console(quiet=True))


def test_what_the_recipe_says_of_mixing_repeats_and_memory_is_done(tiny, tmp_path, scenes):
    root = write_voc(tmp_path / "voc", {"train": scenes(8)}, classes=("a", "b"))
    found = []
    for asked in (
        {},
        {"cache": "off"},
        {"mosaic": 1.0},
        {"copy_paste": 1.0},
        {"repeat_below": 0.9},
    ):
        recipe = differing(tiny, data={"path": str(root), "val_split": "none", **asked})
        prepared = prepare(recipe.data, threads=1, console=Console(quiet=True))
        samples = samples_from(
            recipe, prepared, fill=prepared.mean, ranks=Ranks(), console=Console(quiet=True)
        )
        (batch,) = batches_from(recipe, samples, start=3, stop=4, ranks=Ranks())
        found.append((batch.images, batch.keys))
        assert (samples.cache is None) == (asked == {"cache": "off"})
    plain, uncached, mosaic, pasted, repeated = found
    assert torch.equal(plain[0], uncached[0])
    assert plain[1] == uncached[1] == mosaic[1] == pasted[1] != repeated[1]
    assert not torch.equal(plain[0], mosaic[0])
    assert not torch.equal(plain[0], pasted[0])
