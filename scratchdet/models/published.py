"""What has been published about the networks here: figures of others, never measured by us.

Only what a source at hand says, and the source with it. Where we have not seen the paper's own
table, the source says who quotes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

SSD_README = "SSD Caffe release, README"
DSOD_README = "DSOD release, README"
GRP_README = "GRP-DSOD, README"
SCRATCHDET = "ScratchDet, CVPR 2019"
ROOT_ABLATION = f"{SCRATCHDET}, ablation of the root block"
NOTES = f"{SCRATCHDET}, as quoted by reading notes of 2019-03-18 (CVPR2019 论文阅读笔记)"
RFFNET = f"{SCRATCHDET}, as quoted in the tables of RFFNet's README"


Choices = Mapping[str, object]
"""Of a model: what it is built with, as far as that differs from its defaults."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published mean average precision."""

    percent: float
    test: str
    """The images: VOC07 (the test images of 2007), VOC12, COCO (test-dev); COCO's AP over IoU 0.5
    to 0.95, VOC's at 0.5."""
    trained_on: str
    """07+12: train and val of both years; 07++12: and the test images of 2007."""
    source: str
    choices: Choices = field(default_factory=dict)
    """Of the model, where they are not its defaults."""
    remark: str = ""

    @property
    def mark(self) -> str:
        """The figure and its test, with a star where there is a remark: "77.7 VOC07"."""
        return f"{self.percent} {self.test}{'*' if self.remark else ''}"


PRETRAINED = "backbone pre-trained on ImageNet: not from scratch"
NO_NORMS = {"norm_backbone": "none", "norm_head": "none"}

PUBLISHED: dict[str, tuple[Published, ...]] = {
    "ssd300_vgg16": (
        Published(percent=78.7, test="VOC07", trained_on="07+12", source=NOTES),
        Published(
            percent=77.2,
            test="VOC07",
            trained_on="07+12",
            source=SSD_README,
            choices=NO_NORMS,
            remark=PRETRAINED,
        ),
    ),
    "ssd512_vgg16": (
        Published(
            percent=79.8,
            test="VOC07",
            trained_on="07+12",
            source=SSD_README,
            choices=NO_NORMS,
            remark=PRETRAINED,
        ),
    ),
    "ssd300_resnet18": (
        Published(percent=73.1, test="VOC07", trained_on="07+12", source=ROOT_ABLATION),
        *(
            Published(
                percent=percent,
                test="VOC07",
                trained_on="07+12",
                source=ROOT_ABLATION,
                choices={"stem": stem},
            )
            for stem, percent in (("3x3x3/2", 75.4), ("7x7/1", 77.6), ("root", 78.5))
        ),
    ),
    "scratchdet300_r18": (
        Published(percent=78.5, test="VOC07", trained_on="07+12", source=ROOT_ABLATION),
    ),
    "scratchdet300_r34": (
        Published(percent=80.4, test="VOC07", trained_on="07+12", source=RFFNET),
        Published(
            percent=32.7,
            test="COCO",
            trained_on="COCO trainval35k",
            source=RFFNET,
            choices={"prior_sizes": "coco"},
        ),
    ),
    "dsod300": (
        Published(percent=77.7, test="VOC07", trained_on="07+12", source=DSOD_README),
        Published(percent=81.7, test="VOC07", trained_on="07+12+COCO", source=DSOD_README),
        Published(percent=76.3, test="VOC12", trained_on="07++12", source=DSOD_README),
        Published(percent=79.3, test="VOC12", trained_on="07++12+COCO", source=DSOD_README),
        Published(
            percent=29.3,
            test="COCO",
            trained_on="COCO trainval",
            source=DSOD_README,
            choices={"prior_sizes": "coco"},
        ),
        Published(
            percent=77.3,
            test="VOC07",
            trained_on="07+12",
            source="DSOD, ICCV 2017, as quoted by reading notes (YunqiuXu/Readings)",
            choices={"prediction": "plain"},
            remark="the notes say 0.4 less than dense",
        ),
    ),
    "dsod300_lite": (
        Published(percent=76.7, test="VOC07", trained_on="07+12", source=DSOD_README),
    ),
    "dsod300_smallest": (
        Published(percent=73.6, test="VOC07", trained_on="07+12", source=DSOD_README),
    ),
    "grp_dsod320": (
        Published(
            percent=79.0,
            test="VOC07",
            trained_on="07+12",
            source=GRP_README,
        ),
        Published(percent=72.5, test="VOC12", trained_on="12", source=GRP_README),
        Published(
            percent=78.7,
            test="VOC07",
            trained_on="07+12",
            source=GRP_README,
            choices={"version": "320"},
        ),
        Published(
            percent=77.0,
            test="VOC12",
            trained_on="07++12",
            source=GRP_README,
            choices={"version": "320"},
        ),
    ),
    "grp_dsod300": (Published(percent=78.5, test="VOC07", trained_on="07+12", source=GRP_README),),
}


def published(name: str, choices: Choices) -> tuple[Published, ...]:
    """The figures for a model with these choices that differ from its defaults; maybe none."""
    return tuple(one for one in PUBLISHED.get(name, ()) if one.choices == choices)


def first_mark(name: str, choices: Choices) -> str:
    """The figure that stands in a table for a model with these choices; "-" for none."""
    figures = published(name, choices)
    return figures[0].mark if figures else "-"
