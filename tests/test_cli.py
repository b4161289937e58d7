"""The command line, from wrong use to train, eval and detect on every data format."""

import json
import os
import shutil
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import pytest

from scratchdet.cli import COMMANDS, main
from scratchdet.data.voc_write import write_voc
from scratchdet.recipe import differing
from scratchdet.recipe_toml import from_toml, save_recipe
from scratchdet.recipes import RECIPES, load_recipe
from scratchdet.recipes.shipped import Shipped
from scratchdet.train import loop

CLASSES = ("rot", "grün")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Every test in a folder of its own: runs are written to ./runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory, tiny) -> Path:
    """Two steps."""
    file = tmp_path_factory.mktemp("recipe") / "quick.toml"
    save_recipe(differing(tiny, schedule={"steps": 2, "warmup_steps": 0}), file)
    return file


def write_png(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())


def voc(root: Path, scenes) -> Path:
    return write_voc(root, {"train": scenes[:6], "val": scenes[6:]}, classes=CLASSES)


def coco(root: Path, scenes) -> Path:
    for split, part in (("train", scenes[:6]), ("val", scenes[6:])):
        annotations = []
        for index, (name, sample) in enumerate(part):
            write_png(root / split / f"{name}.png", sample.image)
            for (left, top, right, bottom), label in zip(
                sample.boxes.tolist(), sample.labels.tolist(), strict=True
            ):
                box = [left, top, right - left, bottom - top]
                entry = {"image_id": index, "category_id": label + 7, "bbox": box}
                annotations.append({"id": len(annotations), **entry})
        content = {
            "images": [
                {"id": index, "file_name": f"{name}.png", "width": 64, "height": 64}
                for index, (name, _) in enumerate(part)
            ],
            "annotations": annotations,
            "categories": [{"id": label + 7, "name": name} for label, name in enumerate(CLASSES)],
        }
        file = root / "annotations" / f"instances_{split}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(content), encoding="utf-8")
    return root


def yolo(root: Path, scenes) -> Path:
    for split, part in (("train", scenes[:6]), ("val", scenes[6:])):
        (root / "labels" / split).mkdir(parents=True)
        for name, sample in part:
            write_png(root / "images" / split / f"{name}.png", sample.image)
            lines = [
                f"{label} {(x1 + x2) / 128} {(y1 + y2) / 128} {(x2 - x1) / 64} {(y2 - y1) / 64}\n"
                for (x1, y1, x2, y2), label in zip(
                    sample.boxes.tolist(), sample.labels.tolist(), strict=True
                )
            ]
            (root / "labels" / split / f"{name}.txt").write_text("".join(lines))
    names = "".join(f"  {label}: {name}\n" for label, name in enumerate(CLASSES))
    text = f"train: images/train\nval: images/val\nnames:\n{names}"
    (root / "data.yaml").write_text(text, encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory, scenes) -> Path:
    return voc(tmp_path_factory.mktemp("data") / "formen", scenes(9, empty={1}))


