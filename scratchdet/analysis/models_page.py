"""Writes docs/models.md and its drawings: python -m scratchdet.analysis.models_page

What is counted comes from `models.counting`, what is published from `models.published`; the facts
about the releases are the docstrings of the models, put together here.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from scratchdet.analysis.drawings import DRAWINGS
from scratchdet.files import write_text
from scratchdet.models.counting import Amounts, amounts, variants
from scratchdet.models.published import PUBLISHED, first_mark
from scratchdet.models.zoo import MODELS, defaults_of

# AP50 of docs/results.md, which says how each was made.
MEASURED = {
    "scratchdet_nano": (
        ("the demo's digits", "0.968", "e8f72dfcab"),
        ("BCCD", "0.911", "57568720f3"),
        ("FOD-A", "0.217", "efaeb1966c+changes"),
    )
}
NOT_MEASURED = "not measured here"
# Choices that most models have, and that leave multiply-adds, maps and priors as they are.
COMMON = {"norm_backbone", "norm_head", "checkpointing", "prior_sizes"}

INTRODUCTION = """\
# Models

<!-- Written by `python -m scratchdet.analysis.models_page`; a test holds it to the networks. -->

Every network is untrained, always: `scratchdet.create_model(name, num_classes=20,
in_channels=3, **choices)`. `scratchdet models` lists them, `scratchdet models NAME` counts the
variants of one. Numbers here are for 20 classes and 3 channels; any input size, number of
channels from 1 on and number of classes from 1 on can be had.

**Published** figures are mean average precisions in percent from papers and releases, with
their sources below; not one of them was measured by us. VOC07 and VOC12 are the test images of
those years at IoU 0.5, COCO is test-dev over IoU 0.5 to 0.95. **Measured here** are AP50 out of
[results.md](results.md), with the commit.
"""


class Family(NamedTuple):
    title: str
    names: tuple[str, ...]
    facts: str
    drawing: str = ""
    caption: str = ""


FAMILIES = (
    Family(
        "SSD",
        ("ssd300_vgg16", "ssd512_vgg16", "ssd300_resnet18"),
        """\
- Without norms, `ssd300_vgg16` is SSD as Liu et al. released it: conv4_3 is L2-normalised on
  its way to the head, with a learned scale for each channel. Its published figures are with a
  backbone pre-trained on ImageNet.
- With BatchNorm in backbone and head it is the first system of ScratchDet. As in its release
  (`VGGNetBNBody`), the result of every pooling is normalised and rectified once more, and the
  last extra map is neither.
- A norm in the head normalises the *outputs* of its convolutions, which then have no bias.
  Its gain starts at 0.2 here, in all networks, and at 1 in the releases: our one deviation
  (`models/head.py` says why). The backbones and extra layers of published
  networks start as the releases fill them; `initialise` in `models/layers.py` has the details.
- Pooling rounds up, as Caffe does: 75 px become 38.
- The four variants of `ssd300_resnet18` differ in the stem alone: the ablation of the root
  block. A stem of stride 2 halves every map, so that there are a quarter of the priors.
""",
    ),
    Family(
        "ScratchDet",
        (
            "scratchdet300_r18",
            "scratchdet300_r34",
            "scratchdet512_r18",
            "scratchdet512_r34",
            "scratchdet_nano",
        ),
        """\
- `variant="paper"` is the network that the paper draws. The authors' two releases are different
  ones:
- `"caffe"` (`Resnet18rootV2`, `Resnet34rootV2_res`): the head is fed the output of a stage's
  last convolution (conv4_12, conv5_6) *before* the addition and not normalised; the next stage
  gets the sum. Of Root-ResNet-18, the first block normalises the pooled stem once more, and the
  extra layers are SSD's with norm and ReLU before each convolution. Of Root-ResNet-34, the
  first block takes the pooled stem as it is, and the extra blocks have strides 2 2 1 1, hence
  maps 10 5 5 5.
- `"mmdet"` (`ssd_root34_300.py`): post-activation blocks, extra levels that are stages of one
  block each; the strides of all stages are 1 2 2 2 2 2 2 1, hence maps 3 3 at the end. Weights
  start as He et al. (2015) say, the others' as Caffe's "xavier".
- `prior_sizes="coco"` has the smaller priors of the releases for COCO, from 7 % of the input on,
  at 512 px from 4 % on. It changes no count. So has SSD.
- Which of these the published figures are of is not said; the authors trained with Caffe. They
  stand at `"paper"`, the default.
- The paper gives Root-ResNet-34's extra maps, 10 5 3 1, but not how the last comes about; here
  it is an unpadded convolution, as SSD has it.
- `scratchdet_nano` is ours: the same parts, made small for CPUs.
""",
        "root_resnet",
        "ScratchDet300 on Root-ResNet-34, as the paper has it. Blocks are pre-activation; the "
        "first of a stage halves the map. What feeds the head is normalised and rectified first.",
    ),
    Family(
        "DSOD",
        ("dsod300", "dsod300_lite", "dsod300_smallest", "dsod512"),
        """\
- The published files hold what is learned here, four bytes each, and of every BatchNorm its
  running mean and variance and one factor: 59.2 MB of DSOD300, 87.2 MB of the one for COCO,
  41.8 MB of lite, 23.5 MB of smallest.
- `dsod300_lite`: all that was released of its structure is the name DS/64-256-64-1 and the
  size, 10.4 M. That its blocks have 3 4 4 4 layers is our guess, which meets both sizes.
