"""INT8: close to float32, refused where it costs too much, from the library and as a command."""

import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from scratchdet.cli import main
from scratchdet.data.images import read_image
from scratchdet.data.voc_write import write_voc
from scratchdet.evaluation import run
from scratchdet.export import int8
from scratchdet.export.calibration import read_material
from scratchdet.export.int8 import before_last_convolutions, export_int8, quantise
from scratchdet.export.onnx import make_card, session_of
from scratchdet.export.runtime import ExportedDetector
from scratchdet.export.to_onnx import to_onnx
from scratchdet.models.detector import Detector
from scratchdet.models.saved import save_model
from scratchdet.models.zoo import create_model
from scratchdet.ops.pixels import fitted
from scratchdet.structures import DataError, Sample, as_arrays

SIZE = (64, 64)


def make_detector(channels: int = 1) -> Detector:
    """Untrained, with norms that know their inputs, and scores from 0 to 1."""
    torch.manual_seed(0)
    detector = create_model("scratchdet_nano", 2, channels, input_size=SIZE)
    for layer in detector.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # the mean of all that it is shown
            layer.weight.data.uniform_(0.5, 2)
    batch = torch.from_numpy(fitted(make_images(channels), SIZE))
    with torch.no_grad():
        detector.train()(detector.normalise(batch))
    return detector.eval()


def make_images(channels: int = 1, count: int = 6) -> list[np.ndarray]:
    """Noise, smooth enough to be told from other noise when it is small."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 8, 8, channels), dtype=np.uint8)
    return list(coarse.repeat(10, axis=1).repeat(8, axis=2))


@pytest.fixture(scope="module")
def detector() -> Detector:
    return make_detector()


@pytest.fixture(scope="module")
def model(detector) -> onnx.ModelProto:
    return to_onnx(detector, make_card(detector))


@pytest.fixture(autouse=True)
def exported_once(model, monkeypatch):
    """Exporting takes seconds, and all of these tests are of one detector."""
    monkeypatch.setattr(int8, "to_onnx", lambda *_: model)


@pytest.fixture
def data(detector, tmp_path):
    """A VOC folder in which exactly what the detector finds best is annotated."""
    none = np.zeros((0, 4), np.float32)
    scenes = [(f"{n}", Sample(image, none, *rows(0))) for n, image in enumerate(make_images())]
    splits = {"train": scenes[:4], "test": scenes[4:]}
    folder = write_voc(tmp_path / "data", splits, classes=detector.classes)
    found = []
    for name, _ in scenes:  # in the images as JPEG has them
        image = read_image(folder / f"JPEGImages/{name}.jpg", channels=1)
        boxes, _, labels = (part[:4] for part in as_arrays(detector.predict([image])[0]))
        found.append((name, Sample(image, boxes.round(), labels, np.zeros(len(boxes), bool))))
    write_voc(tmp_path / "annotated", {"all": found}, classes=detector.classes)
    shutil.copytree(tmp_path / "annotated/Annotations", folder / "Annotations", dirs_exist_ok=True)
    return folder


def one_object() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.array([[1, 2, 30, 40]], np.float32), *rows(1)


def rows(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and flags of so many objects."""
    return np.zeros(count, np.int64), np.zeros(count, bool)


