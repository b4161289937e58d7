"""What the processes of one launch note for each other: which run is theirs, and who ended it.

The notes lie with the program that has started the processes, `torchrun` or `scratchdet train
--devices`, and so outlive each of them: processes that are started again after one was killed find
what the former ones noted. A process that was started alone has no notes.
"""

import os
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path

import torch.distributed as dist

NOTES = "scratchdet"  # before the names of all notes: the store has entries of torch as well
PATIENCE = timedelta(minutes=5)  # until the processes of other machines are there


class Left(RuntimeError):
    """Another process of the run has ended, and this one cannot go on without it."""


def is_launched() -> bool:
    """Whether `torchrun`, or something like it, has started this process beside others."""
    return "LOCAL_RANK" in os.environ


@cache
def launch_store() -> dist.Store:
    """What all processes of the launch share. Only for those that were launched."""
    kept_by_launcher = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    return dist.TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        is_master=not kept_by_launcher and os.environ["RANK"] == "0",
        wait_for_workers=False,
        timeout=PATIENCE,
    )


def attempt() -> str:
    """Tells the processes of this launch from those that were started before one of them died."""
    restarts = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return f"{restarts} of {os.environ['WORLD_SIZE']}"


def note_begun(run_dir: Path) -> None:
    """Notes that this launch trains into `run_dir`."""
    if is_launched():
        notes = dist.PrefixStore(NOTES, launch_store())
        notes.compare_set(f"begun {run_dir.resolve()}", "", attempt())


def is_begun(run_dir: Path) -> bool:
    """Whether former processes of this launch have trained into `run_dir`, until one of them died.

    They alone: the same answer on all ranks, however far the others are already.
    """
    if not is_launched():
        return False
    notes, name = dist.PrefixStore(NOTES, launch_store()), f"begun {run_dir.resolve()}"
    return notes.check([name]) and notes.get(name).decode() != attempt()


def run_of_launch(choose: Callable[[], Path]) -> Path:
    """The folder that this launch trains into: chosen once, and kept by processes started later.

    For rank 0 alone. Raises ValueError if it cannot be known.
    """
    if not is_launched():
        return choose()
    notes = dist.PrefixStore(NOTES, launch_store())
    if not notes.check(["run"]):
        machines = int(os.environ.get("GROUP_WORLD_SIZE", "1"))
        if machines > 1 and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0":
            # The notes lie on the machine of rank 0, which may be another one now.
            raise ValueError(
                "the processes were started again, and which run they had begun is lost: start "
                "torchrun with `train --resume runs/NAME`"
            )
        notes.set("run", str(choose()))
    return Path(notes.get("run").decode())


def is_final(error: BaseException) -> bool:
    """Whether the same would come of it again: bad data or a wrong recipe, a run that was stopped.

    Not so the errors of devices and connections.
    """
    explained = type(error).__module__.startswith("scratchdet.") and not isinstance(error, Left)
    return explained or not isinstance(error, RuntimeError)


def ends_first(error: BaseException, status: int) -> bool:
    """Whether this process is the first of its launch that ends with an error: it tells of it.

    The exit status is noted for the launcher if the error is final.
    """
    if not is_launched():
        return True
    if isinstance(error, Left):
        return False
    try:
        notes = dist.PrefixStore(f"{NOTES} {attempt()}", launch_store())
        first = notes.add("ends", 1) == 1
        if first and is_final(error):
            notes.set("status", str(status))
    except dist.DistError:  # the launcher is gone
        return os.environ["RANK"] == "0"
    return first


def noted_status(store: dist.Store, attempt: str) -> int | None:
    """The exit status of the final error that has ended an attempt, for its launcher."""
    notes = dist.PrefixStore(f"{NOTES} {attempt}", store)
    return int(notes.get("status")) if notes.check(["status"]) else None
