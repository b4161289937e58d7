"""Two trainings never write into one folder."""

import subprocess
import sys

import pytest
from rich.console import Console

from scratchdet.cli_train import _free_run
from scratchdet.recipe import RecipeError, differing
from scratchdet.train import loop
from scratchdet.train.claim import claimed
from scratchdet.train.distributed import Ranks

HOLD = """
import sys
from pathlib import Path
from scratchdet.train.claim import claimed
from scratchdet.train.distributed import Ranks
with claimed(Path(sys.argv[1]), Ranks()):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that has claimed `run`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "run"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_that_another_process_trains_is_refused_and_left_alone(
    tiny, tmp_path, holder, resume
):
    run = tmp_path / "run"
    with pytest.raises(FileExistsError, match=f"{run} is being trained by another process"):
        loop.train(tiny, run_dir=run, resume=resume, console=Console(quiet=True))
    assert [path.name for path in run.iterdir()] == [".lock"]


def test_a_killed_process_no_longer_has_its_folder(tmp_path, holder):
    holder.kill()
    holder.wait()
    with claimed(tmp_path / "run", Ranks()):
        assert (tmp_path / "run/.lock").exists()


def test_a_claim_leaves_nothing_but_what_was_written(tmp_path):
    for _ in range(2):
        with claimed(tmp_path / "a" / "run", Ranks()):
            (tmp_path / "a/run/file").touch()
    assert [path.name for path in (tmp_path / "a/run").iterdir()] == ["file"]


def test_a_set_up_that_fails_leaves_no_empty_folder(tiny, tmp_path):
    (tmp_path / "run").mkdir()
    wrong = differing(tiny, model={"name": "ssd300_vgg17"})
    with pytest.raises(RecipeError, match="ssd300_vgg17"):
        loop.train(wrong, run_dir=tmp_path / "run", console=Console(quiet=True))
    assert list(tmp_path.iterdir()) == []


def test_a_name_is_taken_as_soon_as_it_is_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [str(_free_run("d")) for _ in range(3)] == ["runs/d", "runs/d-2", "runs/d-3"]
