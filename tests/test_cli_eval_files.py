"""`scratchdet eval` of detections in files, and the files that it writes for the challenges."""

import json

import cv2
import numpy as np
import pytest

from scratchdet import create_model
from scratchdet.cli import main
from scratchdet.data.voc_write import write_voc
from scratchdet.models.saved import save_model

BOX = [10, 20, 30, 40]  # x, y, width, height


def call(*arguments: object) -> int:
    """The exit status, whether it is returned or raised."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)


@pytest.fixture
def coco_data(tmp_path):
    """Two images, of the ids 9 and 4, one object in each; there is no image at all."""
    images = [
        {"id": key, "file_name": f"{key:03d}.jpg", "width": 100, "height": 80} for key in (9, 4)
    ]
    objects = [
        {"id": key, "image_id": key, "category_id": 70 + key, "bbox": BOX, "area": 900}
        for key in (4, 9)
    ]
    kinds = [{"id": 79, "name": "dog"}, {"id": 74, "name": "cat"}]
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps({"images": images, "annotations": objects, "categories": kinds}))
    return path


@pytest.fixture
def coco_result(tmp_path):
    """The object of image 4 is found, that of image 9 is not."""
    path = tmp_path / "results.json"
    found = {"image_id": 4, "category_id": 74, "bbox": BOX, "score": 0.5}
    path.write_text(json.dumps([found]))
    return path


def test_a_coco_result_is_evaluated_without_a_detector_and_written_again(
    coco_data, coco_result, tmp_path, capsys
):
    out = tmp_path / "out"
    assert call("eval", coco_result, coco_data, "--protocol", "coco", "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["ap50"], figures["ap_per_class"]) == (0.5, {"cat": 1, "dog": 0})
    assert (figures["ap_small"], figures["ap_medium"]) == (0.5, None)  # by areas: boxes have 1,200
    assert call("eval", coco_result, coco_data, "--submission", "coco", "--out", out) == 0
    written = json.loads((out / "submission.json").read_text())
    assert written == json.loads(coco_result.read_text())


def test_our_own_lines_are_evaluated_without_a_detector(coco_data, tmp_path, capsys):
    lines = tmp_path / "detections.jsonl"
    found = {"class": "dog", "score": 0.9, "box": [10, 20, 40, 60]}
    lines.write_text(json.dumps({"image": "elsewhere/009.jpg", "objects": [found]}))
    assert call("eval", lines, coco_data, "--json") == 0
    assert json.loads(capsys.readouterr().out)["ap_per_class"] == {"cat": 0, "dog": 1}


def test_voc_files_are_evaluated_without_a_detector_and_written_again(scenes, tmp_path, capsys):
    data = write_voc(tmp_path / "data", {"test": scenes(2)}, classes=("a", "b"))
    left, top, right, bottom = map(int, scenes(2)[0][1].boxes[0])
    folder = tmp_path / "results"
    folder.mkdir()
    line = f"000 0.5 {left + 1} {top + 1} {right} {bottom}\n"
    (folder / "comp3_det_test_a.txt").write_text(line)
    (folder / "comp3_det_test_b.txt").write_text("")
    out = tmp_path / "out"
    done = call("eval", folder, data, "--submission", "voc-comp3", "--out", out, "--json")
    assert done == 0
    assert json.loads(capsys.readouterr().out)["ap_per_class"] == {"a": 1, "b": 0}
    assert {file.name: file.read_text() for file in (out / "submission").iterdir()} == {
        "comp3_det_test_a.txt": line,
        "comp3_det_test_b.txt": "",
    }


def test_what_the_file_and_the_data_do_not_have_in_common_is_said(coco_data, tmp_path, capsys):
    lines = tmp_path / "detections.jsonl"
    found = [{"class": name, "score": 0.9, "box": [10, 20, 40, 60]} for name in ("dog", "cow")]
    lines.write_text(json.dumps({"image": "elsewhere/009.jpg", "objects": found}))
    assert call("eval", lines, coco_data, "--json") == 0
    printed = capsys.readouterr()
    notes = [line for line in printed.err.splitlines() if line.startswith("NOTE: ")]
    assert [note.split()[1] for note in notes] == ["1", "1", "classes"]
    assert json.loads(printed.out)["ap_per_class"] == {"cat": 0, "dog": 1, "cow": None}


def test_a_coco_data_set_with_scores_is_evaluated_without_a_detector(coco_data, tmp_path, capsys):
    content = json.loads(coco_data.read_text())
    content["images"] = [one | {"id": one["id"] + 30} for one in content["images"]]
    content["annotations"] = [
        one | {"image_id": one["image_id"] + 30, "score": 0.5} for one in content["annotations"]
    ]
    found = tmp_path / "detections.coco.json"
    found.write_text(json.dumps(content))
    assert call("eval", found, coco_data, "--json") == 0
    printed = capsys.readouterr()
    assert (json.loads(printed.out)["ap50"], printed.err) == (1, "")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ({"image": "001.jpg", "objects": []}, "detections.jsonl:1: image 001.jpg is not in the"),
        ({"image": "004.jpg", "objects": [{"class": "dog", "score": 1, "box": []}]}, "'box'"),
    ],
)
def test_a_wrong_file_is_one_line_and_status_two(coco_data, tmp_path, capsys, line, what):
    path = tmp_path / "detections.jsonl"
    path.write_text(json.dumps(line))
    assert call("eval", path, coco_data) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert what in error
    assert "Traceback" not in error


def test_a_coco_submission_of_other_data_is_refused_before_anything_is_done(
    scenes, tmp_path, capsys
):
    data = write_voc(tmp_path / "data", {"test": scenes(1)}, classes=("a", "b"))
    out = tmp_path / "out"
    assert call("eval", "no model", data, "--submission", "coco", "--out", out) == 2
    assert "is voc data, without COCO's ids" in " ".join(capsys.readouterr().err.split())
    assert call("eval", "no model", data, "--submission", "voc") == 2
    assert "--out FOLDER" in capsys.readouterr().err
    assert not out.exists()


def test_images_without_annotations_are_submitted(tmp_path, capsys):
    """As the images of VOC 2012's test set are published."""
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (tmp_path / "VOC2012" / folder).mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    for name in ("a", "b"):
        picture = cv2.imencode(".jpg", noise)[1]
        (tmp_path / f"VOC2012/JPEGImages/{name}.jpg").write_bytes(picture.tobytes())
    (tmp_path / "VOC2012/ImageSets/Main/test.txt").write_text("a\nb\n")
    detector = create_model("scratchdet_nano", classes=("cat", "dog"), input_size=(64, 64)).eval()
    save_model(detector, tmp_path / "model.safetensors")
    out = tmp_path / "out"
    given = ("eval", tmp_path / "model.safetensors", tmp_path, "--split", "VOC2012/test")
    assert call(*given, "--submission", "voc", "--out", out, "--device", "cpu") == 0
    assert "nothing is measured" in capsys.readouterr().out
    files = sorted((out / "submission").iterdir())
    assert [file.name for file in files] == ["comp4_det_test_cat.txt", "comp4_det_test_dog.txt"]
    lines = [line.split() for file in files for line in file.read_text().splitlines()]
    assert {line[0] for line in lines} == {"a", "b"}  # untrained: it finds all sorts of things
    assert json.loads((out / "evaluation.json").read_text())["ap50"] is None


