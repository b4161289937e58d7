"""What a run is: frozen values in six groups. `recipe_toml.py` writes and reads them.

Nothing here imports torch: recipes are listed in an instant.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

Norm = Literal["auto", "batch", "sync_batch", "group", "group_ws", "none"]


class RecipeError(ValueError):
    """A recipe that cannot be run; the message says which value, and what is allowed."""


@dataclass(frozen=True, kw_only=True)
class ModelRecipe:
    """The network."""

    name: str = "scratchdet_nano"
    """One of `scratchdet models`."""
    input_size: tuple[int, int] = (160, 160)
    """Height and width, in pixels, that images are resized to."""
    norm_backbone: Norm = "batch"
    """Normalisation in the backbone and the extra layers. group_ws: group, with standardised
    weights; sync_batch: batch, over all devices; auto: by the images each device has at a time."""
    norm_head: Norm = "batch"
    """Normalisation of the outputs of the predictors; see `norm_backbone`."""
    choices: dict[str, str] = field(default_factory=dict)
    """What else can be chosen of the network: variant, stem, backbone, ..."""
    prior_scales: tuple[float, ...] = ()
    """Sizes of the priors, level by level and one more, rising, as shares of the input's shorter
    side; empty: the network's own. `scratchdet check --fit-priors` finds them for your data."""
    prior_ratios: tuple[float, ...] = ()
    """Width : height of oblong priors at every level, each also as its inverse; empty: the
    network's own."""
    init: str = ""
    """A model file or the folder of a run to start from; empty: untrained weights."""


@dataclass(frozen=True, kw_only=True)
class DataRecipe:
    """The images and what is done to them."""

    path: str = ""
    """The data set: a VOC folder or VOCdevkit, COCO JSON, or YOLO folder. Set by the command."""
    split: str = ""
    """Trained on; several joined by "+". Empty: the one called train, or all images where there are
    no splits."""
    val_split: str = ""
    """Evaluated during training, and picks the best model. Empty: the one called val, else images
    are held out for it; "none": no validation."""
    test_split: str = ""
    """Evaluated once, at the end, with the best model. Empty: none."""
    hold_out: float = 0.1
    """Share of the training images that become the validation split where there is none."""
    on_bad_box: Literal["error", "drop"] = "drop"
    """Boxes without area, not a number or outside the image: stop, or drop, clip and list them."""
    ignored: Literal["object", "neutral"] = "neutral"
    """VOC `difficult` and COCO `crowd` in training: learned as objects, or neither object nor
    background."""
    files: str = ""
    """Several files that are one image, channel after channel, named by the stem of its annotation:
    "{stem}_temp.jpg,{stem}_test.jpg". Empty: one file is one image."""
    augment: str = "ssd"
    """Preset of `scratchdet.data.augment.PRESETS`; "auto": by the number of steps."""
    mosaic: float = 0.0
    """Probability that a training image is put together from four."""
    copy_paste: float = 0.0
    """Probability that objects of another image are pasted into a training image."""
    repeat_below: float = 0.0
    """Classes that are in a smaller share of the images than this are seen more often (repeat
    factor sampling); 0: every image equally often."""
    batch: int = 32
    """Images per step, of all devices together; 0 (--batch auto): as many as fit the memory."""
    accumulate: int = 1
    """Parts that a device works its images of a step off in: less memory, the same step. BatchNorm
    sees one part at a time."""
    cache: Literal["auto", "ram", "off"] = "auto"
    """Decoded images kept in memory; "auto": if all of them fit into half of what is free."""
    bad_images: float = 0.01
    """Share of the images that may turn out unreadable during training before it stops; each is
    replaced by another one and listed."""
    workers: int = -1
    """Processes that read and augment; 0: in the training process; -1: one beside training on a
    CPU, one per core (up to 16) with a GPU."""


