"""Tests at several scales: the "+" behind the names of published results.

ScratchDet's release has no such test. Its authors are in part those of RefineDet, whose release
has one, for inputs of 320 and of 512 px: `multi_scale_test_net_320` and `_512` of
test/lib/fast_rcnn/test.py. Its limits are pixels of the image, of the longer or the shorter side of
a box; here they are shares of a photograph of VOC, 500 x 375. Its passes at other shapes of the
input are left out, and so is one more scale for COCO, 2.0, with Soft-NMS.
"""

from scratchdet.recipes.shipped import said_by

REFINEDET = "RefineDet, CVPR 2018; its release, test.py, in shares of 500 x 375 (recipes/plus.py)"
MERGED = {"flip": True, "merge": "vote", "merge_iou": 0.45}  # bbox_vote

PLUS_300 = said_by(
    REFINEDET,
    testing={
        "scales": (0.6, 1.0, 1.2, 1.4, 1.6, 1.8, 2.2),
        "smallest": (0.074, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),  # 32 px
        "largest": (1.0, 1.0, 0.37, 0.30, 0.22, 0.15, 0.074),  # 160 128 96 64 32 px
        **MERGED,
    },
)
PLUS_512 = said_by(
    REFINEDET,
    testing={
        "scales": (0.5, 0.75, 1.0, 1.5, 1.75),
        "smallest": (0.0, 0.0, 0.0, 0.0, 0.0),
        "largest": (1.0, 1.0, 1.0, 0.44, 0.30),  # 192 128 px
        **MERGED,
    },
)
