"""What it costs to hand the annotations of a large data set from rank 0 to the other ranks.

    torchrun --standalone --nproc-per-node=2 benchmarks/handing_over.py

Rank 0 alone reads and checks the data (`from_first`); here it makes up 1,000,000 images with
7,000,000 objects. Printed per rank: seconds, and the most memory before and after.
"""

import resource
from time import perf_counter

from index import made_up

from scratchdet.train.distributed import from_first, gathered, joined, ranks_of_launch

IMAGES, OBJECTS = 1_000_000, 7_000_000


def peak() -> int:
    """The most memory that this process has ever had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    ranks = ranks_of_launch()
    data = made_up(IMAGES, OBJECTS) if ranks.first else None
    with joined(ranks):
        gathered(ranks, None)  # all are there
        before, began = peak(), perf_counter()
        data = from_first(ranks, lambda: data)
        gathered(ranks, None)
        seconds = perf_counter() - began
        for rank, line in enumerate(gathered(ranks, (seconds, before, peak()))):
            if ranks.first:
                print(f"rank {rank}: {line[0]:.1f} s, {line[1]} MB before, {line[2]} MB at most")
    assert data is not None
    assert len(data) == IMAGES


if __name__ == "__main__":
    main()
