"""What a finished run leaves behind, and whether it can be used."""

import io
import json
import math

import cv2
import numpy as np
import pytest
import torch
from rich.console import Console

import scratchdet
from scratchdet.data.voc_write import write_voc
from scratchdet.evaluation.metrics import Metrics
from scratchdet.models.saved import read_metadata
from scratchdet.ops.losses import Losses
from scratchdet.recipe import differing
from scratchdet.recipe_toml import from_toml
from scratchdet.train.log import read_log
from scratchdet.train.loop import train
from scratchdet.train.results import show_metrics, step_figures
from scratchdet.version import describe_code


@pytest.fixture(scope="module")
def data(tmp_path_factory, scenes):
    everything = scenes(12, empty={3})
    splits = {"train": everything[:6], "val": everything[6:9], "test": everything[9:]}
    return write_voc(tmp_path_factory.mktemp("data") / "voc", splits, classes=("a", "b"))


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory, tiny):
    """The folder of a run, and what it said."""
    console = Console(file=io.StringIO(), width=100)
    folder = tmp_path_factory.mktemp("runs") / "run"
    run = train(tiny, data=data, run_dir=folder, console=console)
    return run, console.file.getvalue()


def figures_of(run) -> dict:
    return json.loads((run / "metrics.json").read_text())


def test_the_figures_are_complete(finished):
    figures = figures_of(finished[0])
    assert figures["protocol"] == "voc"
    assert 0 <= figures["ap50"] <= 1
    assert figures["ap_per_class"].keys() == {"a", "b"}
    assert figures["steps"] == 6
    assert figures["seconds"] > 0
    assert figures["device"].startswith("cpu (")
    assert figures["precision"] == "fp32"
    assert figures["commit"] == describe_code()
    assert figures["num_images"] == 3
    assert figures["model"] == "best/model.safetensors"


def test_the_figures_name_the_split_they_are_of(finished, data, tiny, tmp_path):
    assert figures_of(finished[0])["split"] == "val"
    short = differing(tiny, schedule={"steps": 1})
    quiet = Console(file=io.StringIO())
    tested = differing(short, data={"test_split": "test"})
    run = train(tested, data=data, run_dir=tmp_path / "tested", console=quiet)
    assert figures_of(run)["split"] == "test"
    for name in ("val", "test"):
        (data / f"ImageSets/Main/{name}.txt").rename(tmp_path / name)
    try:
        run = train(short, data=data, run_dir=tmp_path / "held", console=quiet)
    finally:
        for name in ("val", "test"):
            (tmp_path / name).rename(data / f"ImageSets/Main/{name}.txt")
    assert figures_of(run)["split"] == "held out"


@pytest.mark.parametrize("which", ["best", "last"])
def test_models_can_be_loaded_and_evaluated(finished, data, which):
    detector = scratchdet.load(finished[0] / which / "model.safetensors")
    assert detector.classes == ("a", "b")
    assert detector.input_size == (64, 64)
    metrics = scratchdet.evaluate(detector, data, split="test")
    assert metrics.num_images == 3
    (found,) = detector.predict([np.zeros((50, 70, 3), np.uint8)])
    assert found.boxes.shape[1] == 4


def test_the_best_model_gets_again_the_figures_that_were_written_down(finished, data):
    run = finished[0]
    evaluated = [r["evaluation"]["ap50"] for r in read_log(run / "log.jsonl") if "evaluation" in r]
    metrics = scratchdet.evaluate(scratchdet.load(run), data, split="val")
    assert len(evaluated) == 3
    assert metrics.ap50 == pytest.approx(max(evaluated))
    assert figures_of(run)["ap50"] == pytest.approx(metrics.ap50)


def test_a_model_knows_its_recipe_step_and_code(finished):
    run = finished[0]
    about = read_metadata(run / "last" / "model.safetensors")
    assert about["step"] == "6"
    assert about["code"] == describe_code()
    assert about["recipe"] == (run / "recipe.toml").read_text()
    assert from_toml(about["recipe"], source="model", bases={}).schedule.steps == 6
    assert "from scratch" in about["provenance"]


