"""`--tta` and `--tile`: of a model, of an exported network, and on the command line."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from scratchdet.cli import main
from scratchdet.data.voc_write import write_voc
from scratchdet.models.saved import save_model
from scratchdet.models.zoo import create_model
from scratchdet.predictors import asked_again, load_predictor
from scratchdet.recipe import Recipe, differing
from scratchdet.recipe_toml import to_toml
from scratchdet.structures import as_arrays
from scratchdet.testing import Asking
from scratchdet.testing.multi_scale import MultiScale
from scratchdet.testing.tiling import Tiled

TESTING = {
    "scales": (0.75, 1.0),
    "smallest": (0.3, 0.0),
    "largest": (1.0, 0.8),
    "flip": True,
    "merge": "nms",
    "merge_iou": 0.6,
}
ONE = {"scales": (1.0,), "smallest": (0.0,), "largest": (1.0,)}
IMAGE = np.random.default_rng(0).integers(0, 256, (48, 60, 3), dtype=np.uint8)
MOST = {"min_score": 0.5}  # an untrained network is sure of hundreds


EXPORT = """
import sys
from pathlib import Path
import numpy as np
from scratchdet.export.onnx import export_onnx
from scratchdet.models.saved import load_model, read_metadata
model, file = map(Path, sys.argv[1:3])
about = {"recipe": read_metadata(model)["recipe"]}
image = np.random.default_rng(0).integers(0, 256, (48, 60, 3), dtype=np.uint8)
dynamic = sys.argv[3] == "True"
export_onnx(load_model(model), file, images=[image], dynamic_size=dynamic, about=about)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An untrained model that was trained by a recipe with `TESTING`."""
    torch.manual_seed(0)
    detector = create_model("scratchdet_nano", 2, input_size=(48, 64), classes=["a", "b"])
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(detector, path, about={"recipe": to_toml(differing(Recipe(), testing=TESTING))})
    return path


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(as_arrays(one), as_arrays(other), strict=True))


def test_nothing_asked_for_is_the_predictor_itself(model):
    predictor = load_predictor(model, device="cpu")
    assert asked_again(predictor, model, Asking()) is predictor


def test_scales_and_merging_are_those_of_the_recipe_in_the_model(model):
    predictor = load_predictor(model, device="cpu")
    expected = {
        Asking("flip"): MultiScale(predictor, **{**TESTING, **ONE}),
        Asking("ms"): MultiScale(predictor, **TESTING),
        Asking(tile=40, overlap=0.3): Tiled(predictor, tile=40, overlap=0.3),
        Asking("ms", 40): Tiled(MultiScale(predictor, **TESTING), tile=40, overlap=0.2),
    }
    results = predictor.predict([IMAGE], **MOST)
    for asking, other in expected.items():
        (found,) = asked_again(predictor, model, asking).predict([IMAGE], **MOST)
        assert equal(found, other.predict([IMAGE], **MOST)[0])
        results.append(found)
    # No two are the same: each flag does something.
    assert len({as_arrays(one).scores.tobytes() for one in results}) == 5


@pytest.mark.slow
def test_an_exported_network_of_any_size_says_what_the_model_says(model, tmp_path):
    pytest.importorskip("onnxscript")
    for name, dynamic in (("any.onnx", True), ("one.onnx", False)):
        # A process of its own: the shape checks of the tests do not know sizes without a number.
        file = tmp_path / name
        subprocess.run([sys.executable, "-c", EXPORT, model, file, str(dynamic)], check=True)
    for asking in (Asking("ms"), Asking(tile=40), Asking("flip", 40)):
        found = [
            as_arrays(asked_again(load_predictor(file), file, asking).predict([IMAGE], keep=5)[0])
            for file in (model, tmp_path / "any.onnx")
        ]
        assert len(found[0].scores) == 5
        assert np.allclose(found[0].scores, found[1].scores, atol=1e-3)
        assert np.allclose(found[0].boxes, found[1].boxes, atol=0.1)
    fixed = asked_again(load_predictor(file), file, Asking("ms"))
    with pytest.raises(ValueError, match="exported for images of 48 x 64, not 36 x 48"):
        fixed.predict([IMAGE])
    assert len(asked_again(load_predictor(file), file, Asking("flip")).predict([IMAGE])) == 1


def test_the_command_line_asks_as_it_is_told(model, tmp_path, scenes, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = write_voc(tmp_path / "voc", {"test": scenes(2)}, classes=("a", "b"))
    cv2.imwrite("image.png", IMAGE[..., ::-1])
    asked = []

    def noted(predictor, path, asking):
        asked.append((path, asking))
        return asked_again(predictor, path, asking)

    monkeypatch.setattr("scratchdet.predictors.asked_again", noted)
    flags = ["--tta", "flip", "--tile", "40", "--overlap", "0.3", "--device", "cpu"]
    assert main(["eval", str(model), str(data), *flags, "--json"]) == 0
    assert 0 <= json.loads(capsys.readouterr().out)["ap50"] <= 1
    assert main(["detect", str(model), "image.png", *flags, "--min-score", "0.5"]) == 0
    assert asked == [(model, Asking("flip", 40, 0.3))] * 2
    (line,) = (tmp_path / "found/detections.jsonl").read_text().splitlines()
    expected = asked_again(load_predictor(model, device="cpu"), *asked[0])
    assert len(json.loads(line)["objects"]) == len(expected.predict([IMAGE], **MOST)[0].scores)


@pytest.mark.parametrize(
    ("flags", "batches"), [([], [3]), (["--tta", "flip"], [3]), (["--tile", "40"], [1, 1, 1])]
)
def test_large_images_are_not_kept_in_memory_many_at_a_time(
    model, tmp_path, scenes, monkeypatch, flags, batches
):
    data = write_voc(tmp_path / "voc", {"test": scenes(3)}, classes=("a", "b"))
    asked = []

    class Noting:
        def __init__(self, predictor):
            self.predictor = predictor

        def __getattr__(self, name):
            return getattr(self.predictor, name)

        def predict(self, images):
            asked.append(len(images))
            return self.predictor.predict(images)

    monkeypatch.setattr(
        "scratchdet.predictors.asked_again", lambda *given: Noting(asked_again(*given))
    )
    assert main(["eval", str(model), str(data), *flags, "--device", "cpu", "--json"]) == 0
    assert asked == batches


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--tile", "-5"], "tile is -5; it must be a number of pixels"),
        (["--tile", "50", "--overlap", "1.5"], "overlap is 1.5; it must be from 0 to less than 1"),
        (["--tile", "5", "--overlap", "0.99"], "more than 10000: give larger tiles or less"),
    ],
)
def test_what_is_no_tile_is_said_in_one_line(model, tmp_path, monkeypatch, capsys, flags, said):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("image.png", np.tile(IMAGE, (3, 2, 1)))
    assert main(["detect", str(model), "image.png", *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_what_is_in_a_file_cannot_be_asked_again(tmp_path, scenes, capsys):
    data = write_voc(tmp_path / "voc", {"test": scenes(1)}, classes=("a", "b"))
    file = tmp_path / "detections.jsonl"
    file.write_text('{"image": "000.jpg", "objects": []}\n')
    assert main(["eval", str(file), str(data), "--tta", "flip"]) == 2
    assert "--tta and --tile ask a detector" in capsys.readouterr().err
