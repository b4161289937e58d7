"""`scratchdet models`: what it lists, and that what it lists is true of the networks."""

import json
from dataclasses import replace

import pytest

from scratchdet.cli import main
from scratchdet.models import counting, zoo
from scratchdet.models.published import PUBLISHED
from scratchdet.models.zoo import MODELS, choices_of, create_model

PUBLISHED_HERE = "Published, none of it measured here:"


def shown(capsys, *arguments):
    assert main(["models", *arguments]) == 0
    return capsys.readouterr().out


@pytest.fixture
def few(monkeypatch):
    """A zoo of two networks and one that cannot be built here."""
    chosen = {name: MODELS[name] for name in ("scratchdet300_r34", "scratchdet_nano")}
    monkeypatch.setattr(zoo, "MODELS", {**chosen, "absent": absent})


@pytest.fixture
def counted(monkeypatch):
    """Every network counted in no time: all amount to the same, which is as long as it gets."""
    maps = [(512, side, side) for side in (64, 32, 16, 8, 4, 2, 1)]
    same = counting.Amounts(99_999_999, 99_999_999_999, (512, 512), maps, 24_564)
    monkeypatch.setattr(counting, "amounts", lambda name, choices: same)


def absent(*, num_classes: int, in_channels: int, backbone: str = "tiny"):
    """A network of another package."""
    raise ImportError("it comes with another package: pip install another")


def test_every_network_is_listed_with_its_choices(capsys, counted):
    lines = shown(capsys).splitlines()
    below = {line.split()[0]: number for number, line in enumerate(lines) if line[:1].strip()}
    for name in MODELS:
        text = " ".join(line.strip() for line in lines[below[name] + 1 : below[name] + 5])
        for choice, values in choices_of(name).items():
            assert choice == "input_size" or f"{choice}: " in text
            assert all(value in text for value in values)


@pytest.mark.parametrize("arguments", [[], *([name] for name in MODELS)], ids=" ".join)
def test_the_listing_fits_100_columns(capsys, counted, arguments):
    assert max(len(line) for line in shown(capsys, *arguments).splitlines()) <= 100


def test_columns_are_aligned_and_hold_what_was_counted(capsys, few):
    lines = shown(capsys).splitlines()
    (header,) = [line for line in lines if line.startswith("name")]
    (r34,) = [line for line in lines if line.startswith("scratchdet300_r34")]
    (nano,) = [line for line in lines if line.startswith("scratchdet_nano")]
    ends = {column: header.index(column) + len(column) for column in ("parameters", "GMAC")}
    assert r34[: ends["parameters"]].endswith(" 24.57 M")
    assert r34[: ends["GMAC"]].endswith(" 33.30")
    assert nano[: ends["GMAC"]].endswith(" 0.48")
    for column in ("input", "maps", "published"):
        assert r34[header.index(column) - 1] == nano[header.index(column) - 1] == " "
    assert r34[header.index("maps") :].startswith("38 19 10 5 3 1 ")
    assert r34[header.index("published") :] == "80.4 VOC07"
    assert nano[header.index("published") :] == "-"


def test_json_holds_the_same_for_scripts(capsys, few):
    rows = {row["name"]: row for row in json.loads(shown(capsys, "--json"))}
    assert list(rows) == ["scratchdet300_r34", "scratchdet_nano", "absent"]
    nano, detector = rows["scratchdet_nano"], create_model("scratchdet_nano")
    assert nano["parameters"] == sum(weight.numel() for weight in detector.parameters())
    assert nano["priors"] == len(detector.priors)
    assert nano["input_size"] == [160, 160]
    assert nano["published"] == []
    assert nano["choices"]["norm_head"] == {
        "default": "batch",
        "values": ["none", "batch", "sync_batch", "group", "group_ws"],
    }
    voc07 = rows["scratchdet300_r34"]["published"][0]
    assert (voc07["percent"], voc07["trained_on"]) == (80.4, "07+12")


def test_one_network_is_shown_with_its_variants_counted_exactly(capsys):
    lines = shown(capsys, "scratchdet_nano").splitlines()
    variants = json.loads(shown(capsys, "scratchdet_nano", "--json"))["variants"]
    assert [list(one["choices"].items()) for one in variants] == [
        [],
        *([("stem", stem)] for stem in ("7x7/2", "3x3x3/2", "7x7/1")),
        [("norm_backbone", "none")],
        *([("norm_backbone", norm)] for norm in ("sync_batch", "group", "group_ws")),
        [("norm_head", "none")],
        *([("norm_head", norm)] for norm in ("sync_batch", "group", "group_ws")),
    ]
    for one in variants:
        detector = create_model("scratchdet_nano", **one["choices"])
        assert one["parameters"] == sum(weight.numel() for weight in detector.parameters())
        label = " ".join(*one["choices"].items()) if one["choices"] else "default"
        (line,) = [line for line in lines if line.startswith(f"{label} ")]
        halved = one["choices"].get("stem", "").endswith("/2")
        maps = "10 5 3 2 1 556" if halved else "20 10 5 3 1 2,140"
        numbers = f"{one['parameters']:,} {one['macs']:,} {maps} -"
        assert line.removeprefix(label).split() == numbers.split()


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_figure_is_shown_with_its_source(capsys, counted, name):
    lines = shown(capsys, name).splitlines()
    text = " ".join(line.strip() for line in lines[lines.index(PUBLISHED_HERE) :])
    assert PUBLISHED[name]
    for figure in PUBLISHED[name]:
        assert f"{figure.mark}, " in text
        assert figure.source in text
        assert figure.remark in text


def test_a_network_without_published_figures_says_nothing_of_them(capsys):
    assert PUBLISHED_HERE not in shown(capsys, "scratchdet_nano")


def test_a_figure_with_a_remark_is_starred_where_it_stands_alone():
    figure = PUBLISHED["scratchdet300_r34"][0]
    assert figure.mark == "80.4 VOC07"
    assert replace(figure, remark="but").mark == "80.4 VOC07*"


def test_what_cannot_be_built_here_is_listed_with_the_reason(capsys, few):
    lines = shown(capsys).splitlines()
    (row,) = [number for number, line in enumerate(lines) if line.startswith("absent")]
    assert lines[row].split() == ["absent", *"------"]
    assert lines[row + 1].strip() == "it comes with another package: pip install another"
    assert lines[row + 2].strip() == "backbone: tiny, or another name"
    rows = {one["name"]: one for one in json.loads(shown(capsys, "--json"))}
    assert "pip install another" in rows["absent"]["refused"]


def test_an_unknown_network_is_refused_with_those_there_are(capsys):
    assert main(["models", "ssd301"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("scratchdet models: no model is called 'ssd301'; there are ssd300_vgg1")
    assert error.count("\n") == 1
