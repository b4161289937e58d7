"""`scratchdet check`: what it prints, and its exit status; and the check before a training."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from scratchdet.cli import main
from scratchdet.data.voc_write import write_voc
from scratchdet.recipe import differing
from scratchdet.train.loop import train

ASKED = ("--model.input-size", "64", "64", "--device", "cpu")


@pytest.fixture
def data(tmp_path, scenes) -> Path:
    everything = scenes(10)
    splits = {"train": everything[:6], "val": everything[6:]}
    return write_voc(tmp_path / "voc", splits, classes=("a", "b"))


def copied(data: Path, source: str, target: str) -> None:
    image = (data / f"JPEGImages/{source}.jpg").read_bytes()
    (data / f"JPEGImages/{target}.jpg").write_bytes(image)


def test_clean_data_are_told_of_as_such(data, capsys):
    assert main(["check", str(data), *ASKED]) == 0
    said = capsys.readouterr().out
    assert "Nothing is odd about images and annotations." in said
    assert "Nothing must be fixed." in said


def test_what_must_be_fixed_is_the_exit_status_and_alone_on_stdout_as_json(data, capsys):
    copied(data, "001", "007")
    assert main(["check", str(data), *ASKED, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["data"] == str(data)
    hygiene = found["hygiene"]
    assert hygiene["must_be_fixed"]
    assert hygiene["kinds"]["duplicate-across"]["number"] == 1
    (finding,) = hygiene["findings"]
    assert (finding["kind"], finding["level"], finding["part"]) == (
        "duplicate-across",
        "error",
        "validation",
    )
    assert finding["where"] == str(data / "JPEGImages/007.jpg")
    assert str(data / "JPEGImages/001.jpg") in finding["what"]


def test_no_data_are_wrong_use(tmp_path, capsys):
    assert main(["check", str(tmp_path / "nowhere")]) == 2
    assert "no such file or folder" in capsys.readouterr().err


def test_the_check_before_a_training_tells_and_keeps_what_it_found(data, tmp_path, tiny, capsys):
    copied(data, "001", "007")
    train(differing(tiny, data={"path": str(data)}), run_dir=tmp_path / "run", console=Console())
    assert "NOTE: images that are in another part as well" in " ".join(
        capsys.readouterr().out.split()
    )
    kept = json.loads((tmp_path / "run/check.json").read_text())
    assert kept["hygiene"]["kinds"]["duplicate-across"]["number"] == 1
    assert kept["hygiene"]["parts"]["training"]["images"] == 6