@dataclass(frozen=True, kw_only=True)
class OptimRecipe:
    """Loss and optimiser: SGD with momentum."""

    lr: float = 0.05
    """Learning rate at its highest, for `reference_batch` images a step."""
    reference_batch: int = 0
    """`lr` is scaled by `data.batch` over this (linearly); 0: it is taken as it stands."""
    momentum: float = 0.9
    """Of SGD."""
    weight_decay: float = 5e-4
    """On the weights of convolutions; never on norms and biases."""
    clip_norm: float = 0.0
    """Largest L2 norm of the gradient; 0: not clipped."""
    ema: float = 0.0
    """Decay per step of the averaged weights that are evaluated and saved; 0: none; -1: by the
    number of steps. With them an evaluation takes twice as long: the raw weights get an AP too."""
    match_iou: float = 0.5
    """A prior learns an object that it overlaps by this IoU."""
    mining: Literal["image", "minimum"] = "minimum"
    """"image": negatives are mined per matched prior, so images without objects teach nothing
    (faithful to the Caffe release); "minimum": every image gives `min_negatives` at least."""
    negatives_per_positive: float = 3.0
    """Hard negatives for every matched prior of an image."""
    min_negatives: int = 12
    """With mining "minimum": hard negatives of an image with few or no objects."""


@dataclass(frozen=True, kw_only=True)
class ScheduleRecipe:
    """How long, and the learning rate over time. In steps (batches)."""

    steps: int = 2000
    """Length of the training."""
    extended_at: tuple[int, ...] = ()
    """Lengths that it had before it was extended (train --extend): the learning rate rises anew at
    each, to less than before, and falls again."""
    warmup_steps: int = 100
    """The learning rate rises linearly from zero; -1: by the number of steps."""
    shape: Literal["drops", "cosine"] = "cosine"
    """Afterwards it drops at the steps of `drops`, or falls to zero as half a cosine."""
    drops: tuple[int, ...] = ()
    """With shape "drops": steps at which the learning rate is multiplied by `drop_factor`."""
    drop_factor: float = 0.1
    """See `drops`."""
    evaluate_every: int = 500
    """Evaluation on the validation split; 0: only at the end."""
    checkpoint_every: int = 500
    """A checkpoint to resume from; one is also written on Ctrl-C, SIGTERM and at the end."""
    keep_every: int = 0
    """A model that is kept, beside the last and the best: `steps/STEP.safetensors`; 0: none."""
    precise_bn: int = 0
    """Batches that the statistics of BatchNorm are measured on anew for the final model; 0: those
    gathered in training."""
    log_every: int = 10
    """A line of `log.jsonl`."""
    analyse_every: int = 0
    """How smooth the loss is along its gradient, a line of `gradients.jsonl`, in the time of about
    seven steps; 0: not measured."""


@dataclass(frozen=True, kw_only=True)
class RunRecipe:
    """Where and how it runs."""

    seed: int = 0
    """Of the initial weights, the order of the images and their augmentation."""
    device: str = "auto"
    """"cpu", "cuda", "cuda:1"; "auto": a GPU if there is one."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Of the convolutions; "auto": bf16 where the device computes it natively. Loss is in fp32."""
    channels_last: bool = True
    """Memory format of the network."""
    compile: bool = False
    """The network is compiled (torch.compile): minutes at the start, faster steps on a GPU."""
    threads: int = 0
    """CPU threads of the training process; 0: all cores."""
    protocol: Literal["voc", "voc07", "coco"] = "voc"
    """AP over the whole recall axis, over 11 points, or COCO's average over IoU 0.5 to 0.95."""


