"""`scratchdet detect` as a command: what it says, what it ends with, and what it imports."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from rtsp_camera import rtsp_camera

from scratchdet.cli import main
from scratchdet.detecting import run
from scratchdet.detecting.run import Summary
from scratchdet.export.onnx import export_onnx
from scratchdet.models.saved import save_model
from scratchdet.models.zoo import create_model

SLOW = {  # to import, and of no use for finding objects
    "faster_coco_eval", "matplotlib", "onnx", "onnxscript", "pandas", "pycocotools", "scipy",
    "sklearn", "tensorboard", "timm",
}  # fmt: skip
TORCH = {"torch", "torchvision", "jaxtyping", "safetensors"}

PROGRAM = """
import sys
from importlib.abc import MetaPathFinder

class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused:
            raise ImportError(f"{name} is imported")

refused = set(sys.argv[1].split(","))
sys.meta_path.insert(0, Refuse())
from scratchdet.cli import main
status = main(sys.argv[2:])
print(*sys.modules, file=sys.stderr)
sys.exit(status)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """An untrained model, saved and exported, and an image."""
    folder = tmp_path_factory.mktemp("detect")
    detector = create_model("scratchdet_nano", 2, input_size=(64, 64), classes=["rot", "grün"])
    save_model(detector, folder / "nano.safetensors")
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    export_onnx(detector.eval(), folder / "nano.onnx", images=[image])
    for name, limits in {
        "strict": {"min_score": 0.02, "keep": 7},
        "stricter": {"min_score": 0.5},
    }.items():
        export_onnx(detector, folder / f"{name}.onnx", images=[image], **limits)
    cv2.imwrite(str(folder / "a.png"), image[..., ::-1])
    return folder


@pytest.fixture
def here(folder, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: object) -> int:
    return main(["detect", *map(str, arguments)])


