"""The benchmarks are run seldom; what they import has to be there all the same."""

import importlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))


def test_there_are_benchmarks():
    assert "training_speed" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_finds_what_it_imports_and_says_how_it_is_run(name, monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    assert importlib.import_module(name).__doc__
