"""The README's Python example is run as it stands, on less data and for fewer steps."""

import re
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