def objects(out: Path) -> list[list[dict]]:
    lines = (out / "detections.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["objects"] for line in lines]


@pytest.mark.parametrize(
    ("model", "refused", "unwanted"),
    [
        ("nano.safetensors", set(), {*SLOW, "onnxruntime"}),
        ("nano.onnx", TORCH, SLOW),
    ],
)
def test_nothing_is_imported_that_is_not_needed(folder, here, model, refused, unwanted):
    """The first result from a cold start comes soon; and an exported network needs no torch."""
    arguments = ["detect", folder / model, folder / "a.png", "--min-score", "0.02"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, ",".join(refused), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=here,
    )
    assert done.returncode == 0, done.stderr
    assert "objects in 1 images: found" in done.stdout
    assert len(objects(here / "found")[0]) > 0
    imported = {name.partition(".")[0] for name in done.stderr.split()}
    assert "numpy" in imported
    assert not imported & unwanted
    assert "scratchdet.train.loop" not in done.stderr


def test_an_exported_network_finds_what_the_model_finds(folder, here):
    for model in ("nano.safetensors", "nano.onnx"):
        assert call(folder / model, folder / "a.png", "--out", model, "--min-score", "0.02") == 0
    (ours,), (exported,) = objects(here / "nano.safetensors"), objects(here / "nano.onnx")
    assert len(ours) > 10
    # Equal scores, cut to four digits, may be in any order.
    assert len(ours) == len(exported)
    assert [one["score"] for one in exported] == pytest.approx(
        [one["score"] for one in ours], abs=2e-4
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--min-score", "5"], "--min-score is 5; scores are from 0 to 1"),
        (["--class-score", "rot=2"], "--class-score rot is 2; scores are from 0 to 1"),
        (["--class-score", "rot"], "--class-score: rot is not CLASS=SCORE, as in cat=0.5"),
        (["--class-score", "blau=0.1"], "no class is called 'blau'; there are rot, grün"),
        (["--classes", "rot", "blau"], "no class is called 'blau'; there are rot, grün"),
        (["--batch", "0"], "--batch and --every are 1 or more"),
        (["--every", "0"], "--batch and --every are 1 or more"),
    ],
)
def test_wrong_use_is_answered_in_one_line(folder, here, capsys, arguments, said):
    assert call(folder / "nano.onnx", folder / "a.png", *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"scratchdet detect: {said}"
    assert list(here.iterdir()) == []


def test_without_anything_to_look_at_it_says_so(folder, here, capsys):
    assert call(folder / "nano.onnx", "--classes", "rot", folder / "a.png") == 2
    assert "give at least one image, folder, pattern" in capsys.readouterr().err


def test_thresholds_are_of_classes_and_only_wanted_ones_are_kept(folder, here):
    common = [folder / "nano.onnx", folder / "a.png", "--no-pictures", "--min-score", "0.02"]
    found = {}
    for name, more in {
        "all": [],
        "split": ["--class-score", "rot=0.02", "grün=1"],
        "only": ["--classes", "rot"],
    }.items():
        assert call(*common, "--out", name, *more) == 0
        found[name] = objects(here / name)[0]
    assert {one["class"] for one in found["all"]} == {"rot", "grün"}
    assert found["split"] == [one for one in found["all"] if one["class"] == "rot"]
    assert found["only"] == found["split"]


def test_it_says_how_fast_it_was_and_where_more_may_be(folder, here, capsys):
    assert call(folder / "nano.onnx", folder / "a.png", "--min-score", "0.01") == 0
    note, summary = capsys.readouterr().out.splitlines()
    assert note.startswith("NOTE: 1 of the images or frames had 200 detections, the most that")
    assert summary.startswith("200 objects in 1 images: found (")
    assert summary.endswith(" images/s)")


def test_the_note_knows_how_many_an_exported_network_keeps(folder, here, capsys):
    assert call(folder / "strict.onnx", folder / "a.png", "--min-score", "0.02") == 0
    assert capsys.readouterr().out.startswith("NOTE: 1 of the images or frames had 7 detections")


@pytest.mark.parametrize("asking", [["--tta", "flip"], ["--tile", "32"]])
def test_of_several_looks_nothing_is_told_about_how_many_are_kept(folder, here, capsys, asking):
    assert call(folder / "nano.onnx", folder / "a.png", "--min-score", "0.01", *asking) == 0
    assert "NOTE" not in capsys.readouterr().out


def test_a_network_is_asked_for_no_less_than_it_was_exported_with(folder, here, capsys):
    assert call(folder / "stricter.onnx", folder / "a.png") == 0
    assert call(folder / "stricter.onnx", folder / "a.png", "--min-score", "0.4") == 2
    assert "exported with min_score 0.5" in capsys.readouterr().err


def test_without_a_score_what_is_above_three_tenths_counts(folder, here, monkeypatch):
    asked = []
    monkeypatch.setattr(run, "detect", lambda *_, least, **__: asked.append(least) or Summary())
    for model in ("nano.safetensors", "strict.onnx", "stricter.onnx"):
        assert call(folder / model, folder / "a.png") == 0
    assert np.array(asked).tolist() == [[0.3, 0.3], [0.3, 0.3], [0.5, 0.5]]


def test_a_format_that_is_named_twice_is_written_once(folder, here):
    assert call(folder / "nano.onnx", folder / "a.png", "--save", "jsonl", "csv", "jsonl") == 0
    assert len(objects(here / "found")) == 1


def test_several_sources_and_formats_at_once(folder, here, capsys):
    Path("b.jpg").write_bytes(b"no image")
    given = [folder / "*.png", "b.jpg", "webcam:63"]
    assert call(folder / "nano.onnx", *given, "--save", "jsonl", "coco", "csv") == 1
    said = capsys.readouterr().out
    assert "b.jpg: not an image, or a damaged one" in said
    assert "webcam:63: there is no such camera" in said
    assert "2 could not be read, or not to the end: see above" in said
    assert {path.name for path in Path("found").iterdir()} == {
        "a.png", "detections.jsonl", "detections.coco.json", "detections.csv",
    }  # fmt: skip


def interrupted(arguments: list[object], here: Path, when: Path) -> subprocess.CompletedProcess:
    """The command with Ctrl-C as soon as there is a file like `when`, on a terminal of its own."""
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "scratchdet", "detect", *map(str, arguments)]
    process = subprocess.Popen(command, cwd=here, stdout=terminal, stderr=terminal)
    os.close(terminal)
    while process.poll() is None and not list(when.parent.glob(when.name)):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said = b""
    try:
        while part := os.read(controller, 1024):
            said += part
    except OSError:  # how Linux says that the other side has closed a terminal
        pass
    os.close(controller)
    return subprocess.CompletedProcess(command, process.wait(timeout=60), said.decode())


def picture(number: int) -> np.ndarray:
    return np.full((96, 128, 3), number, np.uint8)


def test_ctrl_c_ends_a_stream_with_everything_written(folder, here):
    with rtsp_camera(picture, frames=10_000, pause=0.02) as address:
        arguments = [folder / "nano.onnx", address, "--min-score", "0.01"]
        done = interrupted(arguments, here, here / "found/.live.*.mp4")
    assert done.returncode == 0
    assert "detecting" in done.stdout  # the progress bar
    frames = len(objects(here / "found"))
    assert frames > 0
    assert f" objects in {frames} frames: found (" in done.stdout
    assert {path.name for path in (here / "found").iterdir()} == {"live.mp4", "detections.jsonl"}


def test_ctrl_c_among_images_says_that_they_are_not_all(folder, here):
    (here / "in").mkdir()
    for number in range(2000):
        (here / f"in/{number:04d}.png").symlink_to(folder / "a.png")
    done = interrupted([folder / "nano.onnx", "in"], here, here / "found/*.png")
    assert done.returncode == 130
    assert "interrupted: the results are of what was done until then" in done.stdout
    assert 0 < len(objects(here / "found")) < 2000
