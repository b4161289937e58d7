"""Signals become a request to stop."""

import contextlib
import os
import signal
import threading

import pytest

from scratchdet.train.interrupt import catching_interrupts


@pytest.fixture(autouse=True)
def as_in_a_terminal():
    """Python's own handler of Ctrl-C: a shell starts background jobs with the signal ignored."""
    kept = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, kept)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_to_stop_and_does_nothing_else(number):
    with catching_interrupts() as asked:
        assert not asked()
        send(number)
        assert asked()
        assert asked()


def test_the_first_signal_is_acknowledged_at_once_and_only_once():
    said = []
    told = threading.Event()

    def acknowledge():
        said.append(threading.current_thread())
        told.set()

    with catching_interrupts(acknowledge):
        assert not told.wait(0.05)
        send(signal.SIGINT)
        assert told.wait(10)  # though nobody has asked yet
        send(signal.SIGTERM)
    assert len(said) == 1
    assert said[0] is not threading.main_thread()  # which may be printing
    assert not said[0].is_alive()


def test_without_a_signal_nothing_is_acknowledged():
    said = []
    with catching_interrupts(lambda: said.append(1)):
        pass
    assert said == []


def test_a_second_ctrl_c_stops_at_once():
    with catching_interrupts() as asked:
        send(signal.SIGINT)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


@pytest.mark.parametrize("stopped", [False, True])
def test_afterwards_signals_do_what_they_did_before(stopped):
    def handler(number, frame):
        raise AssertionError("not to be called")

    kept = signal.signal(signal.SIGTERM, handler)
    try:
        before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        with contextlib.suppress(ZeroDivisionError), catching_interrupts():
            if stopped:
                send(signal.SIGTERM)
            raise ZeroDivisionError
        assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
    finally:
        signal.signal(signal.SIGTERM, kept)


def test_outside_the_main_thread_nothing_is_caught_and_nothing_fails():
    answers = []
    before = signal.getsignal(signal.SIGTERM)

    def work():
        with catching_interrupts() as asked:
            answers.append((asked(), signal.getsignal(signal.SIGTERM) is before))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert answers == [(False, True)]
