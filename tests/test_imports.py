"""Which part of the package may import which: design.md, section 1, held by reading the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "scratchdet"

EVERYTHING = {path.stem if path.suffix else path.name for path in PACKAGE.iterdir()}
COMMAND_LINE = {
    "cli",
    "cli_ablate",
    "cli_arguments",
    "cli_check",
    "cli_compare",
    "cli_detect",
    "cli_download",
    "cli_eval",
    "cli_export",
    "cli_extend",
    "cli_import",
    "cli_launch",
    "cli_models",
    "cli_recipes",
    "cli_report",
    "cli_pack",
    "cli_train",
    "__main__",
}
ALLOWED = {
    "files": set(),
    "structures": set(),
    "tensor_file": {"files"},
    "terminal": set(),
    "version": set(),
    "recipe": set(),
    "recipe_toml": {"recipe", "files"},
    "recipes": {"recipe", "recipe_toml"},
    "ops": {"structures"},
    "models": {"ops", "structures", "tensor_file"},
    "data": {"structures", "files", "ops"},
    "evaluation": {"structures", "data", "files"},
    "analysis": {"structures", "ops", "models", "data", "evaluation", "files", "recipe", "recipes"},
    "export": EVERYTHING - COMMAND_LINE - {"__init__", "train", "analysis", "predictors"},
    "testing": {"structures", "ops", "recipe"},
    "predictors": {
        "structures",
        "data",
        "models",
        "export",
        "testing",
        "train",
        "recipe",
        "recipe_toml",
    },
    "detecting": {"structures", "data", "files", "analysis", "ops"},
    "train": EVERYTHING - COMMAND_LINE - {"__init__"},
    "cli_ablate": EVERYTHING - {"cli", "__main__"},
    "cli_arguments": set(),
    "cli_check": EVERYTHING - {"cli", "__main__"},
    "cli_detect": EVERYTHING - {"cli", "__main__"},
    "cli_download": {"data", "terminal"},
    "cli_eval": EVERYTHING - {"cli", "__main__"},
    "cli_export": EVERYTHING - {"cli", "__main__"},
    "cli_compare": EVERYTHING - {"cli", "__main__"},
    "cli_extend": {"recipe"},
    "cli_import": {"models", "data", "terminal"},
    "cli_launch": {"train"},
    "cli_models": {"models", "terminal"},
    "cli_recipes": {"analysis", "recipe", "recipe_toml", "recipes", "terminal"},
    "cli_report": {"train", "terminal"},
    "cli_pack": {"data", "terminal"},
    "cli_train": EVERYTHING - {"cli", "__main__"},
    "cli": EVERYTHING - {"__main__"},
    "__main__": {"cli", "train"},
    "__init__": EVERYTHING - COMMAND_LINE,
}

SOURCES = sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    """The part of the package that a file belongs to: its folder, or itself."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(path: Path, source: str) -> Iterator[str]:
    """The full name of everything that the file imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                folder = path.relative_to(PACKAGE.parent).parts[: -node.level]
                module = ".".join([*folder, *module.split(".")]).rstrip(".")
            yield from (f"{module}.{alias.name}" for alias in node.names)


def parts_imported(path: Path, source: str) -> set[str]:
    """The parts of the package that the file imports, besides its own."""
    ours = [name.split(".") for name in imported(path, source)]
    parts = {
        name[1] if len(name) > 1 and name[1] in EVERYTHING else "__init__"
        for name in ours
        if name[0] == "scratchdet"
    }
    return parts - {part_of(path)}


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_there_is_something_to_read():
    assert {"ops", "models", "data", "train", "structures"} <= {part_of(path) for path in SOURCES}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_go_one_way(path):
    assert part_of(path) in ALLOWED, "a new part of the package: say in ALLOWED what it may import"
    forbidden = parts_imported(path, path.read_text()) - ALLOWED[part_of(path)]
    assert not forbidden, f"{part_of(path)} must not import {', '.join(sorted(forbidden))}"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_nothing_is_unpickled(path):
    source = path.read_text()
    picklers = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve"}
    names = set(imported(path, source))
    assert not {name for name in names if name.split(".")[0] in picklers}
    assert "torch.load" not in names
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) != ("torch", "load"), f"line {node.lineno}"
        if isinstance(node, ast.keyword):
            assert node.arg != "allow_pickle", f"line {node.value.lineno}"


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("import os, torch.nn", set()),
        ("import scratchdet.models.zoo", {"models"}),
        ("from scratchdet.models import zoo", {"models"}),
        ("from scratchdet import models, create_model", {"models", "__init__"}),
        ("from ..models.zoo import MODELS", {"models"}),
        ("from . import boxes", set()),
        ("from .. import cli", {"cli"}),
        ("def late():\n    from scratchdet.cli import main", {"cli"}),
    ],
)
def test_every_way_to_import_is_seen(source, parts):
    assert parts_imported(PACKAGE / "ops" / "priors.py", source) - {"ops"} == parts
