"""Which code this is: the installed version, and the commit where it runs from a checkout."""

import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path


@cache
def describe_code() -> str:
    """`0.1.0` as installed; in a checkout the commit, `3f2a9c1d04`, `+changes` if edited.

    Asked once: what is edited or committed while a training runs did not make its model.
    """
    folder = Path(__file__).resolve().parent
    if not (folder.parent / ".git").exists():
        return version("scratchdet")
    try:
        commit = _git(folder, "rev-parse", "--short=10", "HEAD")
        return commit + ("+changes" if _git(folder, "status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):  # no git here, or not one that reads this
        return version("scratchdet")


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