@pytest.fixture(scope="module")
def run(data, recipe_file, tmp_path_factory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", str(data), "--recipe", str(recipe_file), "--name", "fertig"]) == 0
    return folder / "runs" / "fertig"


def call(*arguments: object) -> int:
    """The exit status, whether it is returned or raised."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


# Wrong use, and help


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_a_command_does_with_its_flags_below(command, capsys):
    assert call(command, "--help") == 0
    text = capsys.readouterr().out
    assert f"usage: scratchdet {command}" in text
    assert "--help" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples_that_are_not_broken_up(command, capsys):
    call(command, "--help")
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert any(line.startswith(f"scratchdet {command}") for line in lines)


def test_help_lists_the_commands(capsys):
    assert call("--help") == 0
    text = capsys.readouterr().out
    assert all(f"  {command} " in text for command in COMMANDS)


def test_no_command_is_wrong_use(capsys):
    assert call() == 2
    assert "usage: scratchdet COMMAND" in capsys.readouterr().err


def test_the_version_is_that_of_the_package(capsys):
    assert call("--version") == 0
    assert capsys.readouterr().out.strip() == version("scratchdet")


def test_help_does_not_wait_for_torch():
    code = """
import sys
from scratchdet.cli import COMMANDS, main
for arguments in [["--help"], ["recipes"], *([command, "--help"] for command in COMMANDS)]:
    try:
        main(arguments)
    except SystemExit:
        pass
    slow = [name for name in ("torch", "cv2", "matplotlib", "sklearn") if name in sys.modules]
    assert not slow, (arguments, slow)
"""
    done = python(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["fly"],
            "no command is called 'fly'; there are demo, train, check, eval, detect, export",
        ),
        (["train"], "give the data set to train on, or --resume runs/NAME"),
        (["train", "nowhere"], "nowhere: no such file or folder"),
        (["train", "nowhere", "--recipe", "nano"], "no such file or folder"),
        (["train", "nowhere", "--recipe", "gigantic"], "'gigantic' is neither a recipe file nor"),
        (["train", "--resume", "runs/none"], "no run to resume at runs/none"),
        (["eval", "runs/none", "nowhere"], "no model at runs/none"),
        (["detect", "runs/none", "nowhere.jpg"], "nowhere.jpg: no such file or folder"),
        (["detect", "run", ".", "--min-score", "5"], "--min-score is 5; scores are from 0 to 1"),
        (["pack", "--verify", "."], ". is no pack"),
        (["recipes", "gigantic"], "gigantic is neither a recipe file nor a shipped recipe"),
    ],
)
def test_wrong_use_is_answered_in_one_line(arguments, said, capsys):
    assert call(*arguments) == 2
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert line.startswith("scratchdet")
    assert said.replace("'gigantic'", "gigantic") in line


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["models", "--fast"], "--fast"),
        (["train", "x", "--optim.speed", "3"], "--optim.speed"),
        (["train", "x", "--optim.lr", "quick"], "quick"),
        (["eval", "run", "x", "--protocol", "map"], "map"),
        (["eval", "run"], "A VOC folder, COCO JSON, YOLO folder or pack"),
    ],
)
def test_a_flag_or_value_that_does_not_exist_is_named(arguments, named, capsys):
    assert call(*arguments) == 2
    shown = capsys.readouterr()
    assert named in shown.err + shown.out
    assert "Traceback" not in shown.err + shown.out


def test_an_unknown_model_is_refused_with_those_there_are(data, recipe_file, capsys):
    assert call("train", data, "--recipe", recipe_file, "--model.name", "yolo") == 2
    error = capsys.readouterr().err
    assert error.startswith("scratchdet train: model.name is 'yolo'; choose from ssd300_vgg16")
    assert error.count("\n") == 1


def test_debug_shows_the_traceback():
    with pytest.raises(ValueError, match="neither a recipe file nor"):
        main(["--debug", "recipes", "gigantic"])


# The work


@pytest.mark.parametrize("write", [voc, coco, yolo])
def test_train_eval_and_detect_follow_one_another(write, scenes, recipe_file, capsys, here):
    root = write(here / "dätä", [(f"bild {name}", s) for name, s in scenes(9, empty={1})])
    assert call("train", root, "--recipe", recipe_file) == 0
    said = capsys.readouterr().out
    run = Path("runs/dätä")
    assert "run: runs/dätä" in said
    assert "training on train: 6 images, 1 of them without objects, 5 objects of 2 cl" in said
    assert "validation on val: 3 images" in said
    figures = json.loads((run / "metrics.json").read_text())
    assert (figures["split"], figures["steps"]) == ("val", 2)
    assert set(figures["ap_per_class"]) == set(CLASSES)

    assert call("eval", run, root, "--json") == 0
    again = json.loads(capsys.readouterr().out)
    assert again["split"] == "val"
    assert again["ap50"] == figures["ap50"]
    assert again["num_objects"] == 3

    images = root / ("JPEGImages" if write is voc else "images" if write is yolo else "val")
    count = 3 if write is coco else 9
    assert call("detect", run, images, "--out", "gefunden", "--min-score", "0.05") == 0
    assert f"objects in {count} images: gefunden" in capsys.readouterr().out
    lines = (here / "gefunden/detections.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == count
    assert len(list((here / "gefunden").glob("bild *.png"))) == count
    found = [item for line in lines for item in json.loads(line)["objects"]]
    assert all(item["class"] in CLASSES and item["score"] > 0.05 for item in found)


def test_the_commands_it_recommends_are_right(data, recipe_file, capsys):
    call("train", data, "--recipe", recipe_file, "--name", "so")
    lines = capsys.readouterr().out.splitlines()
    listed = [line.split()[-1] for line in lines[: lines.index("Next:")] if line.startswith("  ")]
    assert {Path(path).name for path in listed} >= {
        "model.safetensors", "metrics.json", "training.png", "detections.png", "recipe.toml",
    }  # fmt: skip
    assert all(Path(path).exists() for path in listed if path.startswith("runs/"))
    command = next(line.split() for line in lines if "scratchdet eval" in line)
    assert call(*command[1:]) == 0


def test_the_command_line_has_the_last_word_over_the_recipe(data, recipe_file):
    flags = ["--steps", "3", "--lr=0.125", "--optim.ema", "0.5", "--seed", "4", "--batch", "2"]
    assert call("train", data, "--recipe", recipe_file, *flags, "--val-split", "none") == 0
    recipe = load_recipe("runs/formen/recipe.toml")
    assert (recipe.schedule.steps, recipe.optim.lr, recipe.optim.ema) == (3, 0.125, 0.5)
    assert (recipe.run.seed, recipe.data.batch, recipe.data.val_split) == (4, 2, "none")
    assert recipe.model.input_size == (64, 64)


def test_a_second_run_does_not_overwrite_the_first(data, recipe_file, here):
    for _ in range(2):
        flags = ["--recipe", recipe_file, "--name", "x", "--steps", "1"]
        assert call("train", data, *flags) == 0
    assert {path.name for path in (here / "runs").iterdir()} == {"x", "x-2"}


def test_the_recipe_is_chosen_by_the_data(data, here, capsys, monkeypatch):
    seen = []

    def note(recipe, **named):
        seen.append(recipe)
        raise RuntimeError("seen enough")

    monkeypatch.setattr(loop, "train", note)
    assert call("train", data, "--device", "cpu", "--steps", "7") == 1
    assert "recipe: small_data, for 6 images on a CPU" in capsys.readouterr().out
    assert seen == [
        differing(load_recipe("small_data"), schedule={"steps": 7}, run={"device": "cpu"})
    ]


def test_an_interrupted_run_is_resumed(data, recipe_file, capsys, monkeypatch):
    train_step = loop.train_step

    def interrupted_step(*arguments, **named):
        os.kill(os.getpid(), signal.SIGINT)
        return train_step(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", interrupted_step)
        assert call("train", data, "--recipe", recipe_file, "--name", "x") == 1
    assert "scratchdet train: stopped and saved after step 1 of 2" in capsys.readouterr().err
    assert call("train", "--resume", "runs/x") == 0
    assert "resumed at step 1" in capsys.readouterr().out
    assert json.loads(Path("runs/x/metrics.json").read_text())["steps"] == 2


def test_a_finished_run_can_be_resumed_for_longer(data, recipe_file):
    assert call("train", data, "--recipe", recipe_file, "--name", "x") == 0
    assert call("train", "--resume", "runs/x", "--steps", "3") == 0
    assert json.loads(Path("runs/x/metrics.json").read_text())["steps"] == 3


def test_figures_are_a_table_for_people(run, data, capsys):
    assert call("eval", run, data, "--split", "train+val", "--protocol", "voc07") == 0
    text = capsys.readouterr().out
    assert "train+val: 9 images, 8 objects, protocol voc07" in text
    assert all(name in text for name in (*CLASSES, "AP50"))


def test_json_is_alone_on_the_standard_output(run, scenes, here, capsys):
    everything = [(name, s) for name, s in scenes(4)]
    root = write_voc(here / "voc", {"all": everything}, classes=("rot", "violett"))
    assert call("eval", run, root, "--json") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["num_objects"] == 2
    assert "is of none of the classes: grün, rot" in shown.err


def test_data_of_other_classes_are_refused(run, scenes, here, capsys):
    root = write_voc(here / "voc", {"all": scenes(2)}, classes=("x", "y"))
    assert call("eval", run, root) == 2
    assert "no object to evaluate on, of the classes grün, rot" in capsys.readouterr().err


def test_an_unreadable_image_is_told_skipped_and_the_exit_status_1(run, here, capsys):
    write_png(here / "in" / "gut.png", np.zeros((30, 40, 3), np.uint8))
    (here / "in" / os.fsdecode(b"kaputt\xe9.jpg")).write_bytes(b"no image")
    assert call("detect", run, "in") == 1
    text = capsys.readouterr().out
    assert "kaputt" in text
    assert "not an image, or a damaged one" in text
    assert "in 1 images: found" in text
    assert (here / "found" / "gut.png").exists()


def test_training_data_with_odd_names_and_broken_images_are_trained_on(
    scenes, recipe_file, here, capsys
):
    root = voc(here / "voc", scenes(9))
    odd = os.fsdecode(b"caf\xe9 [red]")
    for folder, suffix in (("JPEGImages", ".jpg"), ("Annotations", ".xml")):
        (root / folder / f"000{suffix}").rename(root / folder / f"{odd}{suffix}")
    file = root / "ImageSets/Main/train.txt"
    file.write_bytes(file.read_bytes().replace(b"000", os.fsencode(odd)))
    (root / "JPEGImages" / f"{odd}.jpg").write_bytes(b"no image")
    assert call("train", root, "--recipe", recipe_file) == 0
    assert "1 problems in the data: runs/voc/data_problems.txt" in capsys.readouterr().out
    listed = Path("runs/voc/data_problems.txt").read_text(encoding="utf-8")
    assert "not an image, or a damaged one" in listed


def test_the_demo_trains_resumes_and_begins_again(tiny, scenes, here, monkeypatch, capsys):
    def few(root):
        parts = {"train": scenes(4), "val": [], "test": []}
        return root if root.exists() else write_voc(root, parts, classes=CLASSES)

    short = differing(tiny, schedule={"steps": 1}, data={"test_split": "test"})
    monkeypatch.setattr("scratchdet.data.digits.write_digits", few)
    monkeypatch.setitem(RECIPES, "digits", Shipped(recipe=short))
    assert call("demo", "--data-only", "nur") == 0
    assert (here / "nur" / "JPEGImages").is_dir()
    assert not (here / "runs").exists()
    assert call("demo", "--device", "cpu") == 0
    metrics = here / "runs/demo/metrics.json"
    assert json.loads(metrics.read_text())["split"] == "test"
    metrics.unlink()
    capsys.readouterr()
    assert call("demo", "--device", "cpu") == 0
    assert "resumed at step 1" in capsys.readouterr().out
    assert call("demo", "--device", "cpu") == 0
    assert "resumed" not in capsys.readouterr().out


def test_the_demo_replaces_no_run_but_its_own(run, scenes, here, monkeypatch, capsys):
    monkeypatch.setattr("scratchdet.data.digits.write_digits", lambda root: root)
    before = sorted(run.rglob("*"))
    assert call("demo", "--run-dir", run) == 2
    assert "holds a run that is no demo" in capsys.readouterr().err
    assert sorted(run.rglob("*")) == before


def test_detect_neither_replaces_its_images_nor_finds_its_own_pictures(run, data, here, capsys):
    shutil.copytree(data / "JPEGImages", here / "photos")
    before = {path: path.read_bytes() for path in (here / "photos").iterdir()}
    assert call("detect", run, "photos", "--out", "photos") == 2
    assert "give another --out" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (here / "photos").iterdir()} == before
    for _ in range(2):
        assert call("detect", run, "photos", "--out", "photos/found") == 0
        assert f"in {len(before)} images" in capsys.readouterr().out


def test_eval_leaves_out_what_was_trained_on(scenes, recipe_file, capsys, here):
    write_voc(here / "formen", {"all": scenes(20)}, classes=CLASSES)
    root = "formen"  # as people type it: relative
    shutil.rmtree(here / root / "ImageSets")
    assert call("train", root, "--recipe", recipe_file) == 0
    held_out = json.loads((here / "runs/formen/metrics.json").read_text())
    capsys.readouterr()
    assert call("eval", "runs/formen", root, "--json") == 0
    said = capsys.readouterr()
    again = json.loads(said.out)
    assert f"{20 - held_out['num_images']} images are left out" in said.err
    assert {key: again[key] for key in ("num_images", "num_objects", "ap50")} == {
        key: held_out[key] for key in ("num_images", "num_objects", "ap50")
    }


def test_eval_says_when_it_is_asked_for_what_was_trained_on(run, data, capsys):
    assert call("eval", run, data, "--split", "train") == 0
    assert "NOTE: the detector was trained on 6 of these 6 images" in capsys.readouterr().out


def test_it_runs_as_a_module_on_a_path_of_its_own(data, recipe_file, here):
    command = [sys.executable, "-m", "scratchdet", "train", data, "--recipe", recipe_file]
    done = subprocess.run([*command, "--steps", "1"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "AP50" in done.stdout
    assert done.stderr == ""
    assert from_toml(
        (here / "runs/formen/recipe.toml").read_text(), source="run", bases={}
    ).data.path == str(data)
    done = subprocess.run([*command, "--optim.lr", "-1"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