def test_the_model_normalises_as_the_training_did(finished, data):
    pixels = np.stack(
        [cv2.imread(str(data / f"JPEGImages/{n:03d}.jpg"))[..., ::-1] for n in range(6)]
    )
    detector = scratchdet.load(finished[0])
    assert np.allclose(detector.mean, pixels.mean(axis=(0, 1, 2)), atol=0.01)
    assert np.allclose(detector.std, pixels.std(axis=(0, 1, 2)), atol=0.01)


def test_pictures_log_and_problems_are_there(finished):
    run, _ = finished
    assert cv2.imread(str(run / "training.png")) is not None
    assert cv2.imread(str(run / "detections.png")) is not None
    assert (run / "data_problems.txt").read_text() == "0 problems\n"
    assert len(list((run / "tensorboard").iterdir())) == 1
    assert not list(run.rglob("*.part*"))


def test_it_said_what_it_trained_on_and_how_well(finished):
    said = finished[1]
    assert "training on train: 6 images, 1 of them without objects, 5 objects of 2 classes" in said
    assert "validation on val: 3 images" in said
    assert "step 6/6  validation AP50" in said
    assert "val: 3 images" in said
    assert "AP50" in said.split("step 6/6")[1]


def test_without_validation_the_last_model_is_the_result(data, tiny, tmp_path):
    recipe = differing(tiny, data={"val_split": "none"}, schedule={"steps": 1})
    run = train(recipe, data=data, run_dir=tmp_path / "run", console=Console(file=io.StringIO()))
    figures = figures_of(run)
    assert figures["steps"] == 1
    assert figures["protocol"] == "voc"
    assert figures["split"] is figures["ap50"] is figures["ap_per_class"] is None
    assert not (run / "best").exists()
    assert scratchdet.load(run).classes == ("a", "b")


def test_a_validation_split_without_objects_has_no_figure_and_no_best_model(tmp_path, tiny, scenes):
    everything = scenes(4, empty={2, 3})
    splits = {"train": everything[:2], "val": everything[2:]}
    data = write_voc(tmp_path / "voc", splits, classes=("a", "b"))
    console = Console(file=io.StringIO(), width=100)
    recipe = differing(tiny, schedule={"steps": 2})
    run = train(recipe, data=data, run_dir=tmp_path / "run", console=console)
    assert figures_of(run)["ap50"] is None
    assert figures_of(run)["model"] == "last/model.safetensors"
    assert "not defined: no objects" in console.file.getvalue()


def test_an_empty_validation_split_does_not_stop_a_run(tmp_path, tiny, scenes):
    data = write_voc(tmp_path / "voc", {"train": scenes(2), "val": []}, classes=("a", "b"))
    recipe = differing(tiny, schedule={"steps": 2})
    run = train(recipe, data=data, run_dir=tmp_path / "run", console=Console(file=io.StringIO()))
    assert figures_of(run)["num_images"] == 0


def losses(classification: float) -> Losses:
    return Losses(torch.tensor(classification), torch.tensor(0.5), torch.tensor(3))


def test_a_step_is_logged_as_plain_numbers():
    figures = step_figures(losses(1.25), 0.01, torch.tensor(2.0), 12.345)
    assert json.loads(json.dumps(figures)) == {
        "loss": 1.75,
        "classification": 1.25,
        "localisation": 0.5,
        "matched": 3,
        "lr": 0.01,
        "gradient_norm": 2.0,
        "images_per_second": 12.35,
    }


def test_a_class_without_objects_is_shown_as_such():
    console = Console(file=io.StringIO(), width=100)
    metrics = Metrics(
        protocol="coco",
        ap50=0.5,
        ap=0.25,
        ap_per_class={"a": 0.125, "[b]": math.nan},
        num_images=7,
        num_objects=9,
        ap_small=math.nan,
        ap_medium=0.25,
        ap_large=0.25,
        ar1=0.25,
        ar10=0.5,
        ar100=0.5,
    )
    show_metrics(console, metrics, what="test")
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "test: 7 images, 9 objects, protocol coco"
    rows = {cells[0]: cells[1] for line in lines if len(cells := line.strip("│┃ ").split("│")) == 2}
    rows = {name.strip(): value.strip() for name, value in rows.items()}
    assert rows == {"a": "0.1250", "[b]": "no object", "AP50:95": "0.2500", "AP50": "0.5000"}
