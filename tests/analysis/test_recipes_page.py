"""docs/recipes.md is what the recipes say, and its figures are published ones of the same thing."""

from pathlib import Path

import pytest

from scratchdet.analysis.recipes_page import figures, recipes_page
from scratchdet.models.published import PRETRAINED, PUBLISHED
from scratchdet.recipes import RECIPES

DOCS = Path(__file__).resolve().parents[2] / "docs"
AGAIN = "write it again: python -m scratchdet.analysis.recipes_page"


def test_the_page_in_the_docs_is_what_would_be_written_now():
    assert (DOCS / "recipes.md").read_text(encoding="utf-8") == recipes_page(), AGAIN


def test_every_recipe_has_one_row():
    rows = [row.split("`")[1] for row in recipes_page().splitlines() if row.startswith("| `")]
    assert rows == list(RECIPES)


MARKS = {  # by hand: what the papers and releases report of these trainings
    "ssd300_voc0712": "78.7 VOC07",
    "scratchdet300_voc0712": "80.4 VOC07",
    "scratchdet300_voc0712_r18": "78.5 VOC07",
    "scratchdet300_coco": "32.7 COCO",
    "dsod300_voc0712": "77.7 VOC07",
    "dsod300_voc07++12": "76.3 VOC12",
    "dsod300_coco": "29.3 COCO",
    "dsod300_lite_voc0712": "76.7 VOC07",
    "dsod300_smallest_voc0712": "73.6 VOC07",
    "grp_dsod320_voc0712": "79.0 VOC07",
    "grp_dsod320_voc0712_320": "78.7 VOC07",
    "grp_dsod320_voc07++12": "77.0 VOC12",
    "grp_dsod320_comp3": "72.5 VOC12",
    "grp_dsod300_voc0712": "78.5 VOC07",
    "ablation_stem_7x7s2": "73.1 VOC07",
    "ablation_stem_3x3x3s2": "75.4 VOC07",
    "ablation_stem_7x7s1": "77.6 VOC07",
    "ablation_stem_root": "78.5 VOC07",
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_has_the_figure_that_was_published_of_its_training(name):
    marks = [figure.mark for figure in figures(RECIPES[name])]
    assert marks == ([MARKS[name]] if name in MARKS else [])


def test_every_published_training_from_scratch_has_a_recipe_or_is_known_to_have_none():
    covered = {id(figure) for shipped in RECIPES.values() for figure in figures(shipped)}
    left = [
        (name, figure.trained_on, dict(figure.choices))
        for name, known in PUBLISHED.items()
        for figure in known
        if id(figure) not in covered and figure.remark != PRETRAINED
    ]
    assert left == [
        ("dsod300", "07+12+COCO", {}),  # the schedule of the fine-tunings was not published
        ("dsod300", "07++12+COCO", {}),
        ("dsod300", "07+12", {"prediction": "plain"}),  # a network of which ours is a guess
    ]
