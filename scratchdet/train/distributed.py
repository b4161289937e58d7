"""Several processes that train one detector: who they are, and what they tell each other.

`torchrun` starts them and says so in the environment; a single process is rank 0 of 1 and talks to
nobody. Every rank runs the same program on its share of each batch; rank 0 alone writes.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from scratchdet.models.detector import Detector

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
    restarts: int = 0
    """How often torchrun has started the processes again, after one of them had died."""

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
    if "WORLD_SIZE" not in os.environ:
        return Ranks()
    return Ranks(
        rank=int(os.environ["RANK"]),
        size=int(os.environ["WORLD_SIZE"]),
        local=int(os.environ["LOCAL_RANK"]),
        local_size=int(os.environ["LOCAL_WORLD_SIZE"]),
        restarts=int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")),
    )


@contextmanager
def joined(ranks: Ranks, device: torch.device) -> Iterator[None]:
    """Inside, the ranks can talk to each other; a process alone needs nothing for that."""
    if ranks.size == 1 or dist.is_initialized():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # gloo beside NCCL: objects are told over it, and it waits for as long as it is told to.
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=PATIENCE)
    yield
    # Not after an error: the other ranks are somewhere else, and torchrun is about to end them.
    dist.destroy_process_group()


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


def gathered(ranks: Ranks, value: Value) -> list[Value]:
    """The values of all ranks in their order, on every rank."""
    if ranks.size == 1:
        return [value]
    values: list[Any] = [None] * ranks.size
    dist.all_gather_object(values, value)
    return values


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


def average_statistics(*detectors: Detector) -> None:
    """Makes the statistics of BatchNorm the mean of those of all ranks, in place.

    Each rank gathers those of its own images. Done before they are used or saved.
    """
    if together() == 1:
        return
    for detector in detectors:
        for layer in detector.modules():
            if isinstance(layer, nn.BatchNorm2d | nn.SyncBatchNorm):
                for statistic in (layer.running_mean, layer.running_var):
                    if statistic is not None:
                        statistic.copy_(averaged(statistic))


def parallel(detector: Detector, device: torch.device) -> nn.Module:
    """The detector as it is called in training: its gradients are averaged over the ranks."""
    if together() == 1:
        return detector
    # Statistics are averaged when they are needed (`average_statistics`), not at every step.
    return DistributedDataParallel(
        detector,
        device_ids=[device] if device.type == "cuda" else None,
        broadcast_buffers=False,
        gradient_as_bucket_view=True,
    )
