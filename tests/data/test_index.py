"""The annotations of a large data set are columns: loaded in no time, and shared by workers."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scratchdet.data.split import hold_out
from scratchdet.structures import DetectionData, Strings
from scratchdet.train.prepare import fingerprint

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

MEASURE = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from index import made_up, measure_columns, write
path, images, objects = Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
if path.exists():
    print(json.dumps(measure_columns(path)))
else:
    write(path, made_up(images, objects))
"""


def measured(tmp_path, *, images, objects):
    """The figures of benchmarks/index.py, in a process that has done nothing else before."""
    arguments = [BENCHMARKS, tmp_path / "x.lmdb", str(images), str(objects)]
    for _ in ("write", "measure"):
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, *arguments], capture_output=True, text=True, check=True
        )
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("images", "objects"),
    [(100_000, 700_000), pytest.param(1_000_000, 7_000_000, marks=pytest.mark.slow)],
)
def test_a_large_data_set_loads_fast_in_little_memory_and_workers_do_not_copy_it(
    tmp_path, images, objects
):
    """The promise is for the larger one: 5 s and 1 GB. A copy would take 200 MB in each worker."""
    found = measured(tmp_path, images=images, objects=objects)
    share = images / 1_000_000
    assert (found["images"], found["objects"]) == (images, objects)
    assert found["load"]["cpu_seconds"] < 5 * share
    assert found["load_rss_mb"] < 300 * share + 20
    assert found["hold_out_rss_mb"] < 500 * share + 20
    grown = found["workers_mb"]["end"]["uss"] - found["workers_mb"]["begin"]["uss"]
    assert grown < 10 + 20 * share


def test_subsets_make_no_objects(monkeypatch):
    """A record is a Python object; a million of them would take seconds and a gigabyte."""
    count = 1000
    data = DetectionData(
        classes=("a",),
        ids=Strings(map(str, range(count))),
        paths=Strings(map(str, range(count))),
        sizes=np.ones((count, 2), np.int32),
        offsets=np.arange(count + 1),
        boxes=np.zeros((count, 4), np.float32),
        labels=np.zeros(count, np.int32),
        ignore=np.zeros(count, bool),
    )
    monkeypatch.setattr("scratchdet.structures.Record", None)
    train, held = hold_out(data, 0.2)
    assert sorted(map(int, [*train.ids, *held.ids])) == list(range(count))
    assert fingerprint(train) != fingerprint(held)