@pytest.mark.parametrize("channels", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_int8_says_nearly_what_float32_says(channels, model):
    images = make_images(channels)
    if channels > 1:  # not the one that is exported already
        detector = make_detector(channels)
        model = to_onnx(detector, make_card(detector))

    small = quantise(model, images, size=SIZE)

    batch = fitted(images, SIZE)
    exact, near = session_of(model)(batch), session_of(small)(batch)
    scores = [found["all_scores"].ravel() for found in (exact, near)]
    assert scores[0].std() > 0.1  # there is something to tell apart
    assert np.corrcoef(*scores)[0, 1] > 0.9
    assert abs(exact["all_boxes"] - near["all_boxes"]).mean() < 1
    assert small.ByteSize() < 0.4 * model.ByteSize()


def test_every_convolution_is_in_int8_and_nothing_behind_the_last(model):
    small = quantise(model, make_images(), size=SIZE)

    before = set(before_last_convolutions(small))
    tail = [node for node in small.graph.node if node.name not in before]
    makers = {out: node.op_type for node in small.graph.node for out in node.output}
    inputs = [name for node in small.graph.node if node.op_type == "Conv" for name in node.input]
    assert {makers[name] for name in inputs if name in makers} == {"DequantizeLinear"}
    assert len(inputs) > 60
    assert {"Softmax", "Concat", "NonMaxSuppression", "TopK"} <= {node.op_type for node in tail}
    rounded = [makers[node.input[0]] for node in tail if node.op_type == "QuantizeLinear"]
    assert set(rounded) == {"Conv"}


@pytest.mark.parametrize(
    ("choices", "error", "message"),
    [
        ({"max_drop": -1.0}, RuntimeError, "by more than -1"),
        ({"calibration": []}, ValueError, "there is none"),
        ({"measure": lambda predictor: float("nan")}, ValueError, "no object"),
        ({"form": "raw"}, ValueError, "--form raw"),
        ({"name": "small.pt"}, ValueError, "INT8 is for .onnx and .xml"),
    ],
)
def test_what_is_not_as_good_or_cannot_be_told_writes_nothing(
    detector, tmp_path, choices, error, message
):
    given = {"calibration": make_images(), "measure": lambda predictor: 0.5, "max_drop": 0.0}
    form = choices.get("form", "end-to-end")
    file = tmp_path / choices.get("name", "small.onnx")
    given |= {name: value for name, value in choices.items() if name in given}
    with pytest.raises(error, match=re.escape(message)):
        export_int8(detector, file, card=make_card(detector, form=form), **given)
    assert not list(tmp_path.iterdir())


def test_bytes_that_are_not_what_was_measured_are_not_written(detector, tmp_path, monkeypatch):
    def save(model, path, *, save=onnx.save, **choices):
        for entry in model.graph.initializer if Path(path).parent == tmp_path else ():
            if entry.data_type == onnx.TensorProto.INT8 and len(entry.dims) == 4:
                values = onnx.numpy_helper.to_array(entry) // 2
                entry.CopyFrom(onnx.numpy_helper.from_array(values, entry.name))
        save(model, path, **choices)

    monkeypatch.setattr(onnx, "save", save)
    given = {"calibration": make_images(), "measure": lambda predictor: 0.5, "max_drop": 0.0}
    with pytest.raises(RuntimeError, match=r"the file that was written gives other \w+ than"):
        export_int8(detector, tmp_path / "small.onnx", card=make_card(detector), **given)
    assert not list(tmp_path.iterdir())


def test_it_is_calibrated_on_other_images_than_it_is_measured_on(detector, data, tmp_path):
    material = read_material(detector, data)
    assert len(material.calibration) == 4
    assert list(material.measured.ids) == ["4", "5"]
    assert "4 of 4 images" in material.notes[0]
    assert len(material.notes) == 2

    scenes = [
        (name, Sample(image, *one_object()))
        for name, image in zip("ab", make_images(), strict=False)
    ]
    write_voc(tmp_path / "both", {"x": scenes[:1], "test": scenes[1:]}, classes=detector.classes)
    material = read_material(detector, tmp_path / "both")
    assert "1 of 1 images" in material.notes[0]
    assert list(material.measured.ids) == ["b"]

    alone = tmp_path / "alone"
    write_voc(alone, {"test": scenes[:1]}, classes=detector.classes)
    material = read_material(detector, alone)
    assert len(material.calibration) == len(material.measured) == 1
    assert material.notes[-1].startswith("NOTE")


def test_images_that_were_trained_on_are_not_measured_on_where_there_are_others(detector, data):
    trained = {read_material(detector, data).measured.paths[0]}
    material = read_material(detector, data, trained=trained)
    assert list(material.measured.ids) == ["5"]


def test_data_without_objects_cannot_tell_what_int8_costs(detector, tmp_path):
    empty = Sample(make_images()[0], np.zeros((0, 4), np.float32), *rows(0))
    write_voc(tmp_path / "empty", {"test": [("0", empty)]}, classes=detector.classes)
    with pytest.raises(DataError, match="no object"):
        read_material(detector, tmp_path / "empty")


def test_the_command_writes_or_refuses_by_what_it_measures(detector, data, tmp_path, capsys):
    saved = tmp_path / "nano.safetensors"
    save_model(detector, saved)
    arguments = ["export", str(saved), "--int8", "--data", str(data)]

    assert main([*arguments, "--max-drop", "1"]) == 0
    printed = capsys.readouterr().out
    before, after = map(float, re.findall(r"([\d.]+) in (?:float32|INT8)", printed))
    assert 1 >= before > 0.5  # of what it finds itself, in rounded boxes
    assert 0 < after < before
    file = tmp_path / "nano-int8.onnx"
    found = run.evaluate(ExportedDetector(file), read_material(detector, data).measured)
    assert found.ap50 == pytest.approx(after, abs=1e-4)

    file.unlink()
    assert main([*arguments, "--max-drop", f"{(before - after) / 2}"]) == 1
    assert "AP drops from" in capsys.readouterr().err
    assert not file.exists()
    assert main(["export", str(saved), "--int8"]) == 2
    assert "--data PATH" in capsys.readouterr().err
    assert main([*arguments, "--format", "torchscript"]) == 2
    assert "not nano-int8.pt" in capsys.readouterr().err
