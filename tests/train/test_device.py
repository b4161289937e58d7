"""Where a run computes, and how precisely."""

import pytest
import torch

from scratchdet.train.device import choose_device, choose_precision, describe_device, use_threads

CPU = torch.device("cpu")


def test_auto_is_the_gpu_if_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == torch.device("cuda")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == CPU


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"'cuda' is not there.*try cpu"):
        choose_device("cuda")


def test_a_device_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match=r"'abacus' is not known; try auto, cpu or cuda"):
        choose_device("abacus")


@pytest.mark.parametrize("wanted", ["fp32", "bf16", "fp16"])
def test_a_precision_that_is_asked_for_is_taken(wanted):
    assert choose_precision(wanted, CPU) == wanted


@pytest.mark.parametrize(
    ("able", "chosen"),
    [
        ({}, "fp32"),
        ({"avx512_bf16": False, "amx_bf16": False}, "fp32"),
        ({"avx512_bf16": True}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
    ],
)
def test_auto_is_bf16_only_on_processors_that_compute_it(monkeypatch, able, chosen):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert choose_precision("auto", CPU) == chosen


@pytest.mark.parametrize(("native", "chosen"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_bf16_only_on_gpus_that_compute_it(monkeypatch, native, chosen):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    assert choose_precision("auto", torch.device("cuda")) == chosen


def test_threads_are_as_asked_or_one_per_core_this_process_may_use(monkeypatch):
    before = torch.get_num_threads()
    try:
        assert use_threads(1) == torch.get_num_threads() == 1
        monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 3, 4})
        assert use_threads(0) == torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_the_description_names_the_device_and_its_threads():
    before = torch.get_num_threads()
    try:
        for threads, told in ((1, "1 thread)"), (3, "3 threads)")):
            use_threads(threads)
            text = describe_device("cpu")
            assert text.startswith("cpu (")
            assert text.endswith(f", {told}")
    finally:
        torch.set_num_threads(before)
