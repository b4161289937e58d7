"""The networks are the published ones: the table of their sizes, and the figures quoted for them.

Whole numbers hold exactly: parameters, multiply-adds, priors and maps, for 20 classes where nothing
else is said. Rounded ones hold to half a percent. What was published of one variant alone gives
those of others by what they differ in, which is written out.
"""

from dataclasses import dataclass, field
from functools import partial

import pytest
import torch
from torch import nn

from scratchdet.models.counting import Amounts, amounts, variants
from scratchdet.models.published import PUBLISHED, published
from scratchdet.models.zoo import MODELS, choices_of, create_model, defaults_of

near = partial(pytest.approx, rel=0.005)  # where only a rounded figure is published

SSD300_MAPS, SSD512_MAPS = "38 19 10 5 3 1", "64 32 16 8 4 2 1"
DSOD_MAPS = "38 19 10 5 3 2"
NO_NORMS = {"norm_backbone": "none", "norm_head": "none"}
COCO = 80

# The pre-activation release (variant "caffe") normalises what each extra level of R18 goes on from,
# 512 + 512 + 256 + 256 channels; the paper's network normalises all six maps. A BatchNorm learns
# two numbers of a channel.
R18_CAFFE, R18_MACS = 15_991_708, 19_960_051_200
R18 = R18_CAFFE + 2 * ((256 + 512 + 512 + 256 + 256 + 256) - (512 + 512 + 256 + 256))
ROOT_STEM, STEM_7 = 64 * 27 + 2 * 64 * 576, 64 * 3 * 49  # weights: 3x3 three times, or 7x7 once
R18_7 = R18 - (ROOT_STEM + 3 * 2 * 64) + (STEM_7 + 2 * 64)
# Of R34, the paper's normalises the pooled stem and all six maps, and its third extra level halves
# the map, so that its shortcut is a 1x1 convolution.
R34_CAFFE, R34_CAFFE_MACS = 24_554_012, 33_320_583_936
R34 = R34_CAFFE + 2 * (64 + 256 + 512 + 4 * 128) + 128 * 128
# Its last maps are of 9 and 1 places, where those of the release are of 25 and 25: two 3x3
# convolutions in each level, the shortcut, and the head's for 4 priors of 21 + 4 outputs.
R34_MACS = (
    R34_CAFFE_MACS - (25 + 25 - 9 - 1) * (2 * 128 * 128 * 9 + 4 * 25 * 128 * 9) + 9 * 128 * 128
)
# At 512 px there is one level more, in R18 1x1 to 128 channels and 4x4 to 256, in R34 a residual
# block of 128 with a shortcut and a BatchNorm more. It has 4 priors, and the fifth 6, not 4.
R18_512 = R18 + 256 * 128 + 128 * 256 * 16 + 2 * (128 + 256) + 6 * 25 * (256 * 9 + 2)
R34_512 = R34 + 128 * 128 * (9 + 9 + 1) + 2 * 3 * 128 + 6 * 25 * (128 * 9 + 2)
HALF_PRIORS = 4 * 19**2 + 6 * 10**2 + 6 * 5**2 + 6 * 3**2 + 4 + 4  # of SSD300 after a stem of 2


@dataclass(frozen=True, kw_only=True)
class Row:
    """One network, and what it must amount to as far as it is published."""

    name: str
    choices: dict[str, str] = field(default_factory=dict)
    classes: int = 20
    parameters: object = None
    macs: object = None
    priors: int | None = None
    maps: str | None = None
    megabytes: float | None = None  # of the published .caffemodel; a megabyte has 10^6 bytes

    def __str__(self) -> str:
        classes = [] if self.classes == 20 else [f"{self.classes} classes"]
        return " ".join([self.name, *(f"{k}={v}" for k, v in self.choices.items()), *classes])


