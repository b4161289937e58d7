"""Nothing is lost when a run is killed, its disk is full or its checkpoint damaged."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "kill.py"


def run_script(*arguments: str) -> subprocess.CompletedProcess:
    """The script on the code that is tested, from whichever folder the tests are started."""
    command = [sys.executable, "-c", f"import runpy, sys; sys.path[:0] = ['{SCRIPT.parent}', "]
    command[-1] += f"'{ROOT}']; sys.argv[1:] = {list(arguments)}; "
    command[-1] += f"runpy.run_path('{SCRIPT}', run_name='__main__')"
    return subprocess.run(command, capture_output=True, text=True)


def test_nothing_is_lost_in_a_few_trials():
    done = run_script("--quick")
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "5 trials" in done.stdout
    assert "0 lost something" in done.stdout


@pytest.mark.slow
def test_nothing_is_lost_in_all_trials(tmp_path):
    out = tmp_path / "kill.json"
    done = run_script("--out", str(out), "--seed", "1")
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    trials = json.loads(out.read_text())["trials"]
    assert sum("random" in one["what"] for one in trials) == 20
    assert [one["what"] for one in trials if one["lost"]] == []


def test_the_table_in_the_guide_is_that_of_the_last_results():
    table = run_script("--table").stdout
    assert table.count("\n") > 20
    assert table in (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
