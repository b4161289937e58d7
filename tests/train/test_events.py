"""Figures for TensorBoard are there as soon as they are written, each step once."""

import re

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from scratchdet.files import DiskFull
from scratchdet.train.events import EventFile


def figures(folder, name="train/loss"):
    """What TensorBoard shows: (step, value)."""
    events = EventAccumulator(str(folder)).Reload()
    if name not in events.Tags()["scalars"]:
        return []
    return [(event.step, event.value) for event in events.Scalars(name)]


def written(folder, *, start, steps, value=1.0) -> EventFile:
    events = EventFile(folder, start=start)
    for step in steps:
        events.add(step, {"train/loss": value, "train/lr": 0.5})
    return events


def test_a_file_without_figures_can_be_read(tmp_path):
    EventFile(tmp_path, start=1).close()
    assert figures(tmp_path) == []


def test_figures_can_be_read_before_the_file_is_closed(tmp_path):
    events = written(tmp_path, start=1, steps=[1, 2])
    events.add(2, {"val/ap50": 0.25})
    assert figures(tmp_path) == [(1, 1), (2, 1)]
    assert figures(tmp_path, "train/lr") == [(1, 0.5), (2, 0.5)]
    assert figures(tmp_path, "val/ap50") == [(2, 0.25)]
    events.close()


@pytest.mark.parametrize("start", [1, 3])
def test_steps_from_the_start_on_are_those_of_the_new_file(tmp_path, start):
    written(tmp_path, start=1, steps=[1, 2, 3, 4]).close()
    written(tmp_path, start=start, steps=[start], value=2.0).close()
    kept = [(step, 1) for step in range(1, start)]
    assert figures(tmp_path) == [*kept, (start, 2)]


@pytest.mark.parametrize("lost", [1, 5, 20])
def test_a_figure_that_was_cut_off_hides_no_others(tmp_path, lost):
    events = written(tmp_path, start=1, steps=[1, 2, 3])
    events.path.write_bytes(events.path.read_bytes()[:-lost])
    written(tmp_path, start=3, steps=[3, 4], value=2.0).close()
    assert figures(tmp_path) == [(1, 1), (2, 1), (3, 2), (4, 2)]


def test_a_file_that_cannot_grow_is_named(tmp_path, monkeypatch):
    events = EventFile(tmp_path, start=1)
    full = open("/dev/full", "wb")  # noqa: SIM115
    monkeypatch.setattr(events.records, "_writer", full)
    monkeypatch.setattr(events, "file", full)
    with pytest.raises(DiskFull, match=re.escape(str(events.path))):
        events.add(1, {"train/loss": 1.0})
    with pytest.raises(OSError, match="No space left"):
        full.close()
