"""`scratchdet train --devices N`: the same command in N processes on this machine.

They are told who they are as `torchrun` tells it, but are not started by it: torchrun ends them 30
seconds after Ctrl-C, however long they take to save, starts them again also where bad data has
ended them, and adds a traceback of its own to every error.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import torch.distributed as dist

from scratchdet.train.launch import noted_status

GRACE = 30.0  # seconds that the others have to end by themselves when one process has failed
POLL = 0.05  # seconds
SIGNALLED = 128  # exit status of what a signal ended: this and its number, as shells have it


def launch(arguments: Sequence[str], *, processes: int, max_restarts: int) -> int:
    """Runs `scratchdet ARGUMENTS` in that many processes; their exit status.

    When one is killed or crashes the others are ended, and all are started again, at most
    `max_restarts` times; not if the run has ended with an error that says what is wrong.
    """
    # Outlives the processes, which note here what those after them have to know.
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    debug = ["--debug"] if "--debug" in sys.argv else []
    command = [sys.executable, "-m", "scratchdet", *debug, *arguments]
    with _noting_signals() as signals:
        for restarts in range(max_restarts + 1):
            environment = {**os.environ, **_shared(store.port, processes, restarts)}
            started = [
                subprocess.Popen(command, env={**environment, "RANK": rank, "LOCAL_RANK": rank})
                for rank in map(str, range(processes))
            ]
            statuses = _wait(started, signals)
            if not any(statuses):
                return 0
            if (status := noted_status(store, restarts)) is not None:
                return status
            if signals:
                _tell("interrupted")
                return SIGNALLED + signals[0]
            again = f"all are started again ({restarts + 1} of {max_restarts})"
            left = restarts < max_restarts
            _tell(f"{_explain(statuses)}: {again if left else 'see --max-restarts'}")
    return 1


def _shared(port: int, processes: int, restarts: int) -> dict[str, str]:
    """What all processes are told."""
    return {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "TORCHELASTIC_RESTART_COUNT": str(restarts),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }


def _wait(started: Sequence[subprocess.Popen[bytes]], signals: Sequence[int]) -> list[int]:
    """The exit statuses of all processes, negative for a signal, once none is left.

    The first of `signals` asks them to stop, and they may take their time; the next tells them to
    stop at once.
    """
    passed_on, deadline = 0, float("inf")
    while any(process.poll() is None for process in started):
        if len(signals) > passed_on:
            for process in started:
                process.send_signal(signal.SIGINT if passed_on else signal.SIGTERM)
            passed_on += 1
            if passed_on > 1:
                deadline = min(deadline, time.monotonic() + GRACE)
        if any(process.poll() for process in started):
            deadline = min(deadline, time.monotonic() + GRACE)
        if time.monotonic() > deadline:
            for process in started:
                process.kill()
        time.sleep(POLL)
    return [process.returncode for process in started]


@contextmanager
def _noting_signals() -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM are put into the list, and do nothing else."""
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _explain(statuses: Sequence[int]) -> str:
    """Of the processes that failed, what became of one that explains the others."""
    rank = min((rank for rank, status in enumerate(statuses) if status), key=statuses.__getitem__)
    if statuses[rank] < 0:
        return f"process {rank} was ended by {signal.Signals(-statuses[rank]).name}"
    return f"process {rank} ended with status {statuses[rank]}"


def _tell(what: str) -> None:
    print(f"scratchdet train: {what}", file=sys.stderr)
