"""`scratchdet pack` as people use it: packs, trains on packs, and finds damage."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from scratchdet.cli import main
from scratchdet.data.formats import read_data
from scratchdet.data.voc_write import write_voc
from scratchdet.recipe import differing
from scratchdet.recipe_toml import to_toml


@pytest.fixture
def folder(tmp_path, scenes):
    splits = {"train": scenes(6, seed=1), "val": scenes(3, seed=2, empty={1})}
    named = {split: [(f"{split}{name}", s) for name, s in some] for split, some in splits.items()}
    write_voc(tmp_path / "data", named, classes=("red", "green"))
    return tmp_path / "data"


def test_a_pack_says_what_is_in_it_and_is_verified(folder, tmp_path, capsys):
    out = tmp_path / "data.lmdb"
    assert main(["pack", str(folder), str(out)]) == 0
    said = capsys.readouterr().out
    assert f"{out}: 9 images, 8 objects" in said
    assert "splits: train, val" in said
    assert main(["pack", "--verify", str(out)]) == 0
    assert "every value is intact" in capsys.readouterr().out


def test_damage_is_named_and_the_exit_status_says_it(folder, tmp_path, capsys):
    out = tmp_path / "data.lmdb"
    main(["pack", str(folder), str(out)])
    content = bytearray(out.read_bytes())
    image = (folder / "JPEGImages/train003.jpg").read_bytes()
    content[content.index(image) + len(image) // 2] ^= 1
    out.write_bytes(content)
    capsys.readouterr()
    assert main(["pack", "--verify", str(out)]) == 1
    assert "train003.jpg: does not have its checksum" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["DATA"], "say what to write"),
        (["DATA", "x.tar"], "NAME.lmdb"),
        (["DATA", "x.lmdb", "--quality", "101"], "--quality from 1 to 100"),
        (["DATA", "x.lmdb", "--resize-short", "-1"], "--resize-short is in pixels"),
        (["DATA", "x.lmdb", "--split", "tset"], "no split 'tset'"),
        (["--verify", "DATA", "x.lmdb"], "--verify takes one pack"),
        (["nowhere", "x.lmdb"], "no such file"),
    ],
)
def test_wrong_use_is_told(folder, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    before = sorted(os.listdir())
    assert main(["pack", *(str(folder) if a == "DATA" else a for a in arguments)]) == 2
    assert message in capsys.readouterr().err
    assert sorted(os.listdir()) == before


def test_after_a_kill_packing_starts_over_and_says_so(folder, tmp_path, capsys):
    """The writer is stopped at its first image, and killed there."""
    out, pipe = tmp_path / "data.lmdb", folder / "JPEGImages/train000.jpg"
    image = pipe.read_bytes()
    pipe.unlink()
    os.mkfifo(pipe)  # whoever reads it waits
    command = [sys.executable, "-m", "scratchdet", "pack", str(folder), str(out)]
    writer = subprocess.Popen(command)
    while not list(tmp_path.glob(".*.part.lmdb")):
        assert writer.poll() is None
        time.sleep(0.01)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert not out.exists()
    pipe.unlink()
    pipe.write_bytes(image)
    assert main(["pack", str(folder), str(out)]) == 0
    assert "an earlier pack was interrupted" in capsys.readouterr().out
    assert not list(tmp_path.glob(".*"))
    assert len(read_data(out)) == 9


def test_training_and_evaluation_on_a_pack_are_those_on_the_folder(
    folder, tmp_path, tiny, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    main(["pack", str(folder), "packed.lmdb"])
    short = differing(tiny, schedule={"steps": 2, "warmup_steps": 1, "evaluate_every": 0})
    (tmp_path / "short.toml").write_text(to_toml(short))
    figures = []
    for data, workers in ((str(folder), "0"), ("packed.lmdb", "2")):
        chosen = ["--recipe", "short.toml", "--name", f"run{workers}", "--data.workers", workers]
        assert main(["train", data, *chosen]) == 0
        lines = (tmp_path / f"runs/run{workers}/log.jsonl").read_text().splitlines()
        losses = [json.loads(line)["loss"] for line in lines if '"loss"' in line]
        capsys.readouterr()
        assert main(["eval", f"runs/run{workers}", data, "--split", "val", "--json"]) == 0
        measured = json.loads(capsys.readouterr().out)
        assert [measured.pop(name) for name in ("model", "data")] == [
            f"runs/run{workers}",
            str(tmp_path / data),
        ]
        figures.append((losses, measured))
    assert figures[0] == figures[1]
    assert len(figures[0][0]) == 2
