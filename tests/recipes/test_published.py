"""The recipes of the papers have the values of the papers, written out by hand from the sources.

ScratchDet: VOC lr 0.05, 128 images a step, 100k steps, drops at 40k 75k 90k; COCO 325k steps, drops
at 150k 250k 310k, priors from 7 % and 15 %. DSOD: VOC lr 0.1, 128 images, drops every 20k of 100k;
COCO 320k steps, drops at 80k 140k 200k 260k. GRP-DSOD as DSOD on VOC. Weight decay 5e-4 and
momentum 0.9 everywhere.
"""

from typing import NamedTuple

import pytest
import torch

from scratchdet.models.zoo import create_model
from scratchdet.recipes import GROUPS, RECIPES, load_recipe

K = 1_000
VOC_DROPS, COCO_DROPS = (40 * K, 75 * K, 90 * K), (150 * K, 250 * K, 310 * K)
DSOD_DROPS, DSOD_COCO = (20 * K, 40 * K, 60 * K, 80 * K), (80 * K, 140 * K, 200 * K, 260 * K)
TUNING_DROPS = (20 * K, 37_500, 45 * K)  # not published: ours
VOC0712 = ("VOC2007/trainval+VOC2012/trainval", "VOC2007/test")
VOC07_PLUS_12 = ("VOC2007/trainval+VOC2007/test+VOC2012/trainval", "")
VOC12 = ("VOC2012/trainval", "")
COCO_35K = ("train2017", "val2017")
COCO_TRAINVAL = ("train2017+val2017", "")


class Row(NamedTuple):
    network: str
    size: int
    lr: float
    steps: int
    drops: tuple[int, ...]
    splits: tuple[str, str]
    protocol: str


PAPERS = {
    "ssd300_voc0712": Row("ssd300_vgg16", 300, 0.05, 100 * K, VOC_DROPS, VOC0712, "voc07"),
    "ssd300_voc0712_plain": Row("ssd300_vgg16", 300, 0.001, 100 * K, VOC_DROPS, VOC0712, "voc07"),
    "scratchdet300_voc0712": Row(
        "scratchdet300_r34", 300, 0.05, 100 * K, VOC_DROPS, VOC0712, "voc07"
    ),
    "scratchdet300_voc0712_r18": Row(
        "scratchdet300_r18", 300, 0.05, 100 * K, VOC_DROPS, VOC0712, "voc07"
    ),
    "scratchdet300_voc07++12": Row(
        "scratchdet300_r34", 300, 0.05, 100 * K, VOC_DROPS, VOC07_PLUS_12, "voc"
    ),
    "scratchdet300_voc12": Row("scratchdet300_r34", 300, 0.05, 100 * K, VOC_DROPS, VOC12, "voc"),
    "scratchdet300_coco": Row(
        "scratchdet300_r34", 300, 0.05, 325 * K, COCO_DROPS, COCO_35K, "coco"
    ),
    "scratchdet300_voc0712_coco": Row(
        "scratchdet300_r34", 300, 0.005, 50 * K, TUNING_DROPS, VOC0712, "voc07"
    ),
    "scratchdet512_voc0712": Row(
        "scratchdet512_r34", 512, 0.05, 100 * K, VOC_DROPS, VOC0712, "voc07"
    ),
    "scratchdet512_voc07++12": Row(
        "scratchdet512_r34", 512, 0.05, 100 * K, VOC_DROPS, VOC07_PLUS_12, "voc"
    ),
    "scratchdet512_voc12": Row("scratchdet512_r34", 512, 0.05, 100 * K, VOC_DROPS, VOC12, "voc"),
    "scratchdet512_coco": Row(
        "scratchdet512_r34", 512, 0.05, 325 * K, COCO_DROPS, COCO_35K, "coco"
    ),
    "scratchdet512_voc0712_coco": Row(
        "scratchdet512_r34", 512, 0.005, 50 * K, TUNING_DROPS, VOC0712, "voc07"
    ),
    "dsod300_voc0712": Row("dsod300", 300, 0.1, 100 * K, DSOD_DROPS, VOC0712, "voc07"),
    "dsod300_voc07++12": Row("dsod300", 300, 0.1, 100 * K, DSOD_DROPS, VOC07_PLUS_12, "voc"),
    "dsod300_comp3": Row("dsod300", 300, 0.1, 100 * K, DSOD_DROPS, VOC12, "voc"),
    "dsod300_coco": Row("dsod300", 300, 0.1, 320 * K, DSOD_COCO, COCO_TRAINVAL, "coco"),
    "dsod300_lite_voc0712": Row("dsod300_lite", 300, 0.1, 100 * K, DSOD_DROPS, VOC0712, "voc07"),
    "dsod300_smallest_voc0712": Row(
        "dsod300_smallest", 300, 0.1, 100 * K, DSOD_DROPS, VOC0712, "voc07"
    ),
    "grp_dsod320_voc0712": Row("grp_dsod320", 320, 0.1, 100 * K, DSOD_DROPS, VOC0712, "voc07"),
    "grp_dsod320_voc0712_320": Row("grp_dsod320", 320, 0.1, 100 * K, DSOD_DROPS, VOC0712, "voc07"),
    "grp_dsod320_voc07++12": Row(
        "grp_dsod320", 320, 0.1, 100 * K, DSOD_DROPS, VOC07_PLUS_12, "voc"
    ),
    "grp_dsod320_comp3": Row("grp_dsod320", 320, 0.1, 100 * K, DSOD_DROPS, VOC12, "voc"),
    "grp_dsod300_voc0712": Row("grp_dsod300", 300, 0.1, 100 * K, DSOD_DROPS, VOC0712, "voc07"),
    **{
        f"ablation_bn_{norms}_lr{lr}": Row(
            "ssd300_vgg16", 300, lr, 100 * K, VOC_DROPS, VOC0712, "voc07"
        )
        for norms in ("none", "head", "backbone", "both")
        for lr in (0.001, 0.01, 0.05)
    },
    **{
        f"ablation_stem_{stem}": Row(
            "ssd300_resnet18", 300, 0.05, 100 * K, VOC_DROPS, VOC0712, "voc07"
        )
        for stem in ("7x7s2", "3x3x3s2", "7x7s1", "root")
    },
}
each = pytest.mark.parametrize("name", PAPERS)


