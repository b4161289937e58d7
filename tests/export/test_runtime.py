"""An exported network at work: as the detector, without torch, and wrong files refused in words."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from scratchdet.cli import main
from scratchdet.export.card import from_strings
from scratchdet.export.onnx import save_onnx
from scratchdet.export.runtime import ExportedDetector
from scratchdet.predictors import asked_again, load_predictor, recipe_of
from scratchdet.testing import Asking

BLOCKED = Path(__file__).with_name("blocked.py")


@pytest.fixture(scope="module")
def network(exported):
    return ExportedDetector(exported)


def test_it_is_a_predictor_like_the_detector(network, nano):
    for name in ("classes", "in_channels", "image_dtype", "files", "input_size"):
        assert getattr(network, name) == getattr(nano, name)


def test_no_images_no_detections(network):
    assert network.predict([]) == []


def test_boxes_are_in_pixels_of_each_image_and_inside_it(network, images):
    for image, found in zip(images, network.predict(images), strict=True):
        height, width = image.shape[:2]
        assert (found.boxes >= 0).all()
        assert (found.boxes <= [width, height, width, height]).all()
        assert found.boxes[:, 2].max() > 0.8 * width
        assert found.boxes.dtype == found.scores.dtype == np.float32
        assert (np.diff(found.scores) <= 0).all()


def test_fewer_and_better_ones_are_found_on_request(network, images):
    (all_,) = network.predict(images[:1])
    limit = float(all_.scores[50])
    (better,) = network.predict(images[:1], min_score=limit)
    assert len(better.scores) == 50
    np.testing.assert_array_equal(better.boxes, all_.boxes[:50])
    (few,) = network.predict(images[:1], keep=3)
    np.testing.assert_array_equal(few.scores, all_.scores[:3])
    (none,) = network.predict(images[:1], min_score=1.0)
    assert [part.shape for part in none] == [(0, 4), (0,), (0,)]


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"min_score": 0.001}, "exported with min_score 0.01 and keep 200"),
        ({"keep": 300}, "cannot find .* more objects"),
        ({"nms_iou": 0.5}, "nms_iou was exported as 0.45 and cannot be 0.5"),
        ({"min_scores": 0.5}, "'min_scores' is no choice"),
        ({"input_size": (64, 64)}, "images of 64 x 96, not 64 x 64: export it with --dynamic-size"),
    ],
)
def test_what_was_fixed_when_it_was_exported_cannot_be_chosen(network, images, choices, said):
    with pytest.raises(ValueError, match=said):
        network.predict(images[:1], **choices)


def test_images_are_checked_as_the_detector_checks_them(network):
    with pytest.raises(ValueError, match=r"this detector takes \(H, W, 3\) of uint8"):
        network.predict([np.zeros((9, 9), np.uint8)])


def plain_model(path, **metadata) -> None:
    """A valid ONNX file that is no detector."""
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    save_onnx(model, path, metadata=metadata)


def test_another_programs_network_is_said_to_be_no_export_of_ours(tmp_path):
    plain_model(tmp_path / "relu.onnx", author="another")
    with pytest.raises(ValueError, match=r"relu.onnx was not exported by this version"):
        load_predictor(tmp_path / "relu.onnx")


@pytest.mark.parametrize("length", [0, 1, 10_000, -1000])
def test_a_damaged_file_is_refused_in_one_line(tmp_path, exported, capsys, length):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(exported.read_bytes()[:length])
    picture = tmp_path / "picture.png"
    cv2.imwrite(str(picture), np.zeros((20, 20, 3), np.uint8))
    assert main(["detect", str(broken), str(picture), "--out", str(tmp_path / "found")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"{broken} " in line


def test_the_raw_form_is_said_to_find_nothing(tmp_path, exported):
    model = onnx.load(exported)
    entries = {entry.key: entry.value for entry in model.metadata_props} | {"form": "raw"}
    save_onnx(model, tmp_path / "raw.onnx", metadata=entries)
    with pytest.raises(ValueError, match=r"raw form, .* with --form end-to-end"):
        ExportedDetector(tmp_path / "raw.onnx")


def test_labels_without_names_are_refused_by_the_name_of_the_file(tmp_path, exported, images):
    model = onnx.load(exported)
    entries = {entry.key: entry.value for entry in model.metadata_props} | {"classes": '["left"]'}
    save_onnx(model, tmp_path / "poor.onnx", metadata=entries)
    with pytest.raises(ValueError, match=r"poor.onnx finds .* labels 0 to 1, .* name 1 classes"):
        ExportedDetector(tmp_path / "poor.onnx").predict(images[:1])


def test_the_recipe_is_read_and_the_network_opened_once(exported, tmp_path, monkeypatch):
    model = onnx.load(exported)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    path = tmp_path / "trained.onnx"
    save_onnx(model, path, metadata=entries | {"recipe": '[data]\npath = "somewhere"'})
    opened = []

    def session(*arguments, make=onnxruntime.InferenceSession, **choices):
        opened.append(arguments[0])
        return make(*arguments, **choices)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    predictor = load_predictor(path)
    asked_again(predictor, path, Asking("flip"))
    assert recipe_of(predictor, path).data.path == "somewhere"
    assert opened == [str(path)]


def test_a_missing_file_and_another_device_are_named(tmp_path, exported):
    with pytest.raises(FileNotFoundError, match=r"no model at .*none.onnx"):
        load_predictor(tmp_path / "none.onnx")
    with pytest.raises(ValueError, match="runs on the CPU"):
        load_predictor(exported, device="cuda")


def run_blocked(*arguments) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, BLOCKED, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_detect_finds_the_same_where_torch_cannot_be_imported(tmp_path, exported, nano, images):
    picture = tmp_path / "picture.png"
    cv2.imwrite(str(picture), images[0][:, :, ::-1])
    out = tmp_path / "found"
    ran = run_blocked("detect", exported, picture, "--out", out, "--min-score", "0.02")
    assert ran.returncode == 0, ran.stderr
    (line,) = (out / "detections.jsonl").read_text(encoding="utf-8").splitlines()
    found = json.loads(line)["objects"]
    (expected,) = nano.predict([images[0]], min_score=0.02)
    assert len(found) == len(expected.scores) > 0
    assert [one["score"] for one in found[:5]] == pytest.approx(
        expected.scores[:5].tolist(), abs=2e-4
    )


def test_a_model_of_torch_is_seen_to_be_blocked(tmp_path, nano):
    from scratchdet.models.saved import save_model

    save_model(nano, tmp_path / "m.safetensors")
    cv2.imwrite(str(tmp_path / "p.png"), np.zeros((9, 9, 3), np.uint8))
    ran = run_blocked("detect", tmp_path / "m.safetensors", tmp_path / "p.png")
    assert ran.returncode != 0
    assert "torch is blocked" in ran.stderr


def test_the_card_of_the_file_is_that_of_the_network(network, exported):
    entries = {entry.key: entry.value for entry in onnx.load(exported).metadata_props}
    assert network.card == from_strings(entries, source=exported)
