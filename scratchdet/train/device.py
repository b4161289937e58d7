"""Where a run computes, and in which precision."""

import os
from typing import Literal

import torch

from scratchdet.analysis.report.words import count

Precision = Literal["auto", "fp32", "bf16", "fp16"]

AUTOCAST = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(wanted: str) -> torch.device:
    """The device called `wanted`; "auto" is a GPU if there is one. ValueError if not there."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise ValueError(f"device {wanted!r} is not known; try auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {wanted!r} is not there: this torch sees no CUDA GPU; try cpu")
    return device


def choose_precision(wanted: Precision, device: torch.device) -> Literal["fp32", "bf16", "fp16"]:
    """`wanted`, with "auto" resolved: bf16 where the device computes it natively, else fp32."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        able = torch.cpu.get_capabilities()
        native = bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    return "bf16" if native else "fp32"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """A context in which convolutions compute in a precision that `choose_precision` gave."""
    return torch.autocast(device.type, dtype=AUTOCAST[precision], enabled=precision != "fp32")


def use_threads(threads: int, *, processes: int = 1) -> int:
    """Sets the CPU threads of this process; how many there are now.

    threads: 0 for one per core that it may use, shared with the other `processes` of the run.
    """
    number = threads or max(1, len(os.sched_getaffinity(0)) // processes)
    torch.set_num_threads(number)
    return number


def prefer_speed(device: torch.device) -> None:
    """Lets a GPU, this process's own from now on, try which algorithms are fastest, and compute
    fp32 as TF32 (10 bits of mantissa)."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True  # inputs are all of one size


def describe_device(name: str) -> str:
    """For people and for metrics.json: `cpu (AMD EPYC, 2 threads)`, `cuda (NVIDIA H200)`."""
    device = torch.device(name)
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    processor = torch.cpu.get_capabilities().get("cpu_name", "unknown processor")
    return f"cpu ({processor}, {count(torch.get_num_threads(), 'thread')})"
