"""`scratchdet export` from the command line: what it says, and when it writes nothing."""

import sys

import cv2
import numpy as np
import onnx
import pytest

from scratchdet.cli import main
from scratchdet.export import onnx as exporting
from scratchdet.models.saved import save_model


@pytest.fixture
def exporter(monkeypatch, exported):
    """The network of `nano`, whatever is exported: the exporter itself takes seconds."""
    monkeypatch.setattr(exporting, "to_onnx", lambda detector, card: onnx.load(exported))


def test_what_is_verified_is_written_beside_the_model(tmp_path, capsys, exporter, nano):
    save_model(nano, tmp_path / "m.safetensors")
    assert main(["export", str(tmp_path / "m.safetensors")]) == 0
    said = capsys.readouterr().out
    assert "on 8 images: generated pictures" in said
    assert f"written      {tmp_path / 'm.onnx'}" in said
    assert (tmp_path / "m.onnx").is_file()


def test_a_failed_check_means_no_file_and_exit_status_1(tmp_path, capsys, exporter, make):
    other = make.nano(seed=1)
    save_model(other, tmp_path / "m.safetensors")
    assert main(["export", str(tmp_path / "m.safetensors")]) == 1
    assert "is not the same as the model: scores differ by up to" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--min-score", "1"], "--min-score is 1; it is from 0 to below 1"),
        (["--out", "m.txt"], "the name of such a file ends in .onnx"),
        (["--data", "none"], "none: no such file or folder"),
    ],
)
def test_wrong_use_is_answered_in_one_line(
    tmp_path, monkeypatch, capsys, exporter, nano, arguments, said
):
    save_model(nano, tmp_path / "m.safetensors")
    monkeypatch.chdir(tmp_path)
    assert main(["export", "m.safetensors", *arguments]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--int8", "--format", "torchscript"], "INT8 is for .onnx and .xml"),
        (["--int8", "--form", "raw"], "leave --form raw out"),
        (["--out", "file/m.onnx"], "Not a directory: 'file'"),
        (["--int8", "--out", "file/m.onnx"], "Not a directory: 'file'"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is_read(
    tmp_path, monkeypatch, capsys, nano, arguments, said
):
    save_model(nano, tmp_path / "m.safetensors")
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    # There are no such data: had they been asked for, that would be said.
    assert main(["export", "m.safetensors", "--data", "none", *arguments]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line
    assert "none" not in line


def test_what_is_not_installed_is_named(tmp_path, monkeypatch, capsys, exported, nano):
    save_model(nano, tmp_path / "m.safetensors")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert main(["export", str(tmp_path / "m.safetensors")]) == 2
    assert "onnxscript not installed: pip install onnxscript" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    cv2.imwrite(str(tmp_path / "p.png"), np.zeros((9, 9, 3), np.uint8))
    assert main(["detect", str(exported), str(tmp_path / "p.png")]) == 2
    assert "pip install onnxruntime" in capsys.readouterr().err
