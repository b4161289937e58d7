"""The weights of a trained detector in a new one of the same network: fine-tuning starts there."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from scratchdet.models.detector import Detector

CLASS_PREDICTORS = "head.classes."  # of MultiBoxHead: what has a row for every prior and class
Weights = dict[str, Tensor]


class Transferred(NamedTuple):
    """What a detector has of its parent."""

    classes: tuple[tuple[str, str | None], ...]
    """Every class, with its name in the parent; None where that does not know it: untrained."""
    repeated: tuple[str, ...]
    """Names that several classes of the parent have; the first of them was taken."""
    channels: tuple[int, int]
    """Of the images: the parent's, and the detector's."""
    input_sizes: tuple[tuple[int, int], tuple[int, int]]
    """(height, width): the parent's, and the detector's."""


class Adapted(NamedTuple):
    """What belongs to images of another number of channels."""

    weights: Weights
    mean: Tensor
    std: Tensor


def transfer(detector: Detector, parent: Detector, *, synonyms: Mapping[str, str]) -> Transferred:
    """Puts the parent's weights into `detector`, with the mean, std and channel order they expect.

    Classes are found by name, see `match_classes`; rows of others stay as they are in `detector`,
    offsets are taken whole. Another input size needs nothing: priors follow the maps. Between grey
    and colour images see `adapt_channels`. Raises ValueError, with `detector` as it was, for all
    else that does not fit; it names the first parameter and both shapes.
    """
    if detector.image_dtype != parent.image_dtype:
        raise ValueError(
            f"the parent takes images of {parent.image_dtype}, and these are "
            f"{detector.image_dtype}: its mean and std mean nothing for them"
        )
    labels = match_classes(detector.classes, parent.classes, synonyms=synonyms)
    fresh = detector.state_dict()
    old = {name: value.to(detector.device) for name, value in parent.state_dict().items()}
    if unlike := [name for name in (*fresh, *old) if name not in fresh or name not in old]:
        lacking = "the parent has no" if unlike[0] in fresh else "only the parent has"
        raise ValueError(f"{lacking} {unlike[0]}: fine-tune the parent's own network")
    channels = (parent.in_channels, detector.in_channels)
    adapted, mean, std = adapt_channels(
        old,
        [name for name in old if _takes_images(old[name], fresh[name], channels)],
        mean=parent.mean.to(detector.device),
        std=parent.std.to(detector.device),
        channels=detector.in_channels,
    )
    columns = (len(parent.classes) + 1, len(detector.classes) + 1)
    weights = {
        name: class_rows(fresh[name], value, labels=labels, columns=columns[0])
        if name.startswith(CLASS_PREDICTORS) and _are_rows(value, fresh[name], columns)
        else value
        for name, value in adapted.items()
    }
    for name, value in weights.items():
        if value.shape != fresh[name].shape:
            raise ValueError(_explain(name, fresh[name], value, detector=detector, parent=parent))
    detector.load_state_dict(weights)
    detector.mean, detector.std = mean.clone(), std.clone()
    detector.channel_order = parent.channel_order if detector.in_channels == 3 else "rgb"
    return Transferred(
        classes=tuple(
            (name, None if label is None else parent.classes[label])
            for name, label in zip(detector.classes, labels, strict=True)
        ),
        repeated=tuple(dict.fromkeys(n for n in parent.classes if parent.classes.count(n) > 1)),
        channels=channels,
        input_sizes=(parent.input_size, detector.input_size),
    )


def match_classes(
    classes: Sequence[str], known: Sequence[str], *, synonyms: Mapping[str, str]
) -> list[int | None]:
    """For every class the label among `known` that it has there; None where it is not known.

    The same name, else the same but for case, else a synonym, in either direction; of several the
    first. Equal lists match label by label, whatever is in them.
    """
    if tuple(classes) == tuple(known):
        return list(range(len(known)))
    folded = {one.casefold(): other.casefold() for one, other in synonyms.items()}
    spellings: tuple[Callable[[str], str], ...] = (
        str,
        str.casefold,
        lambda name: folded.get(name.casefold(), name.casefold()),
    )
    by_spelling = [
        {spell(name): label for label, name in reversed(list(enumerate(known)))}
        for spell in spellings
    ]
    matched: list[int | None] = []
    for name in classes:
        ways = zip(spellings, by_spelling, strict=True)
        labels = (labels[spell(name)] for spell, labels in ways if spell(name) in labels)
        matched.append(next(labels, None))
    return matched


def class_rows(
    fresh: Tensor, value: Tensor, *, labels: Sequence[int | None], columns: int
) -> Tensor:
    """`fresh` with background and the known classes taken from `value`.

    Both have a row for every output channel of a class predictor: prior * columns + column, where
    column 0 is background. labels: for every class of `fresh` its label in `value`, or None;
    columns: of `value`.
    """
    known = [(column, label + 1) for column, label in enumerate(labels, 1) if label is not None]
    here, there = ([0, *places] for places in (zip(*known, strict=True) if known else ((), ())))
    rows = fresh.clone().unflatten(0, (-1, len(labels) + 1))
    rows[:, here] = value.unflatten(0, (-1, columns))[:, there]
    return rows.flatten(0, 1)


def adapt_channels(
    weights: Weights, names: Sequence[str], *, mean: Tensor, std: Tensor, channels: int
) -> Adapted:
    """Weights, mean and std for images of so many channels; a grey image gives the same as before.

    names: of the convolutions of images. From grey to colour a third of the weights goes to every
    channel. From colour to grey they are summed, since the three channels of a grey image are
    equal. Where their means were not, the one that takes their place shifts the result; the bias,
    or the running mean of a BatchNorm that follows, takes that back. What is left then is the
    border, which was padded with a colour and is now with a grey; and all of it under a group norm.
    Raises ValueError for other numbers than 1 and 3.
    """
    if channels == len(mean):
        return Adapted(weights, mean, std)
    if {channels, len(mean)} != {1, 3}:
        raise ValueError(
            f"the parent takes images of {len(mean)} channels, and these have {channels}: only "
            "between grey (1) and colour (3) is it clear which weights are for which channel"
        )
    adapted = weights.copy()
    if channels == 3:
        adapted |= {name: weights[name].repeat(1, 3, 1, 1) / 3 for name in names}
        return Adapted(adapted, mean.repeat(3), std.repeat(3))
    grey_mean, grey_std = mean.mean(0, keepdim=True), std.mean(0, keepdim=True)
    for name in names:
        per_grey_level = weights[name] / std[:, None, None]
        adapted[name] = grey_std * per_grey_level.sum(dim=1, keepdim=True)
        shift = (per_grey_level * (mean - grey_mean)[:, None, None]).sum(dim=(1, 2, 3))
        bias, running_mean = _followers(name)
        if bias in weights:
            adapted[bias] = weights[bias] - shift
        elif running_mean in weights:
            adapted[running_mean] = weights[running_mean] + shift
    return Adapted(adapted, grey_mean, grey_std)


def _followers(name: str) -> tuple[str, str]:
    """The names of a convolution's bias, and of the running mean next to it in a Sequential."""
    *path, place, _ = name.split(".")
    bias = ".".join([*path, place, "bias"])
    return bias, ".".join([*path, str(int(place) + 1), "running_mean"]) if place.isdigit() else ""


