"""OpenVINO: two files that find what the detector finds, or words about what is missing."""

import re
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch

from scratchdet.cli import main
from scratchdet.export import openvino
from scratchdet.export.int8 import SAVERS, quantise
from scratchdet.export.onnx import make_card
from scratchdet.export.openvino import export_openvino, save_openvino
from scratchdet.export.runtime import ExportedDetector
from scratchdet.export.to_onnx import to_onnx
from scratchdet.models.zoo import MODELS, create_model
from scratchdet.predictors import load_predictor
from scratchdet.structures import as_arrays

installed = pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed")


@pytest.fixture
def exported_once(exported, monkeypatch):
    """Exporting takes seconds."""
    monkeypatch.setattr("scratchdet.export.to_onnx.to_onnx", lambda *_: onnx.load(exported))


@installed
def test_the_two_files_find_what_the_onnx_file_finds(
    nano, images, exported, exported_once, tmp_path
):
    file = tmp_path / "nano.xml"
    card = make_card(nano, about={"recipe": 'name = "tést"\n\t<&>'})
    difference = export_openvino(nano, file, card=card, images=images)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["nano.bin", "nano.xml"]
    assert difference.images == len(images)
    predictor = load_predictor(file)
    assert predictor.card == card
    for found, expected in zip(
        predictor.predict(images), ExportedDetector(exported).predict(images), strict=True
    ):
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
        assert np.median(abs(found.boxes - expected.boxes)) < 1e-3
    assert predictor.predict([]) == []
    (alone,) = predictor.predict(images[:1])
    assert len(as_arrays(alone).scores)


@installed
def test_int8_of_onnxruntime_runs_in_openvino(exported, images, tmp_path):
    model = onnx.load(exported)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    size = ExportedDetector(exported).input_size
    save_openvino(quantise(model, images, size=size), tmp_path / "small.xml", metadata=metadata)
    save_openvino(model, tmp_path / "large.xml", metadata=metadata)
    sizes = [(tmp_path / f"{name}.bin").stat().st_size for name in ("small", "large")]
    assert sizes[0] < 0.3 * sizes[1]
    assert len(ExportedDetector(tmp_path / "small.xml").predict(images)) == len(images)


@installed
def test_another_network_is_not_kept(make, images, exported_once, tmp_path):
    other = make.nano(seed=1)
    with pytest.raises(RuntimeError, match="Nothing was written"):
        export_openvino(other, tmp_path / "nano.xml", card=make_card(other), images=images)
    assert not list(tmp_path.iterdir())


@installed
def test_bytes_that_are_not_what_was_verified_are_not_written(
    nano, images, exported_once, tmp_path, monkeypatch
):
    import openvino as library

    def save(model, path, *, save=library.save_model, **_):
        save(model, path, compress_to_fp16=True)

    monkeypatch.setattr(library, "save_model", save)
    with pytest.raises(RuntimeError, match=r"the file that was written gives other \w+ than"):
        export_openvino(nano, tmp_path / "nano.xml", card=make_card(nano), images=images)
    assert not list(tmp_path.iterdir())


@installed
@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no model at"),
        ({"nano.xml": b"<net/>"}, "without its weights: there is no nano.bin"),
        ({"nano.xml": b"<net/>", "nano.bin": b""}, "no OpenVINO model, or damaged"),
        ({"nano.xml": b"\xff", "nano.bin": b""}, "no OpenVINO model, or damaged"),
    ],
)
def test_files_that_are_no_such_network_are_told_in_words(files, message, tmp_path):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_predictor(tmp_path / "nano.xml")


@installed
def test_what_openvino_cannot_run_is_told_in_words(tmp_path):
    node = onnx.helper.make_node("NotOfOnnx", ["images"], ["boxes"])
    value = onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1])
    result = onnx.helper.make_tensor_value_info("boxes", onnx.TensorProto.FLOAT, [1])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [value], [result]))
    with pytest.raises(RuntimeError, match="OpenVINO cannot run this network"):
        save_openvino(model, tmp_path / "other.xml", metadata={})
    assert not list(tmp_path.iterdir())


@installed
def test_a_network_of_others_is_told_from_ours(exported, tmp_path):
    save_openvino(onnx.load(exported), tmp_path / "other.xml", metadata={"format": "theirs"})
    with pytest.raises(ValueError, match="was not exported by this version"):
        ExportedDetector(tmp_path / "other.xml")


@installed
@pytest.mark.parametrize("metadata", [[], 5])
def test_metadata_of_another_kind_are_refused_by_the_name_of_the_file(exported, tmp_path, metadata):
    save_openvino(onnx.load(exported), tmp_path / "other.xml", metadata=metadata)
    with pytest.raises(ValueError, match=r"other.xml has metadata that cannot be read"):
        ExportedDetector(tmp_path / "other.xml")


def test_without_openvino_its_extra_is_named(tmp_path, monkeypatch, capsys):
    for name in ("nano.xml", "nano.bin"):
        (tmp_path / name).write_bytes(b"")
    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((8, 8, 3), np.uint8))
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert main(["detect", str(tmp_path / "nano.xml"), str(tmp_path / "photo.png")]) == 2
    assert openvino.MISSING in capsys.readouterr().err


@installed
def test_the_example_of_the_docs_finds_what_the_detector_finds(
    exported, nano, images, tmp_path, monkeypatch, capsys
):
    deploy = Path(__file__).resolve().parents[2] / "docs/deploy.md"
    examples = re.findall(r"```python\n(.*?)```", deploy.read_text(encoding="utf-8"), re.DOTALL)
    (example,) = (one for one in examples if "detector.xml" in one)
    model = onnx.load(exported)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    save_openvino(model, tmp_path / "detector.xml", metadata=metadata)
    cv2.imwrite(str(tmp_path / "photo.jpg"), images[2])
    monkeypatch.chdir(tmp_path)
    image = cv2.cvtColor(cv2.imread("photo.jpg"), cv2.COLOR_BGR2RGB)

    exec(compile(example, str(deploy), "exec"), {})

    names = re.findall("left|right", capsys.readouterr().out)
    (expected,) = nano.predict([image])
    assert names == [nano.classes[label] for label in expected.labels]


@installed
@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_the_same_in_openvino_and_runs_in_int8(name, images, tmp_path):
    torch.manual_seed(0)
    detector = create_model(name, num_classes=3, input_size=160).eval()
    card = make_card(detector)
    difference = export_openvino(detector, tmp_path / "m.xml", card=card, images=images)
    assert difference.detections > 0
    small = quantise(to_onnx(detector, card), images, size=card.input_size)
    for suffix, save in SAVERS.items():
        save(small, tmp_path / f"small{suffix}", metadata=card.to_strings())
        assert len(ExportedDetector(tmp_path / f"small{suffix}").predict(images[:1])[0].scores)