- `prediction="plain"`: figure 1 of the paper draws it, with 18.2 M parameters, but it was not
  released; ours is a guess that meets that number.
- `prior_sizes="coco"` has the smaller priors of the network that was published for COCO; it
  changes no count.
- The last two maps keep SSD's distances between priors of 100 and 300 px in the release, though
  its last map is 2x2: three of its four locations lie outside the image. So do ours at 300 px,
  because the published weights were learned so; at other sizes they are spread evenly.
- `checkpointing="blocks"` keeps less for the backward pass and computes it once more. It
  changes no count.
""",
        "dsod",
        "DSOD300 with dense prediction. An arrow to a coarser block of the backbone is a max "
        "pooling. A dark frame concatenates: half of a map is learned, half is the finer map, "
        "pooled. L2: normalised at each location, times a learned scale.",
    ),
    Family(
        "GRP-DSOD",
        ("grp_dsod300", "grp_dsod320"),
        """\
- `version="320*"` has priors of aspect ratio 1.6 as well, and is the network of the released
  script; its file has 63.9 MB. That `"320"` and `grp_dsod300` have SSD's priors is concluded
  from the sizes of their files, 56.8 MB and 56.5 MB.
- The release fills its transposed convolutions with one bilinear filter and never learns them;
  here they are learned.
- Convolution, norm, ReLU in this order, unlike DSOD; the norms add 1e-4 to the variance, those
  of the head 1e-3.
- The multiply-adds leave out 241,194 of the gates' linear layers at 320 px, as the published
  count does.
""",
        "grp_dsod",
        "GRP-DSOD320*. Every map gets the next coarser one beside it, doubled by a transposed "
        "convolution, and is then gated: it is added to itself once more, weighed by one number "
        "for each channel times one for all. The L2 scales are as in DSOD.",
    ),
    Family(
        "On any network of timm",
        ("ssd300_timm", "ssd512_timm", "scratchdet300_timm"),
        """\
- `pip install timm` adds it; `backbone=` takes the name of any network of timm with maps of
  reduction 8, 16 and 32. No weights are loaded, so names of weights are refused. The counts are
  for the default, `mobilenetv4_conv_small`.
- The backbone keeps its own norms and its own initial weights; `norm_backbone="group"` makes
  group norms of its BatchNorms.
""",
    ),
)


def models_page() -> str:
    """docs/models.md as it has to be now."""
    counted = {name: amounts(name, {}) for name in MODELS}
    parts = [INTRODUCTION, *_table(counted), ""]
    for family in FAMILIES:
        parts += [f"## {family.title}", ""]
        if family.drawing:
            parts += [f"![{family.title}](models/{family.drawing}.svg)", "", family.caption, ""]
        parts += [family.facts, *_variants(family, counted), ""]
        if lines := [line for name in family.names for line in _sources(name)]:
            parts += ["Published, not measured here:", "", *lines, ""]
    return "\n".join(parts).rstrip() + "\n"


def _table(counted: dict[str, Amounts]) -> Iterator[str]:
    yield from _header(
        "model", "what", "parameters", "GMAC", "input", "priors", "published", "measured here"
    )
    for name, one in counted.items():
        height, width = one.input_size
        figure = first_mark(name, {})
        own = ", ".join(f"{ap} {data} ({commit})" for data, ap, commit in MEASURED.get(name, ()))
        size = f"{one.parameters / 1e6:.2f} M | {one.macs / 1e9:.2f} | {height} x {width}"
        what = (MODELS[name].__doc__ or "").strip().splitlines()[0].rstrip(".")
        yield f"| `{name}` | {what} | {size} | {one.priors:,} | {figure} | {own or NOT_MEASURED} |"


def _variants(family: Family, counted: dict[str, Amounts]) -> Iterator[str]:
    yield from _header("model", "choices", "parameters", "multiply-adds", "maps", "priors")
    for name in family.names:
        for choices in variants(name):
            if len(choices) == 1 and COMMON.issuperset(choices):
                continue
            one = amounts(name, choices) if choices else counted[name]
            chosen = choices or {key: value for key, value in _defaults(name) if key not in COMMON}
            said = ", ".join(f"{key} {value}" for key, value in chosen.items()) or "-"
            maps = " ".join(str(height) for _, height, _ in one.maps)
            numbers = f"{one.parameters:,} | {one.macs:,} | {maps} | {one.priors:,}"
            yield f"| {'' if choices else f'`{name}`'} | {said} | {numbers} |"


def _header(*columns: str) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"


def _defaults(name: str) -> Iterator[tuple[str, object]]:
    """The choices but for the input size, each with its default."""
    for choice, default in defaults_of(name).items():
        if choice != "input_size":
            yield choice, default


def _sources(name: str) -> Iterator[str]:
    for figure in PUBLISHED.get(name, ()):
        chosen = "".join(f", {key} {value}" for key, value in figure.choices.items())
        remark = f" ({figure.remark})" if figure.remark else ""
        yield (
            f"- `{name}`{chosen}: {figure.percent} on {figure.test}, trained on "
            f"{figure.trained_on}{remark}. Source: {figure.source}."
        )


def write_page(folder: Path) -> None:
    """Writes models.md and the drawings to the folder of the docs."""
    for name, draw in DRAWINGS.items():
        write_text(folder / "models" / f"{name}.svg", draw())
    write_text(folder / "models.md", models_page())


if __name__ == "__main__":
    write_page(Path("docs"))
