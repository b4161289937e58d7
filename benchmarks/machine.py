"""What a figure was measured on, written beside it."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
from datetime import UTC, datetime
from pathlib import Path


def as_measured(result: dict[str, object], file: Path) -> None:
    """Writes `result` to the JSON file, with machine, commit and date, and prints it."""
    result |= {
        "machine": name(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    text = json.dumps(result, indent=2) + "\n"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    print(text, end="")


def name() -> str:
    """The processor's name, as the system gives it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def commit() -> str:
    """The commit measured, `-dirty` if files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def peak_memory() -> int:
    """Megabytes that this process has had at most."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
