"""What a run is: frozen values in five groups, strict TOML in and out.

A recipe file is a short TOML: `base = "scratchdet300_r34"` and what differs. The `recipe.toml` of a
run is complete and repeats it. Nothing here imports torch: recipes are listed in an instant.
"""

import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal

import tomli_w

from scratchdet.files import write_text


class RecipeError(ValueError):
    """A recipe that cannot be run; the message says which value, and what is allowed."""


@dataclass(frozen=True, kw_only=True)
class ModelRecipe:
    """The network."""

    name: str = "scratchdet_nano"
    """One of `scratchdet models`."""
    input_size: tuple[int, int] = (160, 160)
    """Height and width, in pixels, that images are resized to."""
    norm_backbone: Literal["batch", "group", "none"] = "batch"
    """Normalisation in the backbone and the extra layers."""
    norm_head: Literal["batch", "group", "none"] = "batch"
    """Normalisation of the outputs of the predictors."""
    choices: dict[str, str] = field(default_factory=dict)
    """What else can be chosen of the network: variant, stem, backbone, ..."""
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
    augment: str = "ssd"
    """Preset of `scratchdet.data.augment.PRESETS`."""
    batch: int = 32
    """Images per step."""
    workers: int = -1
    """Processes that read and augment; 0: in the training process; -1: one beside training on a
    CPU, one per core (up to 16) with a GPU."""


@dataclass(frozen=True, kw_only=True)
class OptimRecipe:
    """Loss and optimiser: SGD with momentum."""

    lr: float = 0.05
    """Learning rate at its highest."""
    momentum: float = 0.9
    """Of SGD."""
    weight_decay: float = 5e-4
    """On the weights of convolutions; never on norms and biases."""
    clip_norm: float = 0.0
    """Largest L2 norm of the gradient; 0: not clipped."""
    ema: float = 0.0
    """Decay per step of the averaged weights that are evaluated and saved; 0: none."""
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
    warmup_steps: int = 100
    """The learning rate rises linearly from zero."""
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
    log_every: int = 10
    """A line of `log.jsonl`."""


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
    threads: int = 0
    """CPU threads of the training process; 0: all cores."""
    protocol: Literal["voc", "voc07", "coco"] = "voc"
    """AP over the whole recall axis, over 11 points, or COCO's average over IoU 0.5 to 0.95."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a run is."""

    model: ModelRecipe = field(default_factory=ModelRecipe)
    data: DataRecipe = field(default_factory=DataRecipe)
    optim: OptimRecipe = field(default_factory=OptimRecipe)
    schedule: ScheduleRecipe = field(default_factory=ScheduleRecipe)
    run: RunRecipe = field(default_factory=RunRecipe)

    def __post_init__(self) -> None:
        positive = {
            "data.batch": self.data.batch,
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
            "schedule.warmup_steps": self.schedule.warmup_steps,
            "schedule.evaluate_every": self.schedule.evaluate_every,
            "schedule.checkpoint_every": self.schedule.checkpoint_every,
            "run.seed": self.run.seed,
            "run.threads": self.run.threads,
            "data.workers + 1": self.data.workers + 1,
        }
        shares = {
            "optim.ema": self.optim.ema,
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
        if not 0 < self.optim.match_iou <= 1:
            raise RecipeError(f"optim.match_iou is {self.optim.match_iou}; it must be in (0, 1]")


def differing(recipe: Recipe, **groups: Mapping[str, object]) -> Recipe:
    """`recipe` with some values of some groups replaced: `differing(r, optim={"lr": 0.02})`."""
    changed = {name: replace(getattr(recipe, name), **values) for name, values in groups.items()}
    return replace(recipe, **changed)


def to_toml(recipe: Recipe) -> str:
    """Every value of the recipe, as TOML that `from_toml` reads back to an equal one."""
    groups = {
        group.name: {
            entry.name: getattr(getattr(recipe, group.name), entry.name)
            for entry in fields(getattr(recipe, group.name))
        }
        for group in fields(recipe)
    }
    return tomli_w.dumps(groups)


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Writes `to_toml(recipe)`, completely or not at all."""
    write_text(path, to_toml(recipe))


def from_toml(text: str, *, source: str, bases: Mapping[str, Recipe]) -> Recipe:
    """The recipe that `text` describes: the values of its `base` (or the defaults), and its own.

    Raises RecipeError, naming `source`, for what is not TOML, an unknown base, group or key, or a
    value of the wrong type; the message lists what is allowed.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{source} is not TOML: {error}") from error
    base = document.pop("base", None)
    if base is not None and base not in list(bases):  # it may be anything, even unhashable
        raise RecipeError(f"{source}: base {base!r} is not known; there are {', '.join(bases)}")
    recipe = Recipe() if base is None else bases[base]
    try:
        return _merge(recipe, document, where="")
    except RecipeError as error:
        raise RecipeError(f"{source}: {error}") from error


def _merge(values: Any, document: Mapping[str, object], *, where: str) -> Any:
    """`values` (a dataclass) with the entries of `document`, checked against its annotations."""
    hints = typing.get_type_hints(type(values))
    changed = {}
    for key, given in document.items():
        name = f"{where}{key}"
        if key not in hints:
            raise RecipeError(f"{name} is not a setting; there are {', '.join(hints)}")
        if is_dataclass(hints[key]):
            if not isinstance(given, dict):
                raise RecipeError(f"{name} is a group: write [{name}] and its settings below")
            changed[key] = _merge(getattr(values, key), given, where=f"{name}.")
        else:
            changed[key] = _checked(given, hints[key], name)
    return replace(values, **changed)


def _checked(given: object, hint: Any, name: str) -> object:
    """`given` as the type that the annotation asks for."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if given not in arguments:
            raise RecipeError(f"{name} is {given!r}; choose from {', '.join(map(repr, arguments))}")
        return given
    if origin is tuple:
        if not isinstance(given, list | tuple):
            raise RecipeError(f"{name} is {given!r}; it must be a list")
        kinds = [arguments[0]] * len(given) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) != len(given):
            raise RecipeError(f"{name} has {len(given)} values; it must have {len(kinds)}")
        return tuple(_checked(one, kind, name) for one, kind in zip(given, kinds, strict=True))
    if origin is dict:
        if not isinstance(given, dict):
            raise RecipeError(f"{name} is {given!r}; write [{name}] and a line for each below")
        return {key: _checked(one, arguments[1], f"{name}.{key}") for key, one in given.items()}
    if hint is float and type(given) is int:
        return float(given)
    if type(given) is not hint:
        kind = (
            hint.__name__
            if isinstance(hint, type) and not isinstance(hint, types.GenericAlias)
            else hint
        )
        raise RecipeError(f"{name} is {given!r}; it must be of type {kind}")
    return given
