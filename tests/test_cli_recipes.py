"""`scratchdet recipes`: lists, TOML, and every value with its source."""

import json

import pytest

from scratchdet.cli import main
from scratchdet.recipes import GROUPS, RECIPES, load_recipe


def printed(capsys, *arguments):
    assert main(["recipes", *arguments]) == 0
    return capsys.readouterr().out


def test_recipes_are_listed_in_groups_with_a_line_each(capsys):
    lines = printed(capsys).splitlines()
    for title, group in GROUPS.items():
        at = lines.index(title)
        names = [line.split()[0] for line in lines[at + 1 : at + 1 + len(group)]]
        assert names == list(group)
        assert lines[at + 1 + len(group)] == ""
    assert all(len(line) <= 106 for line in lines)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_printed_as_it_is_read(name, capsys, tmp_path):
    (tmp_path / "mine.toml").write_text(printed(capsys, name), encoding="utf-8")
    assert load_recipe(tmp_path / "mine.toml") == load_recipe(name)


def test_a_file_is_printed_whole(capsys, tmp_path):
    (tmp_path / "mine.toml").write_text('base = "nano"\n[optim]\nlr = 0.5\n', encoding="utf-8")
    text = printed(capsys, str(tmp_path / "mine.toml"))
    assert "lr = 0.5\n" in text
    assert "steps = 4000\n" in text


@pytest.mark.parametrize("name", RECIPES)
def test_show_lists_every_setting_with_its_source(name, capsys):
    lines = printed(capsys, "show", name).splitlines()
    assert lines[0] == name
    start = next(index for index, line in enumerate(lines) if line.startswith("setting"))
    column = lines[start].index("source")
    rows = {line.split()[0]: line[column:] for line in lines[start + 1 :]}
    told = json.loads(printed(capsys, "show", name, "--json"))
    assert list(rows) == list(told["values"])
    for setting, source in rows.items():
        assert source == RECIPES[name].source(setting) == told["values"][setting]["source"]
    assert len(rows) > 40


def test_show_says_what_a_value_means_and_how_the_recipe_is_run(capsys):
    text = printed(capsys, "show", "scratchdet300_voc0712_coco")
    assert (
        "Command: scratchdet train VOCdevkit --recipe scratchdet300_voc0712_coco --init runs/COCO"
    ) in " ".join(text.split())
    rows = [line.split() for line in text.splitlines()]
    assert ["schedule.drops", "20000", "37500", "45000"] in [row[:4] for row in rows]
    assert ["schedule.warmup_steps", "-1", "(500)"] in [row[:3] for row in rows]
    assert ["model.choices", "prior_sizes=coco"] in [row[:2] for row in rows]
    assert ["model.init", "-", "default"] in [row[:3] for row in rows]
    digits = printed(capsys, "show", "digits")
    assert "auto_no_mirror (mild_no_mirror)" in digits
    assert "Published, not measured here: 80.4 VOC07" in " ".join(
        printed(capsys, "show", "scratchdet300_voc0712").split()
    )


def test_json_has_the_values_as_they_are(capsys):
    listed = json.loads(printed(capsys, "--json"))
    assert [entry["name"] for entry in listed] == list(RECIPES)
    assert {entry["group"] for entry in listed} == set(GROUPS)
    told = json.loads(printed(capsys, "dsod300_coco", "--json"))
    assert told["values"]["schedule.drops"]["value"] == [80_000, 140_000, 200_000, 260_000]
    assert told["values"]["schedule.warmup_steps"]["settled"] == 500
    assert (told["trained_on"], told["published"][0]["percent"]) == ("COCO trainval", 29.3)
    assert "nothing is tested here" in told["notes"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gigantic"], "gigantic is neither a recipe file nor a shipped recipe"),
        (["gigantic", "--json"], "no recipe is called 'gigantic'; there are nano"),
        (["show"], "show what? '' is none of nano"),
        (["show", "gigantic"], "show what? 'gigantic' is none of nano"),
        (["nano", "digits"], "one name, or show and a name; not 'nano' and 'digits'"),
    ],
)
def test_wrong_use_is_answered_in_one_line(arguments, said, capsys):
    assert main(["recipes", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
