"""PASCAL VOC and COCO as the papers train on them and test.

The lists of one year of a VOCdevkit are called `VOC2007/trainval`, and joined by +. Nothing is held
out for validation: the papers took their last model.
"""

from scratchdet.recipes.shipped import OURS, DataSet, Values, said_by

SPLITS = "the data set's name, in the usual folders"
PROTOCOL_07 = said_by("ssd_pascal.py, ap_version 11point", run={"protocol": "voc07"})
PROTOCOL_12 = said_by("VOC development kit from 2010 on: the whole curve", run={"protocol": "voc"})
PROTOCOL_COCO = said_by("COCO's own metric", run={"protocol": "coco"})
DIFFICULT = said_by("ssd_pascal.py, train_on_diff_gt True", data={"ignored": "object"})
NOT_CROWDS = said_by(
    "ssd_coco.py, train_on_diff_gt False (crowds are background there, nothing here)",
    data={"ignored": "neutral"},
)


def _splits(train: str, test: str) -> Values:
    return said_by(SPLITS, data={"split": train, "val_split": "none", "test_split": test})


VOC0712 = DataSet(
    name="07+12",
    path="VOCdevkit",
    values=(
        _splits("VOC2007/trainval+VOC2012/trainval", "VOC2007/test"),
        DIFFICULT,
        PROTOCOL_07,
    ),
)
VOC07_PLUS_12 = DataSet(
    name="07++12",
    path="VOCdevkit",
    values=(
        _splits("VOC2007/trainval+VOC2007/test+VOC2012/trainval", ""),
        DIFFICULT,
        PROTOCOL_12,
    ),
)
VOC12 = DataSet(
    name="12",
    path="VOCdevkit",
    values=(_splits("VOC2012/trainval", ""), DIFFICULT, PROTOCOL_12),
)
COCO_35K = DataSet(
    name="COCO trainval35k",
    path="COCO",
    values=(_splits("train2017", "val2017"), NOT_CROWDS, PROTOCOL_COCO),
)
COCO_TRAINVAL = DataSet(
    name="COCO trainval",
    path="COCO",
    values=(_splits("train2017+val2017", ""), NOT_CROWDS, PROTOCOL_COCO),
)
VOC0712_AFTER_COCO = DataSet(name="07+12+COCO", path="VOCdevkit", values=VOC0712.values)

NO_TEST = {
    VOC07_PLUS_12.name: "The annotations of VOC 2012 test are not public: nothing is tested here.",
    VOC12.name: "The annotations of VOC 2012 test are not public: nothing is tested here.",
    COCO_TRAINVAL.name: "The annotations of COCO test-dev are not public, and val2017 is trained "
    "on: nothing is tested here (--split train2017 --test-split val2017 for less).",
    COCO_35K.name: "train2017 and val2017 are trainval35k and minival of 2014; published figures "
    "are of test-dev.",
}
"""What is to be said about the test images of a data set."""

EVERY = said_by(OURS, schedule={"evaluate_every": 10_000, "checkpoint_every": 1_000})
"""The first only where a --val-split is given."""
