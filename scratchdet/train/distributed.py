"""Several processes that train one detector: who they are, and what they tell each other.

`torchrun` starts them and says so in the environment; a single process is rank 0 of 1 and talks to
nobody. Every rank runs the same program on its share of each batch; rank 0 alone writes.
"""

import ctypes
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from scratchdet.models.detector import Detector
from scratchdet.train.launch import Left, is_launched, launch_store, meet

PR_SET_PDEATHSIG = 1  # linux/prctl.h: the signal a process gets when its parent dies
PATIENCE = timedelta(hours=12)  # rank 0 decodes all images while the others wait

Value = TypeVar("Value")


class Ranks(NamedTuple):
    """This process among those of the run."""

    rank: int = 0
    size: int = 1
    """Processes in all, one for each device."""
    local: int = 0
    """This process among those on its machine."""
    local_size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes, and speaks."""
        return self.rank == 0

    def device(self, chosen: torch.device) -> torch.device:
        """This rank's own device of the kind that was chosen."""
        if chosen.type == "cuda" and self.size > 1:
            return torch.device("cuda", self.local)
        return chosen


def ranks_of_launch() -> Ranks:
    """What `torchrun` says in the environment; without it a single process."""
    if not is_launched():
        return Ranks()
    return Ranks(
        rank=int(os.environ["RANK"]),
        size=int(os.environ["WORLD_SIZE"]),
        local=int(os.environ["LOCAL_RANK"]),
        local_size=int(os.environ["LOCAL_WORLD_SIZE"]),
    )


@contextmanager
def joined(ranks: Ranks) -> Iterator[None]:
    """Inside, the ranks can talk to each other; a process alone needs nothing for that.

    Raises Left when another rank has ended. Nothing happens inside another `joined`.
    """
    if ranks.size == 1 or dist.is_initialized():
        yield
        return
    _end_with_parent()
    dist.init_process_group(
        # gloo beside NCCL: objects are told over it, and it waits for as long as it is told to.
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
        # The launcher keeps its store over restarts: addresses of ranks that are gone stay in it.
        store=dist.PrefixStore(meet(rank=ranks.rank, size=ranks.size), launch_store()),
        rank=ranks.rank,
        world_size=ranks.size,
        timeout=PATIENCE,
    )
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise Left(f"another process of the run has ended ({error})") from error
        raise
    # Not after an error: the other ranks are somewhere else, and about to be ended.
    dist.destroy_process_group()


def _end_with_parent() -> None:
    """Whoever kills the launcher asks its processes to stop: without it they would go on alone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def together() -> int:
    """How many ranks talk to each other; 1 for a process alone."""
    return dist.get_world_size() if dist.is_initialized() else 1


def from_first(ranks: Ranks, make: Callable[[], Value]) -> Value:
    """What `make()` gives on rank 0, on every rank; an error there is raised on every rank."""
    if ranks.size == 1:
        return make()
    told: list[Any] = [None, None]
    failed: Exception | None = None
    if ranks.first:
        try:
            told[0] = make()
        except (ValueError, OSError, RuntimeError) as error:
            told[1], failed = error, error
    dist.broadcast_object_list(told, src=0, device=torch.device("cpu"))
    if told[1] is not None:
        raise failed or told[1]
    value: Value = told[0]
    return value


def agreed(ranks: Ranks, do: Callable[[], Value]) -> Value:
    """What `do()` gives here; an error of any rank is raised on all, and so they stay together.

    Of several it is that of the lowest rank, or of one whose error does not follow from another's.
    """
    value: Any = None
    failed: Exception | None = None
    try:
        value = do()
    except (ValueError, OSError, RuntimeError) as error:
        failed = error
    if ranks.size == 1 or not any_of(failed is not None):
        if failed is not None:
            raise failed
        return cast(Value, value)
    errors = [error for error in gathered(ranks, failed) if error is not None]
    raise min(errors, key=lambda error: getattr(error, "follows", False))


def gathered(ranks: Ranks, value: Value) -> list[Value]:
    """The values of all ranks in their order, on every rank."""
    if ranks.size == 1:
        return [value]
    values: list[Any] = [None] * ranks.size
    dist.all_gather_object(values, value)
    return values


def gathered_on_first(ranks: Ranks, value: Value) -> list[Value]:
    """The values of all ranks in their order on rank 0, and nothing on the others."""
    if ranks.size == 1:
        return [value]
    values: list[Any] | None = [None] * ranks.size if ranks.first else None
    dist.gather_object(value, values, dst=0)
    return values or []


def averaged(tensor: Tensor) -> Tensor:
    """The mean of a tensor over the ranks."""
    if together() == 1:
        return tensor
    total = tensor.clone()
    dist.all_reduce(total)
    return total / together()


def any_of(flag: bool) -> bool:
    """Whether `flag` is set on any rank."""
    if together() == 1:
        return flag
    total = torch.tensor(int(flag))
    dist.all_reduce(total)
    return bool(total)


def average_statistics(detector: nn.Module) -> None:
    """Makes the statistics of BatchNorm the mean of those of all ranks, in place.

    Each rank gathers those of its own images. At every step: if only where they are saved, the bits
    of a run would tell where it was saved.
    """
    if together() == 1:
        return
    statistics = [
        statistic
        for layer in detector.modules()
        if isinstance(layer, nn.BatchNorm2d)  # a SyncBatchNorm has those of all ranks already
        for statistic in (layer.running_mean, layer.running_var)
        if statistic is not None
    ]
    if not statistics:
        return
    means = averaged(torch.cat(statistics)).split([len(one) for one in statistics])
    for statistic, mean in zip(statistics, means, strict=True):
        statistic.copy_(mean)


def parallel(detector: Detector, device: torch.device) -> nn.Module:
    """The detector as it is called in training: its gradients are averaged over the ranks."""
    if together() == 1:
        return detector
    # Statistics are averaged after the step (`average_statistics`), not sent out before it.
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        # broadcast_buffers has another name in torch 2.15, which 2.11 does not know.
        return DistributedDataParallel(
            detector,
            device_ids=[device] if device.type == "cuda" else None,
            broadcast_buffers=False,
            gradient_as_bucket_view=True,
        )
