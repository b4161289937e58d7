"""Shape checks for every test, and the way to the recorded data that only the developers have."""

from pathlib import Path

import pytest
from jaxtyping import install_import_hook

install_import_hook(["scratchdet.ops", "scratchdet.models"], "beartype.beartype")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The developers' folder of recorded data; users do not have it, so their tests skip."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip(f"recorded data absent: {folder}")
    return folder
