"""Where the time of a step goes."""

import io
import time
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from scratchdet.train import profile
from scratchdet.train.profile import StepClock

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch):
    """A time that only goes on when it is told to."""
    now = SimpleNamespace(seconds=0.0)
    now.pass_by = lambda seconds: setattr(now, "seconds", now.seconds + seconds)
    monkeypatch.setattr(profile, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def batches(clock, waits):
    for wait in waits:
        clock.pass_by(wait)
        yield wait


def shown(steps: StepClock) -> str:
    console = Console(file=io.StringIO(), width=80)
    steps.show(console)
    return console.file.getvalue()


def test_parts_add_up_over_the_steps_after_the_first(clock):
    steps = StepClock(CPU, on=True)
    for _ in steps.over(batches(clock, [100.0, 1.0, 3.0]), "data"):
        with steps.part("forward"):
            clock.pass_by(4.0)
        with steps.part("backward"):
            clock.pass_by(2.0)
    assert steps.seconds == {"data": 4.0, "forward": 8.0, "backward": 4.0}
    text = shown(steps)
    assert "mean of 2" in text
    assert "4000.00" in text
    assert "50.0%" in text
    assert "8000.00" in text


def test_a_single_step_counts(clock):
    steps = StepClock(CPU, on=True)
    for _ in steps.over(batches(clock, [2.0]), "data"):
        pass
    assert steps.seconds == {"data": 2.0}


def test_without_a_step_there_is_nothing_to_show(clock):
    steps = StepClock(CPU, on=True)
    assert list(steps.over(iter(()), "data")) == []
    assert shown(steps) == ""


def test_switched_off_it_measures_and_shows_nothing():
    steps = StepClock(CPU, on=False)
    for _ in steps.over([1, 2], "data"):
        with steps.part("forward"):
            time.sleep(0)
    assert steps.seconds == {}
    assert shown(steps) == ""