def test_a_name_that_voc_files_cannot_hold_is_refused_before_detecting(scenes, tmp_path, capsys):
    named = [(f"photo {name}", sample) for name, sample in scenes(2)]
    data = write_voc(tmp_path / "data", {"test": named}, classes=("a", "b"))
    detector = create_model("scratchdet_nano", classes=("a", "b"), input_size=(64, 64)).eval()
    save_model(detector, tmp_path / "model.safetensors")
    given = ("eval", tmp_path / "model.safetensors", data, "--device", "cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scratchdet.evaluation.run.detect_all", None)  # it is not come to
        assert call(*given, "--submission", "voc", "--out", tmp_path / "out") == 2
    assert "'photo 000' has spaces" in " ".join(capsys.readouterr().err.split())


def test_detections_of_another_split_are_said_to_be_of_none_of_its_images(scenes, tmp_path, capsys):
    splits = {"train": scenes(3)[:2], "test": scenes(3)[2:]}
    folder = write_voc(tmp_path / "voc", splits, classes=("a", "b"))
    lines = tmp_path / "detections.jsonl"
    lines.write_text('{"image": "000.jpg", "objects": []}\n')
    assert call("eval", lines, folder) == 2
    assert "(1 images of the split 'test'; --split names others)" in capsys.readouterr().err
    assert call("eval", lines, folder, "--split", "train") == 0


def test_a_file_in_the_place_of_the_folder_for_the_figures_is_refused_first(
    coco_result, tmp_path, capsys
):
    assert call("eval", coco_result, tmp_path / "nowhere", "--out", coco_result) == 2
    assert f"Not a directory: '{coco_result}'" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "kind"), [("a.jpg", "an image"), ("a.pt", "for programs with")])
def test_what_is_no_model_is_called_what_it_is(tmp_path, capsys, name, kind):
    (tmp_path / name).write_bytes(b"1")
    assert call("eval", tmp_path / name, tmp_path) == 2
    assert f"{name} is {kind}" in capsys.readouterr().err
