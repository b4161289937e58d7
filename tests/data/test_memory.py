"""Free memory: what the machine and the container say."""

import pytest

from scratchdet.data.memory import SharedBytes, free_memory

MACHINE = {"proc/meminfo": "MemTotal: 9000 kB\nMemFree: 100 kB\nMemAvailable:    8000 kB\n"}
SECOND = {"proc/self/cgroup": "0::/jobs/one\n"}
FIRST = {"proc/self/cgroup": "4:cpu,cpuacct:/jobs\n3:hugetlb,memory:/jobs/one\n"}


def group(path, *, most, used, inactive=None, version=2):
    limit, usage = ("memory.max", "memory.current")
    name = "inactive_file"
    if version == 1:
        limit, usage, name = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
    files = {f"{path}/{limit}": f"{most}\n", f"{path}/{usage}": f"{used}\n"}
    if inactive is not None:
        files[f"{path}/memory.stat"] = f"anon 7\n{name} {inactive}\n"
    return files


ROOT = "sys/fs/cgroup"
WHOLE = 8000 * 1024


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, None),
        (MACHINE, WHOLE),
        (MACHINE | SECOND, WHOLE),
        (MACHINE | SECOND | group(f"{ROOT}/jobs/one", most="max", used=5), WHOLE),
        (MACHINE | SECOND | group(f"{ROOT}/jobs/one", most=1000, used=400), 600),
        (MACHINE | SECOND | group(f"{ROOT}/jobs/one", most=1000, used=400, inactive=300), 900),
        (MACHINE | SECOND | group(f"{ROOT}/jobs", most=1000, used=400), 600),
        (MACHINE | SECOND | group(ROOT, most=1000, used=1200), 0),
        (MACHINE | SECOND | group(ROOT, most=10**12, used=0), WHOLE),
        (MACHINE | FIRST | group(f"{ROOT}/memory/jobs", most=9000, used=1000, version=1), 8000),
        (MACHINE | FIRST | group(f"{ROOT}/memory", most=50, used=9, inactive=4, version=1), 45),
        (MACHINE | FIRST | group(f"{ROOT}/memory", most=2**63 - 4096, used=9, version=1), WHOLE),
    ],
)
def test_the_least_of_what_machine_and_groups_have_left_is_free(tmp_path, files, free):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert free_memory(tmp_path) == free


def test_of_this_machine_something_is_free():
    free = free_memory()
    assert free is None or free > 2**20


def test_shared_memory_is_zero_and_takes_nothing_until_it_is_written_to():
    before = free_memory()
    shared = SharedBytes(2**34)  # far more than other work on the machine changes meanwhile
    assert shared.memory[0] == shared.memory[2**34 - 1] == 0
    assert before is None or before - free_memory() < 2**33
