"""What a run writes down, and what it says."""

import io
import json
import math
from types import SimpleNamespace

import pytest
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from scratchdet.train import log as log_module
from scratchdet.train.finite import NonFiniteLoss
from scratchdet.train.log import RunLog, read_log

FIGURES = {
    "loss": 3.5,
    "classification": 2.0,
    "localisation": 1.5,
    "matched": 4,
    "lr": 0.01,
    "gradient_norm": 7.25,
    "images_per_second": 12.0,
}


def printed() -> Console:
    return Console(file=io.StringIO(), width=200)


def run_log(folder, *, start=0, steps=10, console=None) -> RunLog:
    return RunLog(
        folder, start=start, steps=steps, rate_at=lambda step: 1.0, console=console or printed()
    )


def evaluation(ap50: float) -> dict[str, object]:
    return {"protocol": "voc", "ap50": None if math.isnan(ap50) else ap50}


def test_a_log_that_is_not_there_has_no_records(tmp_path):
    assert read_log(tmp_path / "log.jsonl") == []


def test_a_last_line_that_was_cut_off_is_left_out(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"ste')
    assert read_log(path) == [{"step": 1}, {"step": 2}]


def test_records_are_written_as_they_come(tmp_path):
    with run_log(tmp_path) as log:
        log.record(1, FIGURES)
        assert read_log(log.path) == [{"step": 1, **FIGURES}]
        log.evaluation(1, evaluation(0.5), best=True)
    assert read_log(tmp_path / "log.jsonl") == [
        {"step": 1, **FIGURES},
        {"step": 1, "evaluation": evaluation(0.5)},
    ]


def test_steps_after_the_one_resumed_from_are_removed(tmp_path):
    with run_log(tmp_path) as log:
        for step in range(1, 6):
            log.record(step, FIGURES)
            log.evaluation(step, evaluation(step / 10), best=True)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')
    with run_log(tmp_path, start=3) as log:
        assert log.ap50 == 0.3
        log.record(4, FIGURES)
    records = read_log(tmp_path / "log.jsonl")
    assert [record["step"] for record in records] == [1, 1, 2, 2, 3, 3, 4]


def test_a_run_from_the_start_begins_an_empty_log(tmp_path):
    with run_log(tmp_path) as log:
        log.record(1, FIGURES)
    with run_log(tmp_path) as log:
        assert read_log(log.path) == []
        assert log.ap50 is None


def test_an_undefined_figure_is_null_in_the_file_and_words_on_the_screen(tmp_path):
    console = printed()
    with run_log(tmp_path, console=console) as log:
        log.evaluation(4, evaluation(math.nan), best=False)
    line = (tmp_path / "log.jsonl").read_text()
    assert json.loads(line)["evaluation"]["ap50"] is None
    assert console.file.getvalue() == "step 4/10  validation AP50 not defined: no objects\n"


def test_the_best_so_far_is_said(tmp_path):
    console = printed()
    with run_log(tmp_path, console=console) as log:
        log.evaluation(4, evaluation(0.25), best=True)
        log.evaluation(8, evaluation(0.2), best=False)
    assert console.file.getvalue().splitlines() == [
        "step 4/10  validation AP50 0.2500  (best so far)",
        "step 8/10  validation AP50 0.2000",
    ]


def test_without_a_terminal_a_line_comes_every_half_minute(tmp_path, monkeypatch):
    clock = iter([0.0, 20.0, 40.0, 40.0, 65.0, 75.0, 75.0])  # read again where a line is printed
    monkeypatch.setattr(log_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    console = printed()
    with run_log(tmp_path, console=console) as log:
        for step in (1, 2, 3, 4):
            log.record(step, FIGURES)
    lines = console.file.getvalue().splitlines()
    assert [line.split("  ")[0] for line in lines] == ["step 2/10", "step 4/10"]
    assert lines[0] == (
        "step 2/10  loss 3.50 = class 2.00 + box 1.50  lr 0.0100  grad 7.25  12 img/s"
    )


@pytest.mark.parametrize("way", ["record", "advance"])
def test_in_a_terminal_the_step_is_drawn(tmp_path, way):
    console = Console(file=io.StringIO(), width=200, force_terminal=True)
    with run_log(tmp_path, console=console) as log:
        if way == "record":
            log.record(5, FIGURES)
        else:
            log.advance(5)
    assert "step 5/10" in console.file.getvalue()
    assert ("loss 3.50" in console.file.getvalue()) == (way == "record")


def test_tensorboard_has_the_figures_of_the_run_and_none_of_the_removed_steps(tmp_path):
    with run_log(tmp_path) as log:
        for step in (1, 2, 3):
            log.record(step, {**FIGURES, "loss": float(step)})
        log.evaluation(2, evaluation(0.5), best=True)
    with run_log(tmp_path, start=2) as log:
        log.record(3, {**FIGURES, "loss": 30.0})
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [(1, 1), (2, 2), (3, 30)]
    assert [(e.step, e.value) for e in events.Scalars("val/ap50")] == [(2, 0.5)]


def test_a_training_that_lost_its_numbers_says_so_in_its_log(tmp_path):
    log = run_log(tmp_path).__enter__()
    log.record(3, FIGURES)
    log.advance(4)
    log.__exit__(NonFiniteLoss, NonFiniteLoss("the loss is nan at step 4"), None)
    told = {"step": 4, "diverged": "the loss is nan at step 4"}
    assert read_log(tmp_path / "log.jsonl") == [{"step": 3, **FIGURES}, told]
    with run_log(tmp_path, start=3):  # it goes on from the checkpoint before
        pass
    assert read_log(tmp_path / "log.jsonl") == [{"step": 3, **FIGURES}]


def test_nothing_is_said_of_the_end_before_four_evaluations_that_rise(tmp_path):
    console = printed()
    with run_log(tmp_path, steps=100, console=console) as log:
        for step, ap50 in ((10, 0.3), (20, 0.45), (30, 0.53)):
            log.evaluation(step, evaluation(ap50), best=True)
        log.evaluation(35, evaluation(math.nan), best=False)
        assert "forecast" not in console.file.getvalue()
        log.evaluation(40, evaluation(0.57), best=True)
    *before, last = read_log(tmp_path / "log.jsonl")
    assert not any("forecast" in record for record in before)
    assert last["forecast"].keys() == {"ap50", "low", "high", "step", "plateau"}
    assert (
        0.53 < last["forecast"]["low"] < last["forecast"]["ap50"] < last["forecast"]["high"] < 0.8
    )
    assert last["forecast"]["step"] == 100
    line = console.file.getvalue().splitlines()[-1]
    assert line.startswith("step 40/100  forecast for step 100: AP50 0.6")


def test_after_a_resume_the_forecast_is_the_same(tmp_path):
    curve = [(10, 0.3), (20, 0.45), (30, 0.53), (40, 0.57), (50, 0.6)]
    for folder, stop in ((tmp_path / "straight", 100), (tmp_path / "resumed", 30)):
        folder.mkdir()
        for start, end in ((0, stop), (stop, 100)):
            with run_log(folder, start=start, steps=100) as log:
                for step, ap50 in curve:
                    if start < step <= end:
                        log.evaluation(step, evaluation(ap50), best=True)
    straight, resumed = (read_log(tmp_path / n / "log.jsonl") for n in ("straight", "resumed"))
    assert straight == resumed
    assert "forecast" in straight[-1]


def test_at_the_end_it_is_said_whether_more_steps_would_have_helped(tmp_path):
    console = printed()
    with run_log(tmp_path, steps=50, console=console) as log:
        for step, ap50 in ((10, 0.3), (20, 0.45), (30, 0.53), (40, 0.57), (50, 0.6)):
            log.evaluation(step, evaluation(ap50), best=True)
    last = read_log(tmp_path / "log.jsonl")[-1]
    assert "forecast" not in last
    assert last["if_longer"]["step"] == 100
    assert "more steps would probably have helped: a run of 100 is expected to gain 0.0" in (
        console.file.getvalue()
    )
