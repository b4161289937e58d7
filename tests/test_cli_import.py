"""`scratchdet import-caffe`: from a file of Caffe's to detections and figures."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from caffe_writer import layers_of, to_bytes, write_caffemodel

from scratchdet.cli import main
from scratchdet.data.class_names import COCO_CLASSES, VOC_CLASSES
from scratchdet.data.voc_write import write_voc
from scratchdet.models.detector import Detector
from scratchdet.models.saved import load_model, read_metadata
from scratchdet.models.zoo import create_model
from scratchdet.ops.postprocess import postprocess

NAME = "dsod300_smallest"
MEAN_BGR = np.array([104, 117, 123], np.float32)


def make(folder: Path, num_classes: int, *, name: str = NAME) -> tuple[Detector, Path]:
    """A detector that finds things, and the file that Caffe would have saved of it."""
    torch.manual_seed(0)
    detector = create_model(name, num_classes).eval()
    for predictor in detector.head.classes:
        torch.nn.init.constant_(predictor[1].weight, 3.0)
    return detector, write_caffemodel(folder / "net.caffemodel", layers_of(detector))


@pytest.fixture(scope="module")
def voc(tmp_path_factory) -> tuple[Detector, Path]:
    return make(tmp_path_factory.mktemp("voc"), 20)


@pytest.fixture(scope="module")
def imported(voc, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("imported") / "model.safetensors"
    assert call(voc[1], "--model", NAME, "--out", out) == 0
    return out


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: object) -> int:
    return main(["import-caffe", *map(str, arguments)])


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)


def test_an_rgb_image_is_seen_as_caffe_saw_its_bgr(voc, imported):
    """Resize, reverse the channels, subtract the mean, run the network that was written."""
    detector, _ = voc
    bgr = cv2.resize(picture(), (300, 300), interpolation=cv2.INTER_LINEAR)[..., ::-1]
    batch = torch.from_numpy((bgr - MEAN_BGR).transpose(2, 0, 1)[None].copy())
    with torch.no_grad():
        (expected,) = postprocess(detector(batch), detector.priors, image_sizes=[(90, 120)])
    (found,) = load_model(imported).predict([picture()])
    assert len(expected.scores) > 10
    assert torch.equal(found.labels, expected.labels)
    # Not bit by bit: predict keeps the channels last in memory.
    assert torch.allclose(found.scores, expected.scores, atol=1e-5)
    assert torch.allclose(found.boxes, expected.boxes, atol=1e-2)


def test_the_model_says_what_it_is_and_where_it_comes_from(voc, imported):
    metadata = read_metadata(imported)
    assert json.loads(metadata["classes"]) == list(VOC_CLASSES)
    assert json.loads(metadata["mean"]) == [104, 117, 123]
    assert json.loads(metadata["std"]) == [1, 1, 1]
    assert metadata["channel_order"] == "bgr"
    digest = hashlib.sha256(voc[1].read_bytes()).hexdigest()
    assert metadata["provenance"] == (
        f"imported from net.caffemodel (sha256 {digest}): "
        "trained by others; not from this user's data alone"
    )


def test_detect_and_eval_work_with_it(imported, here, scenes, capsys):
    scene = [(name, sample) for name, sample in scenes(2, classes=2)]
    data = write_voc(here / "data", {"test": scene}, classes=("dog", "person"))
    images = data / "JPEGImages"
    assert main(["detect", str(imported), str(images), "--min-score", "0.01"]) == 0
    lines = (here / "found" / "detections.jsonl").read_text().splitlines()
    named = {entry["class"] for line in lines for entry in json.loads(line)["objects"]}
    assert named
    assert named <= set(VOC_CLASSES)
    capsys.readouterr()
    assert main(["eval", str(imported), str(data), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["split"] == "test"


def test_80_classes_are_those_of_coco(here):
    _, file = make(here, 80)
    assert call(file, "--model", NAME, "--out", "m.safetensors") == 0
    assert load_model(here / "m.safetensors").classes == COCO_CLASSES


LABELMAP = """item { name: "none_of_the_above" label: 0 display_name: "background" }
item {
  name: "2"
  label: 2
  display_name: "traffic light"
}
item {  name: "1"  label: 1  display_name: "person" }
"""


@pytest.mark.parametrize(
    "text", ["person\ntraffic light\n", "\ufeffperson\r\n\r\n  traffic light", LABELMAP]
)
def test_names_come_from_a_file_of_lines_or_a_labelmap(text, here):
    _, file = make(here, 2)
    Path("names.txt").write_text(text, encoding="utf-8", newline="")
    assert call(file, "--model", NAME, "--classes", "names.txt", "--out", "m.safetensors") == 0
    assert load_model(here / "m.safetensors").classes == ("person", "traffic light")


def refused(capsys, folder: Path, *arguments: object) -> str:
    """The one line of the error; nothing was written."""
    before = sorted(folder.rglob("*"))
    assert call(*arguments, "--out", "out.safetensors") == 2
    assert sorted(folder.rglob("*")) == before
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line


@pytest.mark.parametrize(
    ("classes", "text", "message"),
    [
        ("", None, "it has 2 classes and does not say their names: give --classes FILE"),
        ("voc", None, "it has 2 classes, but --classes voc has 20 names"),
        ("coco", None, "it has 2 classes, but --classes coco has 80 names"),
        ("gone.txt", None, "--classes gone.txt: neither voc nor coco, nor a file"),
        ("names.txt", b"", "it has 2 classes, but --classes names.txt has 0 names"),
        ("names.txt", b"a\nb\nc\n", "--classes names.txt has 3 names"),
        ("names.txt", b"a\na\n", "--classes names.txt has 'a' twice"),
        ("names.txt", b"a\n\x1b[2Jb\n", r"has the name '\x1b[2Jb', with a control character"),
        ("names.txt", LABELMAP.replace("traffic ", "\n").encode(), r"has the name '\nlight', with"),
        ("names.txt", b"\xff\xfe", "--classes names.txt is not UTF-8 text"),
        ("names.txt", bytes(2 << 20), "--classes names.txt is too large"),
        ("names.txt", LABELMAP.replace("2\n", "3\n").encode(), "are not 0 (background), 1, 2"),
        ("names.txt", b'item { name: "a" }', "an item without name or label"),
    ],
)
def test_names_that_do_not_fit_are_refused(classes, text, message, here, two_classes, capsys):
    if text is not None:
        Path("names.txt").write_bytes(text)
    arguments = ["--classes", classes] if classes else []
    assert message in refused(capsys, here, two_classes, "--model", NAME, *arguments)


@pytest.fixture(scope="module")
def two_classes(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("two"), 2)[1]


def test_another_network_is_refused_with_the_file_and_the_layer(voc, here, capsys):
    line = refused(capsys, here, voc[1], "--model", "dsod300")
    assert "net.caffemodel: layer 'Convolution4', blob 0: its shape is 64 x 128 x 1 x 1" in line
    line = refused(capsys, here, voc[1], "--model", "grp_dsod320")
    assert "net.caffemodel: not the weights of grp_dsod320: layer 'Convolution80' is mi" in line


def test_a_model_without_a_caffe_file_is_refused_with_those_that_have_one(voc, here, capsys):
    line = refused(capsys, here, voc[1], "--model", "ssd300_vgg16")
    assert "'ssd300_vgg16'; choose from dsod300, dsod300_lite, dsod300_smallest, grp_" in line


def test_the_model_and_the_folder_are_checked_before_the_file_is_read(here, capsys):
    assert "choose from dsod300" in refused(capsys, here, "gone.caffemodel", "--model", "dsod30")
    assert main(["import-caffe", "gone", "--model", NAME, "--out", "nowhere/m.safetensors"]) == 2
    assert "nowhere does not exist: make the folder" in capsys.readouterr().err


@pytest.mark.parametrize("kept", [0, 1, 100, 1_000_000, -1])
def test_a_truncated_file_is_refused(kept, voc, here, capsys):
    Path("cut.caffemodel").write_bytes(voc[1].read_bytes()[:kept])
    assert "cut.caffemodel" in refused(capsys, here, "cut.caffemodel", "--model", NAME)


def test_weights_that_are_not_numbers_are_refused(voc, here, capsys):
    layers = layers_of(voc[0])
    layers[1].blobs[0][0] = np.nan
    content = to_bytes(layers)
    voc[0].backbone.get_parameter("stem.0.0.weight").data.nan_to_num_(0)
    Path("nan.caffemodel").write_bytes(content)
    line = refused(capsys, here, "nan.caffemodel", "--model", NAME)
    assert "nan.caffemodel: layer 'Convolution1' has weights that are not finite" in line


def test_what_is_no_file_is_refused(here, capsys):
    line = refused(capsys, here, "gone.caffemodel", "--model", NAME)
    assert "gone.caffemodel: there is no such file" in line
    assert ". is a folder or a device" in refused(capsys, here, ".", "--model", NAME)


def test_a_file_that_exists_is_not_overwritten(voc, here, capsys):
    Path("out.safetensors").write_text("precious")
    line = refused(capsys, here, voc[1], "--model", NAME)
    assert "out.safetensors exists" in line
    assert Path("out.safetensors").read_text() == "precious"


def test_the_name_of_the_file_may_be_anything(voc, here):
    file = here / "M\udcff ü.caffemodel"
    file.write_bytes(voc[1].read_bytes())
    assert call(file, "--model", NAME, "--out", "m.safetensors") == 0
    assert (
        r"imported from M\udcff ü.caffemodel" in read_metadata(here / "m.safetensors")["provenance"]
    )
