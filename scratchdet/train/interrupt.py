"""Ctrl-C and SIGTERM as a request: the step in progress is finished, saved, and then it ends."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from types import FrameType

STOPPING = "stopping after this step, and its evaluation if one is due; Ctrl-C again ends it now"


@contextmanager
def catching_interrupts(
    acknowledge: Callable[[], None] = lambda: None,
) -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether the user wants to stop.

    acknowledge: called at once at the first signal, in a thread of its own: a handler runs in the
    middle of anything, also of printing, and may not print.

    A second Ctrl-C stops at once, as usual. Outside the main thread, where Python takes no signals,
    nothing is caught.
    """
    asked = threading.Event()
    heard: SimpleQueue[bool] = SimpleQueue()  # the one that handlers may put into

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()
        heard.put(True)
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def wait() -> None:
        if heard.get():
            acknowledge()

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, ask)
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        heard.put(False)
        waiting.join()
