"""What `import scratchdet` offers, and what it costs."""

import ast
import inspect
import subprocess
import sys

import pytest

import scratchdet


def run(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def imported_for_type_checkers() -> dict[str, tuple[str, str]]:
    """Public name -> (module, name there), out of the TYPE_CHECKING block."""
    tree = ast.parse(inspect.getsource(scratchdet))
    (block,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    return {
        alias.asname or alias.name: (str(statement.module), alias.name)
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }


def test_type_checkers_see_the_names_that_are_public():
    assert sorted(imported_for_type_checkers()) == sorted(scratchdet.__all__)


@pytest.mark.parametrize("name", [name for name in scratchdet.__all__ if name != "train"])
def test_a_public_name_is_what_type_checkers_take_it_for(name):
    module, original = imported_for_type_checkers()[name]
    assert getattr(scratchdet, name) is getattr(sys.modules[module], original)


def test_train_calls_the_function_that_type_checkers_take_it_for(monkeypatch):
    calls = []
    assert imported_for_type_checkers()["train"] == ("scratchdet.train.loop", "train")
    monkeypatch.setattr("scratchdet.train.loop.train", lambda *a, **k: calls.append((a, k)))
    scratchdet.train("recipe", data="data", run_dir="run")
    assert calls == [(("recipe",), {"data": "data", "run_dir": "run"})]


@pytest.mark.parametrize(
    "before",
    [
        "import scratchdet",
        "import scratchdet.train",
        "from scratchdet import train",
        "import scratchdet.train.loop",
    ],
)
def test_train_can_be_called_and_searched_whatever_was_imported_before(before):
    run(
        f"{before}\n"
        "import scratchdet\n"
        "assert callable(scratchdet.train)\n"
        "import scratchdet.train.interrupt\n"
        "assert callable(scratchdet.train)\n"
        "assert scratchdet.train.interrupt.catching_interrupts"
    )


def test_the_import_alone_is_light_and_a_recipe_needs_no_torch():
    run(
        "import sys, scratchdet\n"
        "scratchdet.load_recipe(scratchdet.list_recipes()[0])\n"
        "assert not {'torch', 'cv2', 'matplotlib'} & set(sys.modules)"
    )


def test_public_names_are_listed():
    assert set(scratchdet.__all__) <= set(dir(scratchdet))
    assert scratchdet.__all__ == sorted(scratchdet.__all__, key=lambda name: (name.islower(), name))


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'scratchdet' has no attribute 'fly'"):
        _ = scratchdet.fly