@dataclass(frozen=True, kw_only=True)
class ScalesRecipe:
    """How a detector is asked several times about an image: `--tta ms` of eval and detect.

    The defaults are our own, found on BCCD's validation images (docs/multi_scale.md).
    """

    scales: tuple[float, ...] = (0.85, 1.0, 1.15)
    """Input sizes, as multiples of `model.input_size`."""
    smallest: tuple[float, ...] = (0.2, 0.0, 0.0)
    """For each scale: objects are taken from it from this size on, which is the square root of the
    object's share of the image."""
    largest: tuple[float, ...] = (1.0, 1.0, 0.2)
    """For each scale: and up to this size."""
    flip: bool = True
    """At every scale the mirrored image as well."""
    merge: Literal["vote", "nms"] = "vote"
    """Boxes of one object become their mean, weighted by score; or the best of them is kept."""
    merge_iou: float = 0.45
    """Boxes of a class that overlap by this IoU are of one object."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a run is."""

    model: ModelRecipe = field(default_factory=ModelRecipe)
    data: DataRecipe = field(default_factory=DataRecipe)
    optim: OptimRecipe = field(default_factory=OptimRecipe)
    schedule: ScheduleRecipe = field(default_factory=ScheduleRecipe)
    run: RunRecipe = field(default_factory=RunRecipe)
    testing: ScalesRecipe = field(default_factory=ScalesRecipe)

    def __post_init__(self) -> None:
        positive = {
            "data.accumulate": self.data.accumulate,
            "optim.lr": self.optim.lr,
            "schedule.steps": self.schedule.steps,
            "schedule.log_every": self.schedule.log_every,
            "model.input_size": min(self.model.input_size),
            "optim.negatives_per_positive": self.optim.negatives_per_positive,
            "data.hold_out": self.data.hold_out,
        }
        at_least_zero = {
            "optim.weight_decay": self.optim.weight_decay,
            "optim.clip_norm": self.optim.clip_norm,
            "optim.min_negatives": self.optim.min_negatives,
            "optim.reference_batch": self.optim.reference_batch,
            "data.batch": self.data.batch,
            "data.repeat_below": self.data.repeat_below,
            "schedule.warmup_steps + 1": self.schedule.warmup_steps + 1,
            "schedule.keep_every": self.schedule.keep_every,
            "schedule.analyse_every": self.schedule.analyse_every,
            "schedule.precise_bn": self.schedule.precise_bn,
            "schedule.evaluate_every": self.schedule.evaluate_every,
            "schedule.checkpoint_every": self.schedule.checkpoint_every,
            "run.seed": self.run.seed,
            "run.threads": self.run.threads,
            "data.workers + 1": self.data.workers + 1,
        }
        shares = {
            "optim.ema": 0.0 if self.optim.ema == -1 else self.optim.ema,
            "optim.momentum": self.optim.momentum,
            "data.hold_out": self.data.hold_out,
        }
        # Written so that NaN fails too.
        for name, value in positive.items():
            if not value > 0:
                raise RecipeError(f"{name} is {value}; it must be larger than 0")
        for name, value in at_least_zero.items():
            if not value >= 0:
                raise RecipeError(f"{name} is {value}; it must be 0 or more")
        for name, share in shares.items():
            if not 0 <= share < 1:
                raise RecipeError(f"{name} is {share}; it must be from 0 to less than 1")
        for name, probability in {
            "data.mosaic": self.data.mosaic,
            "data.copy_paste": self.data.copy_paste,
            "data.bad_images": self.data.bad_images,
        }.items():
            if not 0 <= probability <= 1:
                raise RecipeError(f"{name} is {probability}; it must be from 0 to 1")
        for name, iou in {
            "optim.match_iou": self.optim.match_iou,
            "testing.merge_iou": self.testing.merge_iou,
        }.items():
            if not 0 < iou <= 1:
                raise RecipeError(f"{name} is {iou}; it must be in (0, 1]")
        ends = (0, *self.schedule.extended_at, self.schedule.steps)
        if not all(one < other for one, other in pairwise(ends)):
            raise RecipeError(
                f"schedule.extended_at is {self.schedule.extended_at}; it must rise, from more "
                f"than 0 to less than schedule.steps, {self.schedule.steps}"
            )
        _check_scales(self.testing)


def _check_scales(testing: ScalesRecipe) -> None:
    """Raises RecipeError unless every scale has its sizes, in order."""
    scales, smallest, largest = testing.scales, testing.smallest, testing.largest
    if not 0 < len(scales) == len(smallest) == len(largest):
        raise RecipeError(
            f"testing.scales has {len(scales)} values, testing.smallest {len(smallest)} and "
            f"testing.largest {len(largest)}; they must be as many, and one at least"
        )
    for scale, low, high in zip(scales, smallest, largest, strict=True):
        if not 0 < scale < math.inf:
            raise RecipeError(f"testing.scales has {scale}; it must be larger than 0, and finite")
        if not 0 <= low < high <= 1:
            raise RecipeError(
                f"testing takes objects of {low} to {high} at the scale {scale}; it must be from 0 "
                "to 1, the smallest less than the largest"
            )


def differing(recipe: Recipe, **groups: Mapping[str, object]) -> Recipe:
    """`recipe` with some values of some groups replaced: `differing(r, optim={"lr": 0.02})`."""
    changed = {name: replace(getattr(recipe, name), **values) for name, values in groups.items()}
    return replace(recipe, **changed)
