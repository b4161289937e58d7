"""`scratchdet eval`: of a model, an exported one and a file of detections; what it writes."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch

from scratchdet.cli import main
from scratchdet.data.voc_write import write_voc
from scratchdet.models.saved import load_model, save_model
from scratchdet.models.zoo import create_model
from scratchdet.recipe import differing
from scratchdet.recipe_toml import to_toml

CLASSES = ("rot", "grün")
CHARTS = {"precision_recall.png", "f1.png", "confusion.png", "errors.png"}
FIGURES = ("ap50", "num_images", "num_objects", "ap_per_class")


@pytest.fixture(scope="module")
def work(tmp_path_factory, scenes) -> Path:
    """A folder with VOC data, the same as COCO, a model that was never trained, and its finds."""
    folder = tmp_path_factory.mktemp("work")
    everything = scenes(8, empty={1})
    write_voc(folder / "voc", {"train": everything[:3], "test": everything[3:]}, classes=CLASSES)
    write_coco(folder / "coco", everything)
    torch.manual_seed(0)
    detector = create_model("scratchdet_nano", classes=CLASSES, input_size=(64, 64))
    save_model(detector.eval(), folder / "model.safetensors", provenance="nobody knows")
    found = ["--out", folder / "found", "--min-score", "0.01", "--no-pictures"]
    assert call("detect", folder / "model.safetensors", folder / "voc/JPEGImages", *found) == 0
    return folder


def write_coco(root: Path, scenes) -> None:
    """All images of one split, image and category ids that no position is equal to."""
    images, annotations = [], []
    for number, (name, sample) in enumerate(scenes):
        path = root / "val" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", sample.image[..., ::-1])[1].tobytes())
        size = {"width": 64, "height": 64}
        images.append({"id": 100 - number, "file_name": path.name, **size})
        for (left, top, right, bottom), label in zip(
            sample.boxes.tolist(), sample.labels.tolist(), strict=True
        ):
            box = [left, top, right - left, bottom - top]
            entry = {"id": len(annotations), "image_id": 100 - number, "category_id": 7 + label}
            annotations.append({**entry, "bbox": box, "area": box[2] * box[3], "iscrowd": 0})
    categories = [{"id": 7 + label, "name": name} for label, name in enumerate(CLASSES)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    file = root / "annotations" / "instances_val.json"
    file.parent.mkdir()
    file.write_text(json.dumps(content), encoding="utf-8")


def call(*arguments: object) -> int:
    """The exit status, whether it is returned or raised."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)


