"""`scratchdet train --devices 2`: killed, stopped, and told what cannot be."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from two_ranks import ROOT, run_pair

from scratchdet import cli_launch
from scratchdet.cli import main
from scratchdet.data.voc_write import write_voc
from scratchdet.recipe import differing
from scratchdet.recipe_toml import save_recipe
from scratchdet.train.log import read_log

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
STEPS = 30


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, scenes, tiny):
    """Two images on each device, normalised by their statistics, and an average of the weights."""
    folder = write_voc(
        tmp_path_factory.mktemp("data") / "voc", {"train": scenes(9)}, classes=("a", "b")
    )
    return differing(
        tiny,
        data={"path": str(folder), "val_split": "none"},
        schedule={"steps": STEPS, "checkpoint_every": 8, "evaluate_every": 0},
    )


@pytest.fixture
def here(tmp_path, monkeypatch, recipe):
    """An empty folder with the recipe in it."""
    monkeypatch.chdir(tmp_path)
    save_recipe(recipe, tmp_path / "tiny.toml")
    return tmp_path


def steps_logged(run: Path) -> list[int]:
    return [record["step"] for record in read_log(run / "log.jsonl") if "loss" in record]


def wait_for(what, launcher) -> None:
    deadline = time.monotonic() + 200
    while not what():
        assert launcher.poll() is None, "it has ended before"
        assert time.monotonic() < deadline
        time.sleep(0.002)


def start(program, *arguments, cwd, **files) -> subprocess.Popen:
    command = [sys.executable, "-m", *program, "train", *map(str, arguments)]
    return subprocess.Popen(command, cwd=cwd, env=ENVIRONMENT, **files)


def ranks_of(launcher) -> dict[str, int]:
    """The process ids of the ranks that this launcher has started."""
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    environments = {int(pid): Path(f"/proc/{pid}/environ").read_bytes() for pid in children}
    return {
        rank: pid
        for pid, environment in environments.items()
        for rank in ("0", "1")
        if f"\0RANK={rank}\0".encode() in b"\0" + environment
    }


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture(scope="module")
def disturbed(recipe, tmp_path_factory):
    """A run of which rank 1 was killed, and that was stopped after it had been started again.

    What it was told, its exit status, its steps, what was left of it; and the weights after it was
    resumed, with those of a run that nothing had happened to.
    """
    folder = tmp_path_factory.mktemp("disturbed")
    for name in ("disturbed", "straight"):
        save_recipe(recipe, folder / f"{name}.toml")
    flags = ["--recipe", "disturbed.toml", "--name", "x", "--devices", 2, "--max-restarts", 1]
    run, outcome = folder / "runs" / "x", {}
    with (folder / "out").open("w") as out, (folder / "err").open("w") as errors:
        launcher = start(
            ["scratchdet"], recipe.data.path, *flags, cwd=folder, stdout=out, stderr=errors
        )
        try:
            wait_for(lambda: len(steps_logged(run)) >= 10, launcher)
            os.kill(ranks_of(launcher)["1"], signal.SIGKILL)
            wait_for(lambda: "started again" in (folder / "err").read_text(), launcher)
            before = len(steps_logged(run))
            wait_for(lambda: len(ranks_of(launcher)) == 2, launcher)
            ranks = ranks_of(launcher).values()
            # The log is cut to the checkpoint, and grows again.
            wait_for(lambda: len(steps_logged(run)) < before, launcher)
            wait_for(lambda: len(steps_logged(run)) > 10, launcher)
            launcher.send_signal(signal.SIGTERM)
            outcome["status"] = launcher.wait(timeout=60)
        finally:
            launcher.kill()
    outcome["alive"] = [pid for pid in ranks if is_alive(pid)]
    outcome["out"], outcome["err"] = (folder / "out").read_text(), (folder / "err").read_text()
    outcome["stopped"] = steps_logged(run)
    run.rename(folder / "disturbed")
    run_pair(folder, "disturbed", "straight")
    outcome["steps"] = steps_logged(folder / "disturbed")
    for name in ("disturbed", "straight"):
        outcome[name] = load_file(folder / name / "last" / "checkpoint.safetensors")
    return outcome


def test_a_process_that_is_killed_is_started_again_and_the_run_goes_on(disturbed):
    told, *_ = disturbed["err"].splitlines()
    assert told == (
        "scratchdet train: process 1 was ended by SIGKILL: all are started again (1 of 1)"
    )
    assert disturbed["out"].count("run: runs/x\n") == 2
    assert "resumed at step 8" in disturbed["out"]


def test_sigterm_stops_all_saves_once_and_leaves_nobody(disturbed):
    assert disturbed["status"] == 1
    assert disturbed["err"].count("stopped and saved after step") == 1
    assert len(disturbed["err"].splitlines()) == 2
    assert disturbed["stopped"] == list(range(1, len(disturbed["stopped"]) + 1))
    assert disturbed["alive"] == []


def test_no_step_is_lost_or_logged_twice(disturbed):
    assert disturbed["steps"] == list(range(1, STEPS + 1))


def test_killed_stopped_and_resumed_it_ends_with_the_bits_of_a_run_that_was_not(disturbed):
    ours, theirs = disturbed["disturbed"], disturbed["straight"]
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


@pytest.mark.slow
def test_an_error_of_the_data_is_told_once_and_is_not_tried_again(recipe, here):
    flags = ["--recipe", "tiny.toml", "--split", "nope", "--devices", 2, "--max-restarts", 3]
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    launcher = start(["scratchdet"], recipe.data.path, *flags, cwd=here, **piped)
    out, errors = launcher.communicate(timeout=200)
    assert launcher.returncode == 2
    (line,) = errors.splitlines()
    assert line.startswith(f"scratchdet train: {recipe.data.path}: there is no split 'nope'")
    assert out.count("run: ") == 1
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--devices", 3], "data.batch 4 cannot be shared by 3 processes"),
        (["--devices", 0], "--devices is 1 or more"),
        (["--max-restarts", -1], "--max-restarts 0 or more"),
        (["--devices", 2, "--data.augment", "none-such"], "data.augment is 'none-such'"),
    ],
)
def test_wrong_use_is_refused_before_a_process_is_started(
    here, recipe, flags, said, monkeypatch, capsys
):
    monkeypatch.setattr(cli_launch, "launch", lambda *arguments, **named: pytest.fail("started"))
    arguments = ["train", recipe.data.path, "--recipe", "tiny.toml", *map(str, flags)]
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.mark.slow
@pytest.mark.parametrize("machines", [1, 2])
def test_torchrun_starts_the_same_run_again(recipe, here, machines):
    """Two "machines" are two torchruns, of which the one without the killed process counts none."""
    flags = {
        1: ["--nproc-per-node=2"],
        2: [
            *("--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", "--rdzv-id=same"),
            f"--rdzv-endpoint=127.0.0.1:{free_port()}",
        ],
    }
    torchrun = ["torch.distributed.run", "--max-restarts=1", *flags[machines], "-m", "scratchdet"]
    (here / "runs" / "voc").mkdir(parents=True)  # of somebody else
    with (here / "out").open("w") as out, (here / "err").open("w") as errors:
        files = {"stdout": out, "stderr": errors}
        launchers = [
            start(torchrun, recipe.data.path, "--recipe", "tiny.toml", cwd=here, **files)
            for _ in range(machines)
        ]
        try:
            run = here / "runs" / "voc-2"
            wait_for(lambda: len(steps_logged(run)) >= 10, launchers[0])
            ranks = {rank: pid for one in launchers for rank, pid in ranks_of(one).items()}
            os.kill(ranks["1"], signal.SIGKILL)
            assert [launcher.wait(timeout=200) for launcher in launchers] == [0] * machines
        finally:
            for launcher in launchers:
                launcher.kill()
    assert steps_logged(run) == list(range(1, STEPS + 1))
    assert (here / "out").read_text().count("run: runs/voc-2\n") == 2
    assert sorted(path.name for path in (here / "runs").iterdir()) == ["voc", "voc-2"]


@pytest.mark.slow
def test_processes_whose_launcher_is_killed_save_and_end(recipe, here):
    flags = ["--recipe", "tiny.toml", "--steps", 4000, "--devices", 2, "--name", "x"]
    with (here / "err").open("w") as errors:
        launcher = start(["scratchdet"], recipe.data.path, *flags, cwd=here, stderr=errors)
        run = here / "runs" / "x"
        wait_for(lambda: len(steps_logged(run)) >= 3, launcher)
        ranks = ranks_of(launcher).values()
        launcher.kill()
        launcher.wait()
    deadline = time.monotonic() + 60
    while any(map(is_alive, ranks)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert (here / "err").read_text().count("stopped and saved after step") == 1
    assert (run / "last" / "checkpoint.safetensors").exists()


def test_a_process_among_others_ends_at_once_whatever_would_still_run():
    program = (
        "import atexit, os, runpy, sys; atexit.register(os._exit, 9); sys.argv[1:] = ['models']; "
    )
    program += "runpy.run_module('scratchdet', run_name='__main__', alter_sys=True)"
    statuses = [
        subprocess.run(
            [sys.executable, "-c", program], env=ENVIRONMENT | rank, capture_output=True
        ).returncode
        for rank in ({}, {"LOCAL_RANK": "0"})
    ]
    assert statuses == [9, 0]