def test_every_recipe_is_in_the_table_but_those_for_your_own_data():
    assert sorted(PAPERS) == sorted(set(RECIPES) - set(GROUPS["Your own data"]))


@each
def test_a_recipe_has_the_values_of_its_paper(name):
    recipe = load_recipe(name)
    assert PAPERS[name] == Row(
        recipe.model.name,
        recipe.model.input_size[0],
        recipe.optim.lr,
        recipe.schedule.steps,
        recipe.schedule.drops,
        (recipe.data.split, recipe.data.test_split),
        recipe.run.protocol,
    )
    assert recipe.model.input_size[0] == recipe.model.input_size[1]
    assert (recipe.data.batch, recipe.optim.reference_batch) == (128, 128)
    assert (recipe.optim.momentum, recipe.optim.weight_decay) == (0.9, 5e-4)
    assert (recipe.schedule.shape, recipe.schedule.drop_factor) == ("drops", 0.1)
    assert (recipe.data.augment, recipe.optim.ema, recipe.data.val_split) == ("ssd", 0.0, "none")
    assert (recipe.optim.mining, recipe.optim.negatives_per_positive) == ("image", 3.0)
    assert recipe.data.ignored == ("neutral" if recipe.run.protocol == "coco" else "object")


NORMS = {
    "none": ("none", "none"),
    "head": ("none", "batch"),
    "backbone": ("batch", "none"),
    "both": ("batch", "batch"),
}


@each
def test_only_what_is_compared_goes_without_batch_norm(name):
    norms = name.split("_")[2] if name.startswith("ablation_bn") else "both"
    expected = NORMS["none" if name.endswith("_plain") else norms]
    model = load_recipe(name).model
    assert (model.norm_backbone, model.norm_head) == expected


@each
def test_priors_are_smaller_for_coco_and_the_stem_or_version_is_the_one_in_the_name(name):
    choices = load_recipe(name).model.choices
    if "coco" in name:
        assert choices == {"prior_sizes": "coco"}
        with torch.device("meta"):
            first, second = create_model(PAPERS[name].network, **choices).specs[:2]
        shares = (0.04, 0.10) if "512" in name else (0.07, 0.15)
        assert first.min_size == pytest.approx(PAPERS[name].size * shares[0])
        assert second.min_size == pytest.approx(PAPERS[name].size * shares[1])
    elif name.startswith("ablation_stem"):
        stems = {"3x3x3s2": "3x3x3/2", "7x7s1": "7x7/1", "root": "root"}
        stem = stems.get(name.removeprefix("ablation_stem_"))
        assert choices == ({"stem": stem} if stem else {})
    else:
        assert choices == (
            {"version": "320"}
            if name in ("grp_dsod320_voc0712_320", "grp_dsod320_voc07++12")
            else {}
        )


def test_a_fine_tuning_is_of_the_network_that_its_parent_is():
    for size in ("300", "512"):
        tuned = load_recipe(f"scratchdet{size}_voc0712_coco").model
        assert tuned == load_recipe(f"scratchdet{size}_coco").model
        assert RECIPES[f"scratchdet{size}_voc0712_coco"].flags == "--init runs/COCO"


def test_the_grid_and_the_named_recipes_meet():
    same = {
        "ablation_bn_both_lr0.05": "ssd300_voc0712",
        "ablation_bn_none_lr0.001": "ssd300_voc0712_plain",
    }
    for cell, name in same.items():
        assert load_recipe(cell) == load_recipe(name)
