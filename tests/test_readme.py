"""The README's Python example is run as it stands, on less data and for fewer steps."""

import re
import tomllib
from pathlib import Path

from scratchdet.data.digits import write_digits
from scratchdet.recipe import differing
from scratchdet.recipes import RECIPES, load_recipe
from scratchdet.recipes.shipped import Shipped

README = Path(__file__).resolve().parents[1] / "README.md"


def test_the_python_example_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    brief = differing(
        load_recipe("digits"),
        data={"batch": 2, "workers": 0},
        schedule={"steps": 2, "evaluate_every": 0},
        run={"threads": 1},
    )
    monkeypatch.setitem(RECIPES, "digits", Shipped(recipe=brief))
    monkeypatch.chdir(tmp_path)
    write_digits(tmp_path / "demo-data", train=4, val=2, test=2)

    exec(compile(example, str(README), "exec"), {})

    *_, detections, ap50 = capsys.readouterr().out.strip().splitlines()
    assert re.fullmatch(r"\[.*\]", detections)
    assert 0 <= float(ap50) <= 1
    assert (tmp_path / "runs/mine/best/model.safetensors").is_file()


def test_every_file_that_the_readme_links_to_exists():
    links = re.findall(r"\]\(([^)#:]+)\)", README.read_text(encoding="utf-8"))
    missing = [link for link in links if not (README.parent / link).exists()]
    assert links
    assert not missing


def test_what_is_said_to_be_installed_is_what_the_project_names_as_extras():
    root = README.parent
    extras = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    packages = {re.split(r"[^\w-]", entry)[0] for name in extras for entry in extras[name]}
    known = packages - {"scratchdet"} | {".", *(f"'.[{name}]'" for name in extras)}
    files = [README, *root.glob("docs/*.md"), *root.glob("scratchdet/**/*.py")]
    said = [
        (file.name, word)
        for file in files
        for words in re.findall(
            r"pip install ((?:[\w.\[\]'-]+ ?)+)", file.read_text(encoding="utf-8")
        )
        for word in words.split()
    ]
    assert {"timm", "imagecodecs", "scikit-learn", "openvino"} <= {word for _, word in said}
    assert [(file, word) for file, word in said if word not in known] == []
