"""docs/models.md is what the networks say, and its drawings are theirs."""

import re
from pathlib import Path

import pytest

from scratchdet.analysis.drawings import DRAWINGS
from scratchdet.analysis.models_page import FAMILIES, MEASURED, write_page
from scratchdet.models.zoo import MODELS

DOCS = Path(__file__).resolve().parents[2] / "docs"
AGAIN = "write it again: python -m scratchdet.analysis.models_page"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder that the page and its drawings were written to now."""
    pytest.importorskip("timm")
    folder = tmp_path_factory.mktemp("docs")
    write_page(folder)
    return folder


@pytest.fixture(scope="module")
def page(written):
    return (written / "models.md").read_text(encoding="utf-8")


def test_the_page_in_the_docs_is_what_would_be_written_now(page):
    assert (DOCS / "models.md").read_text(encoding="utf-8") == page, AGAIN


def test_every_model_belongs_to_one_family():
    assert sorted(name for family in FAMILIES for name in family.names) == sorted(MODELS)


def test_every_model_has_a_row_that_says_whether_it_was_measured_here(page):
    rows = {row.split("`")[1]: row for row in page.splitlines() if row.startswith("| `")}
    for name in MODELS:
        (row,) = [
            row for row in page.splitlines() if row.startswith(f"| `{name}`") and " x " in row
        ]
        assert ("not measured here" in row) == (name not in MEASURED)
    assert set(rows) == set(MODELS)


def test_what_the_page_says_was_measured_stands_in_the_results():
    results = (DOCS / "results.md").read_text(encoding="utf-8")
    for figures in MEASURED.values():
        for _, ap50, commit in figures:
            assert re.search(rf"\| \*\*{re.escape(ap50)}\*\* \| {re.escape(commit)} \|", results)


def test_what_the_page_shows_and_links_to_is_there(page):
    linked = [DOCS / link for link in re.findall(r"\]\(([^)]+)\)", page)]
    assert {DOCS / "models" / f"{name}.svg" for name in DRAWINGS} <= set(linked)
    assert all(file.is_file() for file in linked)


def test_the_drawings_are_written_beside_the_page(written):
    files = {file.name: file.read_bytes() for file in (written / "models").iterdir()}
    assert files == {
        f"{name}.svg": (DOCS / "models" / f"{name}.svg").read_bytes() for name in DRAWINGS
    }, AGAIN