def figures_of(capsys, *arguments: object) -> dict:
    """What eval prints as JSON."""
    capsys.readouterr()
    assert call("eval", *arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_a_model_without_a_recipe_is_evaluated(work, capsys):
    figures = figures_of(capsys, work / "model.safetensors", work / "voc")
    assert (figures["split"], figures["num_images"], figures["num_objects"]) == ("test", 5, 5)
    assert [*figures["classes"]] == [*CLASSES]
    assert figures["protocol"] == "voc"
    assert figures["pixels"] == "devkit"


def test_detections_in_a_file_have_the_figures_of_what_found_them(work, capsys):
    asked = [work / "voc", "--split", "train+test"]
    by_model = figures_of(capsys, work / "model.safetensors", *asked)
    by_file = figures_of(capsys, work / "found/detections.jsonl", *asked)
    assert by_file["ap50"] == pytest.approx(by_model["ap50"], abs=0.01)  # scores are rounded
    assert by_file["num_objects"] == by_model["num_objects"] == 7


@pytest.mark.slow
def test_an_exported_network_has_the_figures_of_its_model_and_knows_what_it_was_trained_on(
    work, tmp_path, tiny, capsys
):
    detector = load_model(work / "model.safetensors")
    recipe = differing(tiny, data={"path": str(work / "voc")})
    save_model(detector, tmp_path / "m.safetensors", about={"recipe": to_toml(recipe)})
    data = ["--data", work / "voc/JPEGImages"]
    assert call("export", tmp_path / "m.safetensors", *data) == 0
    capsys.readouterr()
    asked = [work / "voc", "--split", "train+test", "--json"]
    figures = []
    for suffix in (".safetensors", ".onnx"):
        assert call("eval", tmp_path / f"m{suffix}", *asked) == 0
        shown = capsys.readouterr()
        assert (
            "NOTE: the detector was trained on 2 of these 8 images" in shown.err
        )  # one is held out
        figures.append(json.loads(shown.out))
    assert figures[0]["ap50"] == pytest.approx(figures[1]["ap50"], abs=1e-3)


@pytest.mark.slow
def test_a_network_exported_for_high_scores_alone_is_said_to_have_a_lower_ap(
    work, tmp_path, capsys
):
    given = ["--data", work / "voc/JPEGImages", "--min-score"]
    for least, note in ((0.01, ""), (0.3, "NOTE: the network was exported with --min-score 0.3")):
        out = tmp_path / f"{least}.onnx"
        assert call("export", work / "model.safetensors", "--out", out, *given, least) == 0
        capsys.readouterr()
        assert call("eval", out, work / "voc", "--json") == 0
        shown = capsys.readouterr().err
        assert note in shown
        assert ("--min-score" in shown) == bool(note)


def test_a_file_and_charts_are_written_where_it_is_said(work, tmp_path, capsys):
    model, out = work / "model.safetensors", tmp_path / "figures"
    printed = figures_of(capsys, model, work / "voc", "--out", out)
    assert {path.name for path in out.iterdir()} == {"evaluation.json", *CHARTS}
    assert json.loads((out / "evaluation.json").read_text(encoding="utf-8")) == printed


def test_a_submission_to_voc_has_the_figures_of_what_was_submitted(work, tmp_path, capsys):
    asked = [work / "voc", "--protocol", "voc07"]
    out = ["--out", tmp_path, "--submission", "voc"]
    figures = figures_of(capsys, work / "model.safetensors", *asked, *out)
    names = {path.name for path in (tmp_path / "submission").iterdir()}
    assert names == {f"comp4_det_test_{name}.txt" for name in CLASSES}
    again = figures_of(capsys, tmp_path / "submission", *asked)
    assert {key: again[key] for key in FIGURES} == {key: figures[key] for key in FIGURES}


def test_a_submission_to_coco_has_the_ids_of_the_annotations(work, tmp_path, capsys):
    asked = [work / "coco", "--protocol", "coco"]
    out = ["--out", tmp_path, "--submission", "coco"]
    figures = figures_of(capsys, work / "model.safetensors", *asked, *out)
    entries = json.loads((tmp_path / "submission.json").read_text())
    assert {entry["image_id"] for entry in entries} <= {*range(93, 101)}
    assert {entry["category_id"] for entry in entries} <= {7, 8}
    again = figures_of(capsys, tmp_path / "submission.json", *asked)
    assert {key: again[key] for key in FIGURES} == {key: figures[key] for key in FIGURES}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--submission", "voc"], "--submission: say where, with --out FOLDER"),
        (["--protocol", "coco", "--pixels", "continuous"], "is a choice for voc and voc07"),
        (["--split", "nowhere"], "nowhere"),
        (["--at-score", "5"], "--at-score is 5; scores are from 0 to 1"),
    ],
)
def test_what_does_not_go_together_is_said_in_one_line(work, capsys, flags, said):
    asked = ["--split", "train+test", *flags]  # of a flag that is given twice the last counts
    assert call("eval", work / "found/detections.jsonl", work / "voc", *asked) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("scratchdet eval: ")
    assert said in line


def test_the_pixel_and_the_score_are_as_asked(work, capsys):
    asked = ["--split", "train+test", "--pixels", "continuous", "--at-score", "0.25"]
    figures = figures_of(capsys, work / "found/detections.jsonl", work / "voc", *asked)
    assert figures["pixels"] == "continuous"
    assert figures["confusion"]["threshold"] == 0.25


def test_a_file_of_detections_is_evaluated_without_torch(work):
    arguments = [str(work / "found/detections.jsonl"), str(work / "voc"), "--split", "train+test"]
    code = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision"):
            raise ImportError(name)
sys.meta_path.insert(0, Block())
from scratchdet.cli import main
sys.exit(main(["eval", *{arguments!r}]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "train+test: 8 images, 7 objects" in done.stdout