def _explain(name: str, new: Tensor, old: Tensor, *, detector: Detector, parent: Detector) -> str:
    """Why a weight does not fit, and what to do."""
    here, there = tuple(new.shape), tuple(old.shape)
    ours, theirs = detector.in_channels, parent.in_channels
    if new.ndim == old.ndim and all(
        a == b or a * theirs == b * ours for a, b in zip(here, there, strict=True)
    ):
        return (
            f"{name} is {here} here, for images of {_count(ours)}, and {there} in the parent, for "
            f"{theirs}: only what takes the images themselves can be adapted to other channels, "
            f"and this takes what was made of them. Train on images of {_count(theirs)}"
        )
    return (
        f"{name} is {here} here, for {len(detector.classes)} classes, and {there} in the parent, "
        f"for {len(parent.classes)}: fine-tune the parent's own network, with its widths and its "
        "priors per location"
    )


def _count(channels: int) -> str:
    return f"{channels} channel{'s' if channels > 1 else ''}"


def _are_rows(old: Tensor, new: Tensor, columns: tuple[int, int]) -> bool:
    """Whether two parameters of a class predictor differ in their columns alone."""
    if old.ndim == 0 or old.shape[1:] != new.shape[1:]:
        return False
    return old.shape[0] * columns[1] == new.shape[0] * columns[0]


def _takes_images(old: Tensor, new: Tensor, channels: tuple[int, int]) -> bool:
    """Whether two weights are of convolutions that differ in the channels of the images alone."""
    return (
        old.ndim == 4
        and old.shape != new.shape
        and (old.shape[1], new.shape[1]) == channels
        and (old.shape[0], old.shape[2:]) == (new.shape[0], new.shape[2:])
    )
