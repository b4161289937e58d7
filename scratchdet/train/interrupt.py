"""Ctrl-C and SIGTERM as a request: the step in progress is finished, saved, and then it ends."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def catching_interrupts() -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether the user wants to stop.

    A second Ctrl-C stops at once, as usual. Outside the main thread, where Python takes no signals,
    nothing is caught.
    """
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, ask)
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
