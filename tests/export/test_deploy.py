"""The Python examples of docs/deploy.md run as they stand, on an exported detector."""

import re
import shutil
from pathlib import Path

import cv2
import pytest

DEPLOY = Path(__file__).resolve().parents[2] / "docs" / "deploy.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", DEPLOY.read_text(encoding="utf-8"), re.DOTALL)
ONNX = [example for example in EXAMPLES if "detector.onnx" in example]


def test_there_are_examples_with_this_package_and_without():
    assert ["scratchdet" in example for example in ONNX] == [False, True]


@pytest.mark.parametrize("example", ONNX, ids=["without", "with"])
def test_the_example_finds_what_the_detector_finds(
    tmp_path, monkeypatch, capsys, exported, nano, images, example
):
    shutil.copy(exported, tmp_path / "detector.onnx")
    cv2.imwrite(str(tmp_path / "photo.jpg"), images[2])
    monkeypatch.chdir(tmp_path)
    image = cv2.cvtColor(cv2.imread("photo.jpg"), cv2.COLOR_BGR2RGB)
    (expected,) = nano.predict([image], min_score=0.5)
    assert len(expected.scores) > 0

    exec(compile(example, str(DEPLOY), "exec"), {})

    names = re.findall("left|right", capsys.readouterr().out)
    assert names == [nano.classes[label] for label in expected.labels]
