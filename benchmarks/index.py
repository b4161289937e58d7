"""What the annotations of a large data set cost: time to load, and memory in 4 worker processes.

    python benchmarks/index.py [--images 1000000] [--objects 7000000]

A pack of made-up annotations (no pixels) is written, loaded in a fresh process, held out, and read
through by the workers of a DataLoader. Beside it the same as a list of dictionaries, of a tenth of
the images: each look at a Python object writes to its reference count, and so copies its page.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from machine import as_measured

from scratchdet.data.formats import read_data
from scratchdet.data.pack_writer import writing_pack
from scratchdet.data.packed import Contents, contents_entry, table_entries
from scratchdet.data.split import hold_out
from scratchdet.structures import DetectionData, Strings

RESULTS = Path(__file__).parent / "results" / "index.json"
WORKERS = 4
CLASSES = 80


def made_up(images: int, objects: int) -> DetectionData:
    """Annotations of this size, their objects spread at random."""
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 300, (objects, 2)).astype(np.float32)
    counts = np.bincount(rng.integers(0, images, objects), minlength=images)
    return DetectionData(
        classes=tuple(f"class {number}" for number in range(CLASSES)),
        ids=Strings(f"{number:012d}" for number in range(images)),
        paths=Strings(f"train/{number:012d}.jpg" for number in range(images)),
        sizes=np.tile(np.array([[640, 480]], np.int32), (images, 1)),
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        boxes=np.hstack([corners, corners + 100]),
        labels=rng.integers(0, CLASSES, objects).astype(np.int32),
        ignore=np.zeros(objects, bool),
    )


def write(path: Path, data: DetectionData) -> None:
    with writing_pack(path) as put:
        put(*contents_entry(Contents([], [], 0, 0)))
        for key, value in table_entries(0, data):
            put(key, value)


def memory(process: int | str = "self") -> dict[str, float]:
    """Megabytes: resident, its share of it (PSS), and what no other process has (USS)."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    private = kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]
    found = {"rss": kilobytes["Rss"], "pss": kilobytes["Pss"], "uss": private}
    return {name: round(value / 1e3, 1) for name, value in found.items()}


@dataclass
class Touched:
    """A data set for the DataLoader that looks at every object of an image."""

    images: Any
    look: Callable[[Any, int], float]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[float, int]:
        return self.look(self.images, index), os.getpid()


def look_at_record(data: DetectionData, index: int) -> float:
    record = data[index]
    return float(record.boxes.sum() + record.labels.sum() + len(str(record.path)))


def look_at_dictionary(images: list[dict[str, Any]], index: int) -> float:
    image = images[index]
    return sum(map(sum, image["boxes"])) + sum(image["labels"]) + len(image["path"])


def in_workers(touched: Touched) -> dict[str, Any]:
    """Memory of the workers when they have seen 512 images in all, and when they have seen all."""
    from torch.utils.data import DataLoader, Subset

    found = {}
    for when, seen in (("begin", range(512)), ("end", range(len(touched)))):
        loader = DataLoader(
            Subset(touched, seen), num_workers=WORKERS, batch_size=128, persistent_workers=True
        )
        processes = {int(pid) for _, pids in loader for pid in pids}
        each = [memory(pid) for pid in processes]
        found[when] = {name: round(sum(one[name] for one in each) / len(each)) for name in each[0]}
        found[when]["total_pss_with_parent"] = round(
            memory()["pss"] + sum(one["pss"] for one in each)
        )
        del loader
    return found


def measure_columns(path: Path) -> dict[str, Any]:
    before = memory()
    start, cpu = perf_counter(), process_time()
    data = read_data(path)
    loaded = {"seconds": perf_counter() - start, "cpu_seconds": process_time() - cpu}
    after = memory()
    start, cpu = perf_counter(), process_time()
    train, held = hold_out(data, 0.1)
    split = {"seconds": perf_counter() - start, "cpu_seconds": process_time() - cpu}
    assert len(train) + len(held) == len(data)
    return {
        "images": len(data),
        "objects": data.num_objects,
        "load": {name: round(value, 2) for name, value in loaded.items()},
        "load_rss_mb": round(after["rss"] - before["rss"]),
        "hold_out": {name: round(value, 2) for name, value in split.items()},
        "hold_out_rss_mb": round(memory()["rss"] - after["rss"]),
        "workers_mb": in_workers(Touched(train, look_at_record)),
    }


def measure_objects(path: Path) -> dict[str, Any]:
    data = read_data(path)
    before = memory()
    images = [
        {"path": str(one.path), "boxes": one.boxes.tolist(), "labels": one.labels.tolist()}
        for one in data
    ]
    return {
        "images": len(images),
        "rss_mb": round(memory()["rss"] - before["rss"]),
        "workers_mb": in_workers(Touched(images, look_at_dictionary)),
    }


def in_fresh_process(what: str, path: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--measure", what, str(path)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Print the figures and write them to results/index.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--objects", type=int, default=7_000_000)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure = {"columns": measure_columns, "objects": measure_objects}[given.measure[0]]
        print(json.dumps(measure(Path(given.measure[1]))))
        return
    with tempfile.TemporaryDirectory() as root:
        path, small = Path(root, "whole.lmdb"), Path(root, "small.lmdb")
        write(path, made_up(given.images, given.objects))
        write(small, made_up(given.images // 10, given.objects // 10))
        result: dict[str, object] = {
            "task": f"load, hold out a tenth, read through by {WORKERS} workers",
            "pack_mb": round(path.stat().st_size / 1e6),
            "columns": in_fresh_process("columns", path),
            "list_of_dictionaries": in_fresh_process("objects", small),
        }
    as_measured(result, RESULTS)


if __name__ == "__main__":
    main()
