"""`torch.compile` takes every network whole, and computes the same."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from scratchdet.models.zoo import MODELS


def checked(check: str, *names: str) -> dict[str, str]:
    script = Path(__file__).with_name("compiled.py")
    command = [sys.executable, str(script), check, *names]
    result = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


ONE_OF_EACH = ("ssd300_vgg16", "scratchdet_nano", "dsod300_smallest", "grp_dsod320", "ssd300_timm")


@pytest.mark.parametrize(
    "names", [ONE_OF_EACH, pytest.param(tuple(MODELS), marks=pytest.mark.slow)]
)
def test_every_network_is_traced_in_one_piece(names):
    there = [name for name in names if find_spec("timm") or not name.endswith("_timm")]
    assert checked("traced", *there) == dict.fromkeys(there, "")


def test_a_compiled_network_with_checkpointing_learns_what_it_learns_without_either():
    assert checked("checkpointed", "dsod300_smallest") == {"dsod300_smallest": ""}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["scratchdet_nano", "scratchdet300_r18"])
def test_a_compiled_network_learns_what_it_learns_uncompiled(name):
    assert checked("trained", name) == {name: ""}
