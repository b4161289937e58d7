"""The report and the cards that a training writes by itself, and that its folder gives later."""

import io
import json
import random
import re
import shutil

import numpy as np
import pytest
import torch
from report_contents import Page
from rich.console import Console
from safetensors.torch import load_file

from scratchdet.cli import main
from scratchdet.data.voc_write import write_voc
from scratchdet.evaluation.columns import from_detections
from scratchdet.evaluation.run import detect_all
from scratchdet.models.saved import load_model
from scratchdet.recipe import differing
from scratchdet.train import results
from scratchdet.train.log import read_log
from scratchdet.train.loop import train
from scratchdet.train.report import CARD, REPORT, judged_by, read_folder, report_progress

SILENT = Console(file=io.StringIO())


@pytest.fixture(scope="module")
def data(tmp_path_factory, scenes):
    everything = scenes(14, empty={3})
    splits = {"train": everything[:6], "val": everything[6:10], "test": everything[10:]}
    return write_voc(tmp_path_factory.mktemp("data") / "voc", splits, classes=("a", "b"))


@pytest.fixture(scope="module")
def recipe(data, tiny):
    return differing(tiny, data={"path": str(data), "test_split": "test"})


@pytest.fixture(scope="module")
def finished(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    return train(recipe, run_dir=folder, console=SILENT)


@pytest.fixture
def copied(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def text_of(run) -> str:
    return Page((run / REPORT).read_text()).text


def test_a_finished_run_has_a_report_of_its_test_images(finished):
    figures = json.loads((finished / "metrics.json").read_text())
    text = text_of(finished)
    assert f"{figures['ap50']:.3f} AP50 on test: 4 images, 4 objects" in text
    assert "on 6 images with 5 objects of 2 classes (a and b): 6 steps of 4 images" in text
    assert "validation val 4 0 4" in text
    assert "so far" not in text


def test_both_models_have_cards_with_their_own_figures(finished):
    best, last = ((finished / which / CARD).read_text() for which in ("best", "last"))
    figures = json.loads((finished / "metrics.json").read_text())
    assert f"AP50 {figures['ap50']:.3f} (no 95 % interval: it cannot be told from 4 images)" in best
    assert "6 steps of 4 images" in last


def test_the_report_is_written_at_every_evaluation(recipe, tmp_path, monkeypatch):
    """And at the end once, of the test images."""
    said = []

    def noted(run, detector, progress, **named):
        report_progress(run, detector, progress, **named)
        said.append((progress.step, text_of(run.folder)))

    monkeypatch.setattr(results, "report_progress", noted)
    train(recipe, run_dir=tmp_path / "run", console=SILENT)
    assert [step for step, _ in said] == [2, 4, 6]
    assert "2 steps of 4 images so far, of 6" in said[0][1]
    assert "AP50 on val: 4 images" in said[1][1]
    assert "AP50 on test: 4 images" in said[2][1]


def evaluations_of(run) -> list[dict]:
    return [one["evaluation"] for one in read_log(run / "log.jsonl") if "evaluation" in one]


def test_raw_weights_are_evaluated_where_others_are_averaged(recipe, finished, tmp_path):
    """A run that averages and one that does not are trained alike: so are the raw weights."""
    plain = differing(recipe, optim={"ema": 0.0})
    other = evaluations_of(train(plain, run_dir=tmp_path / "run", console=SILENT))
    averaged = evaluations_of(finished)
    assert [one["raw_ap50"] for one in averaged] == [one["ap50"] for one in other]
    assert not [one for one in other if "raw_ap50" in one]


def test_evaluations_and_reports_leave_the_training_as_it_was(recipe, finished, tmp_path):
    """Bit for bit the weights of a run that is evaluated only at its end."""
    seldom = differing(recipe, schedule={"evaluate_every": 0})
    other = train(seldom, run_dir=tmp_path / "seldom", console=SILENT)
    ours, theirs = (load_file(run / "last" / "model.safetensors") for run in (finished, other))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_judgement_draws_no_random_numbers_of_the_training(finished):
    detector = load_model(finished)
    contents = read_folder(finished, data=None, device="cpu", console=SILENT)
    found = from_detections(detect_all(detector, contents.judged.data))
    states = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())  # noqa: NPY002
    judged_by(contents.judged.data, found, protocol="voc", split="test", model="m")
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert random.getstate() == states[2]


def test_without_validation_the_report_says_so(recipe, tmp_path):
    alone = differing(recipe, data={"val_split": "none", "test_split": ""}, schedule={"steps": 1})
    run = train(alone, run_dir=tmp_path / "run", console=SILENT)
    text = text_of(run)
    assert "No AP" in text
    assert "Accuracy: the run has neither test nor validation images." in text
    assert "Nothing was measured" in (run / "last" / CARD).read_text()
    assert not (run / "best").exists()


def test_a_validation_split_without_objects_has_a_report(tmp_path, tiny, scenes):
    everything = scenes(4, empty={2, 3})
    data = write_voc(
        tmp_path / "voc", {"train": everything[:2], "val": everything[2:]}, classes=("a", "b")
    )
    recipe = differing(tiny, schedule={"steps": 2})
    run = train(recipe, data=data, run_dir=tmp_path / "run", console=SILENT)
    assert "there is no object to be found in the images" in text_of(run)


def call(*arguments: object) -> int:
    return main(["report", *map(str, arguments)])


def without_dates(text: str) -> str:
    return re.sub(r"Written by .*", "", text)


def test_the_command_writes_the_same_report_anew(copied, capsys):
    before = text_of(copied)
    cards = [(copied / which / CARD).read_text() for which in ("best", "last")]
    for path in (copied / REPORT, *copied.glob(f"*/{CARD}")):
        path.unlink()
    assert call(copied, "--device", "cpu") == 0
    assert capsys.readouterr().out.count("written: ") == 3
    assert without_dates(text_of(copied)) == without_dates(before)
    assert [(copied / which / CARD).read_text() for which in ("best", "last")] == cards


def test_a_report_does_without_the_data_and_says_so(copied, data, tmp_path, capsys):
    recipe = copied / "recipe.toml"
    recipe.write_text(recipe.read_text().replace(str(data), "/gone/for/good"))
    assert call(copied) == 0
    assert "NOTE: without accuracy and pictures: the data are not at /gone/for/good" in (
        capsys.readouterr().out
    )
    figures = json.loads((copied / "metrics.json").read_text())
    text = text_of(copied)
    assert f"{figures['ap50']:.3f} AP50 on test: 4 images, 4 objects" in text
    assert "Pictures: the data are not at /gone/for/good" in text
    assert f"AP50 {figures['ap50']:.3f} on test." in (copied / "best" / CARD).read_text()
    moved = shutil.copytree(data, tmp_path / "moved")
    assert call(copied, moved) == 0
    assert "95 % interval" in text_of(copied)


def test_a_run_without_a_model_or_without_figures_has_a_report(copied):
    (copied / "metrics.json").unlink()
    shutil.rmtree(copied / "best")
    assert call(copied) == 0
    assert "so far, of 6" in text_of(copied)
    assert "last/model.safetensors, of step 6" in text_of(copied)
    shutil.rmtree(copied / "last")
    (copied / "log.jsonl").unlink()
    (copied / "data_problems.txt").unlink()
    assert call(copied) == 0
    assert "there is no model yet" in text_of(copied)


def test_images_held_out_for_validation_are_found_again(tmp_path, tiny, scenes):
    data = write_voc(tmp_path / "voc", {"train": scenes(12)}, classes=("a", "b"))
    held = differing(tiny, data={"hold_out": 0.3}, schedule={"steps": 1})
    run = train(held, data=data, run_dir=tmp_path / "run", console=SILENT)
    before = text_of(run)
    assert "AP50 on held out" in before
    assert call(run) == 0
    assert without_dates(text_of(run)) == without_dates(before)


def test_what_is_no_run_or_no_data_is_said_in_one_line(copied, tmp_path, capsys):
    assert call(tmp_path) == 2
    assert "is no run: it has no recipe.toml" in capsys.readouterr().err
    (tmp_path / "nothing").mkdir()
    assert call(copied, tmp_path / "nothing") == 2
    assert "no known data format" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "what", "why"),
    [
        ("check.json", "What the check found", "malformed JSON"),
        ("gradients.jsonl", "The analysis of the gradient", "gradients.jsonl"),
    ],
)
def test_a_damaged_file_is_left_out_of_the_report_with_its_reason(copied, capsys, name, what, why):
    (copied / name).write_text("{\n")
    assert call(copied, "--device", "cpu") == 0
    said = capsys.readouterr().out.replace("\n", " ")
    assert f"NOTE: left out: {what}: " in said
    assert re.search(rf"Left out: .*{what}: .*{why}", text_of(copied))


