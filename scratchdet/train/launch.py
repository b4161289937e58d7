"""What the processes of one launch note for each other: which run is theirs, and who ended it.

The notes lie with the program that has started the processes, `torchrun` or `scratchdet train
--devices`, and so outlive each of them: processes that are started again after one was killed find
what the former ones noted. A process that was started alone has no notes.
"""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import NoReturn
from uuid import uuid4

import torch.distributed as dist

NOTES = "scratchdet"  # before the names of all notes: the store has entries of torch as well
RESTARTS = "TORCHELASTIC_RESTART_COUNT"  # in the environment
PATIENCE = timedelta(minutes=5)  # until the processes of other machines are there
POLL = 0.05  # seconds
OWN = uuid4().hex  # tells this process from all others, before and beside it
MET: list[str] = []  # the meetings of this process with the other ranks


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


def meet(*, rank: int, size: int) -> str:
    """A name that all ranks get which have been started together, and nobody before them.

    torchrun keeps its store when it starts the processes again, with all that the former ones have
    written there, and does not count alike on all machines how often it has done so.
    """
    store, own = launch_store(), f"{OWN}-{len(MET)}"
    if rank == 0:
        store.set("meeting", own)
        others = [f"{own} {other}" for other in range(1, size)]
        store.wait(others, PATIENCE)
        store.set(f"{own} all", " ".join(store.get(name).decode() for name in others))
        MET.append(own)
        return own
    deadline = time.monotonic() + PATIENCE.total_seconds()
    while time.monotonic() < deadline:
        name = store.get("meeting").decode()  # perhaps of a rank 0 that is gone: it knows others
        store.set(f"{name} {rank}", own)
        if store.check([f"{name} all"]) and own in store.get(f"{name} all").decode().split():
            MET.append(name)
            return name
        time.sleep(POLL)
    raise Left("the first process of the run has not come")


def note_begun(run_dir: Path) -> None:
    """Notes that this launch trains into `run_dir`; for rank 0."""
    if is_launched():
        notes = dist.PrefixStore(NOTES, launch_store())
        notes.compare_set(f"begun {run_dir.resolve()}", "", OWN)


def is_begun(run_dir: Path) -> bool:
    """Whether former processes of this launch have trained into `run_dir`, until one of them died.

    For rank 0.
    """
    if not is_launched():
        return False
    notes, name = dist.PrefixStore(NOTES, launch_store()), f"begun {run_dir.resolve()}"
    return bool(notes.check([name])) and notes.get(name).decode() != OWN


def run_of_launch(choose: Callable[[], Path]) -> Path:
    """The folder that this launch trains into: chosen once, and kept by processes started later.

    For rank 0 alone. Raises ValueError if it cannot be known.
    """
    if not is_launched():
        return choose()
    notes = dist.PrefixStore(NOTES, launch_store())
    if not notes.check(["run"]):
        machines = int(os.environ.get("GROUP_WORLD_SIZE", "1"))
        if machines > 1 and os.environ.get(RESTARTS, "0") != "0":
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

    Not for Left, which follows from what another one tells.

    The exit status is noted for the launcher if the error is final.
    """
    if not is_launched():
        return True
    first = os.environ["RANK"] == "0"  # unless they have met
    try:
        notes = dist.PrefixStore(NOTES, launch_store())
        if MET:
            first = notes.add(f"ends of {MET[-1]}", 1) == 1
        if first and is_final(error):
            notes.set(f"status {os.environ.get(RESTARTS, '0')}", str(status))
    except dist.DistError:  # the launcher is gone
        return first
    return first


def leave(status: int) -> NoReturn:
    """Ends this process at once, and its workers.

    In good order, threads of gloo would abort it now and then: after a connection to another
    process is broken, and where an error and its traceback still hold on to one.
    """
    for worker in multiprocessing.active_children():
        worker.terminate()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def noted_status(store: dist.Store, restarts: int) -> int | None:
    """The exit status of the final error that has ended the processes, for their launcher."""
    notes, name = dist.PrefixStore(NOTES, store), f"status {restarts}"
    return int(notes.get(name)) if notes.check([name]) else None