TABLE = [
    Row(
        name="ssd300_vgg16",
        choices=NO_NORMS,
        parameters=26_285_486,  # torchvision's ssd300_vgg16 for 21 classes; 26.29 M
        macs=near(31.4e9),
        priors=8732,
        maps=SSD300_MAPS,
    ),
    Row(
        name="ssd300_vgg16",
        parameters=26_296_348,
        macs=31_373_537_792,
        priors=8732,
        maps=SSD300_MAPS,
    ),
    Row(
        name="ssd512_vgg16",
        choices=NO_NORMS,
        parameters=near(27.19e6),
        macs=near(90.2e9),
        priors=24564,
        maps=SSD512_MAPS,
    ),
    Row(name="ssd300_resnet18", parameters=R18_7, priors=HALF_PRIORS, maps="19 10 5 3 1 1"),
    Row(
        name="ssd300_resnet18",
        choices={"stem": "3x3x3/2"},
        parameters=R18,
        priors=HALF_PRIORS,
        maps="19 10 5 3 1 1",
    ),
    Row(
        name="ssd300_resnet18",
        choices={"stem": "7x7/1"},
        parameters=R18_7,
        macs=R18_MACS - 300**2 * (ROOT_STEM - STEM_7),
        priors=8732,
        maps=SSD300_MAPS,
    ),
    Row(
        name="ssd300_resnet18",
        choices={"stem": "root"},
        parameters=R18,
        macs=R18_MACS,
        priors=8732,
        maps=SSD300_MAPS,
    ),
    Row(
        name="scratchdet300_r18",
        parameters=R18,
        macs=R18_MACS,
        priors=8732,
        maps=SSD300_MAPS,
    ),
    Row(
        name="scratchdet300_r18",
        choices={"variant": "caffe"},
        parameters=R18_CAFFE,
        macs=R18_MACS,
        priors=8732,
        maps=SSD300_MAPS,
    ),
    Row(
        name="scratchdet300_r34",
        parameters=R34,
        macs=R34_MACS,
        priors=8732,
        maps=SSD300_MAPS,
    ),
    Row(
        name="scratchdet300_r34",
        choices={"variant": "caffe"},
        parameters=R34_CAFFE,
        macs=R34_CAFFE_MACS,
        priors=8892,
        maps="38 19 10 5 5 5",
    ),
    Row(
        name="scratchdet300_r34",
        choices={"variant": "caffe", "norm_head": "none"},
        parameters=24_553_262,
        macs=R34_CAFFE_MACS,
    ),
    Row(
        name="scratchdet300_r34",
        choices={"variant": "caffe"},
        classes=COCO,
        parameters=28_151_852,
    ),
    Row(
        name="scratchdet300_r34",
        choices={"variant": "mmdet"},
        priors=8764,
        maps="38 19 10 5 3 3",
    ),
    Row(name="scratchdet512_r18", parameters=R18_512, priors=24564, maps=SSD512_MAPS),
    Row(name="scratchdet512_r34", parameters=R34_512, priors=24564, maps=SSD512_MAPS),
    Row(
        name="dsod300",
        parameters=14_715_804,
        macs=15_079_798_528,
        priors=8744,
        maps=DSOD_MAPS,
        megabytes=59.2,
    ),
    Row(
        name="dsod300",
        choices={"prior_sizes": "coco"},
        classes=COCO,
        priors=8744,
        maps=DSOD_MAPS,
        megabytes=87.2,
    ),
    Row(
        name="dsod300",
        choices={"prediction": "plain"},
        parameters=near(18.2e6),
        priors=8744,
        maps=DSOD_MAPS,
    ),
    Row(
        name="dsod300_lite",
        parameters=near(10.4e6),
        priors=8744,
        maps=DSOD_MAPS,
        megabytes=41.8,
    ),
    Row(
        name="dsod300_smallest",
        parameters=near(5.83e6),
        macs=near(5.29e9),  # as the Tiny-DSOD paper has it
        priors=8744,
        maps=DSOD_MAPS,
        megabytes=23.5,
    ),
    Row(name="dsod512", parameters=near(15.28e6), priors=24564, maps=SSD512_MAPS),
    Row(
        name="grp_dsod300",
        parameters=near(14.1e6),
        priors=8744,
        maps=DSOD_MAPS,
        megabytes=56.5,
    ),
    Row(
        name="grp_dsod320",
        parameters=15_928_690,
        macs=19_277_468_228,
        priors=17078,
        maps="40 20 10 5 3 2",
        megabytes=63.9,
    ),
    Row(
        name="grp_dsod320",
        choices={"version": "320"},
        parameters=near(14.2e6),
        maps="40 20 10 5 3 2",
        megabytes=56.8,
    ),
]


def file_megabytes(row: Row) -> float:
    """What Caffe writes of the network: all it learned, and of every BatchNorm its running mean
    and variance and a factor; four bytes each."""
    with torch.device("meta"):
        detector = create_model(row.name, row.classes, **row.choices)
    learned = sum(weight.numel() for weight in detector.parameters())
    norms = [layer for layer in detector.modules() if isinstance(layer, nn.BatchNorm2d)]
    return 4 * (learned + sum(2 * norm.num_features + 1 for norm in norms)) / 1e6


def sides(counted: Amounts) -> str:
    assert all(height == width for _, height, width in counted.maps)
    return " ".join(str(height) for _, height, _ in counted.maps)


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_a_network_amounts_to_what_is_published(row):
    counted = amounts(row.name, row.choices, num_classes=row.classes)
    assert row.parameters in (None, counted.parameters)
    assert row.macs in (None, counted.macs)
    assert row.priors in (None, counted.priors)
    assert row.maps in (None, sides(counted))


@pytest.mark.parametrize("row", [row for row in TABLE if row.megabytes], ids=str)
def test_the_learned_numbers_and_statistics_fill_the_published_file(row):
    # The file holds the names of the layers too, and its size is rounded.
    assert -0.05 < row.megabytes - file_megabytes(row) < 0.12


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures_belong_to_a_model_and_to_values_of_its_choices(name):
    assert name in MODELS
    for figure in PUBLISHED[name]:
        for choice, value in figure.choices.items():
            assert value in choices_of(name)[choice]
            assert value != defaults_of(name)[choice], "written as a choice, but is the default"
        assert 0 < figure.percent < 100
        assert figure.test in ("VOC07", "VOC12", "COCO")
        assert figure.source


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_figure_is_found_at_one_variant(name):
    found = [figure for choices in variants(name) for figure in published(name, choices)]
    assert sorted(map(str, found)) == sorted(map(str, PUBLISHED[name]))


def test_a_model_without_published_figures_has_none():
    assert published("scratchdet_nano", {}) == ()
    assert published("scratchdet300_r34", {"variant": "caffe"}) == ()


def test_the_stem_ablation_is_quoted_in_order():
    stems = choices_of("ssd300_resnet18")["stem"]
    quoted = [
        published("ssd300_resnet18", {"stem": stem} if number else {})[0].percent
        for number, stem in enumerate(stems)
    ]
    assert quoted == [73.1, 75.4, 77.6, 78.5]