def test_a_run_in_extension_is_not_finished(copied):
    """Its folder still has the metrics.json of its first end."""
    recipe = copied / "recipe.toml"
    short, long = "steps = 6\nextended_at = []", "steps = 12\nextended_at = [6]"
    recipe.write_text(recipe.read_text().replace(short, long))
    contents = read_folder(copied, data=None, device="cpu", console=SILENT)
    assert not contents.finished
    assert contents.step == 6
    assert call(copied, "--device", "cpu") == 0
    assert "6 steps of 4 images so far, of 12" in text_of(copied)


def test_a_report_that_cannot_be_written_leaves_the_run_finished(recipe, tmp_path, capsys):
    run = tmp_path / "run"
    (run / REPORT).mkdir(parents=True)
    short = differing(recipe, schedule={"steps": 1, "evaluate_every": 0})
    with pytest.raises(OSError, match=REPORT):
        train(short, run_dir=run, console=SILENT)
    assert json.loads((run / "metrics.json").read_text())["steps"] == 1
    said = io.StringIO()
    train(short, run_dir=run, resume=True, console=Console(file=said, width=300))
    assert "is finished: nothing is left to do" in said.getvalue()
    (run / REPORT).rmdir()
    assert call(run, "--device", "cpu") == 0
    assert "1 step of 4 images" in text_of(run)
    assert (run / "last" / CARD).is_file()
