"""The top of the report: how good the detector is, what it is, and what stands out."""

from __future__ import annotations

import math
from collections.abc import Iterator

from scratchdet.analysis.report.contents import Contents, Judged
from scratchdet.analysis.report.markup import Html, element
from scratchdet.analysis.report.words import count, duration, figure, listed, millions, sureness
from scratchdet.evaluation.intervals import Interval
from scratchdet.recipes.rates import scaled_rate

NEAR = 0.02  # AP50: errors of a kind, or a gap, that cost less are not worth a sentence
WIDE = 0.1  # of an interval: more says little


def verdict(contents: Contents) -> Html:
    """The header of the page."""
    judged, figures = contents.judged, contents.figures
    ap50 = judged.diagnosis.metrics.ap50 if judged else figures.get("ap50")
    sure = judged.diagnosis.intervals.ap50 if judged else Interval(math.nan, math.nan)
    defined = ap50 is not None and not math.isnan(ap50)
    parts = [element("h1", f"scratchdet report · {contents.name}")]
    if defined:
        told = f"AP50 on {_split_of(contents)}"
        known = sureness(sure, images=len(judged.data)) if judged else ""
        parts.append(
            element(
                "p",
                element("strong", figure(ap50)),
                element("span", told, element("br") if known else "", known),
                class_="verdict",
            )
        )
        if not math.isnan(sure.low) and ap50 is not None:
            parts += [
                range_bar(ap50, sure),
                element("div", element("span", "0"), element("span", "1"), class_="scale"),
            ]
    else:
        reason = contents.not_judged or "there is no object to be found in the images"
        parts.append(element("p", element("strong", "No AP"), class_="verdict"))
        parts.append(element("p", f"Why: {reason}."))
    parts.append(element("p", _lead(contents), class_="lead"))
    parts.append(_facts(contents))
    return element("header", *parts)


def findings(contents: Contents) -> Html:
    """What stands out, a sentence each."""
    sentences = list(_findings(contents))
    if not sentences:
        return Html()
    return element("ul", *(element("li", one) for one in sentences), class_="plain")


def range_bar(value: float, sure: Interval) -> Html:
    """The value as a point from 0 to 1, on a bar that is its interval. Figures stand beside it."""
    bar = Html()
    if not math.isnan(sure.low):
        left, width = 100 * sure.low, 100 * (sure.high - sure.low)
        bar = element("i", style=f"left:{left:.1f}%;width:{width:.1f}%")
    point = Html() if math.isnan(value) else element("b", style=f"left:{100 * value:.1f}%")
    return element("span", bar, point, class_="range", aria_hidden="true")


def _split_of(contents: Contents) -> str:
    judged, figures = contents.judged, contents.figures
    if judged:
        metrics = judged.diagnosis.metrics
        images, objects, split = metrics.num_images, metrics.num_objects, judged.split
    else:
        images, objects = figures.get("num_images", 0), figures.get("num_objects", 0)
        split = str(figures.get("split"))
    chosen = ", which also chose the model" if contents.finished and contents.chosen_by else ""
    return f"{split}: {count(images, 'image')}, {count(objects, 'object')}{chosen}"


def _lead(contents: Contents) -> str:
    """What was trained on what, in a sentence or two."""
    recipe, network, train = contents.recipe, contents.network, contents.share("training")
    size = f" with {millions(network.parameters)} parameters" if network else ""
    start = f"from {recipe.model.init}" if recipe.model.init else "from random weights"
    on = ""
    if train:
        classes = [name for name, number in train.objects.items() if number]
        what = f"{count(sum(train.objects.values()), 'object')} of {_classes(classes)}"
        on = f" on {count(train.images, 'image')} with {what}"
    length = f"{count(contents.step, 'step')} of {count(recipe.data.batch, 'image')}"
    if not contents.finished:
        length += f" so far, of {recipe.schedule.steps:,}"
    time = "" if math.isnan(contents.seconds) else f", {duration(contents.seconds)}"
    device = f" on {contents.device}" if contents.device and time else ""
    return f"{recipe.model.name}{size}, trained {start}{on}: {length}{time}{device}."


def _classes(names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    return f"{len(names)} classes ({listed(names, 4)})" if names else "no class"


def _facts(contents: Contents) -> Html:
    """The choices that matter, named."""
    recipe, network = contents.recipe, contents.network
    height, width = network.input_size if network else recipe.model.input_size
    choices = [f"{key} {value}" for key, value in sorted(recipe.model.choices.items())]
    decay = f"decay {recipe.optim.ema:.4g} per step" if recipe.optim.ema else "none"
    entries = {
        "Network": ", ".join([recipe.model.name, *choices]),
        "Input": f"{width} × {height} pixels{_pixels(contents)}",
        "Normalisation": contents.norms.partition(". NOTE")[0].removeprefix("norm: "),
        "Optimiser": f"SGD, lr {scaled_rate(recipe):.3g} at most, {_shape(contents)}",
        "Averaged weights": decay,
        "Weights from": contents.provenance,
        "Evaluated": contents.judged.model if contents.judged else "",
        "Data": recipe.data.path,
    }
    return element(
        "dl",
        *(
            element("div", element("dt", name), element("dd", value))
            for name, value in entries.items()
            if value
        ),
    )


def _pixels(contents: Contents) -> str:
    network = contents.network
    if network is None:
        return ""
    return f", {count(network.in_channels, 'channel')}, {network.image_dtype}"


def _shape(contents: Contents) -> str:
    schedule = contents.recipe.schedule
    if schedule.shape == "cosine":
        return "falling as half a cosine"
    return f"{count(len(schedule.drops), 'drop')} by {schedule.drop_factor:g}"


def _findings(contents: Contents) -> Iterator[str]:
    if contents.judged is not None:
        yield from _of_accuracy(contents.judged)
    yield from _of_training(contents)
    if count_ := len(contents.problems):
        yield f"{count(count_, 'problem')} in the data: see Data."


def _of_accuracy(judged: Judged) -> Iterator[str]:
    diagnosis = judged.diagnosis
    known = sorted((one for one in diagnosis.classes if one.num_objects), key=lambda one: one.ap)
    if len(known) > 1 and known[-1].ap > 0:
        worst, best = known[0], known[-1]
        yield (
            f"Best class: {best.name}, AP {best.ap:.3f}; worst: {worst.name}, AP {worst.ap:.3f}, "
            f"of {count(worst.num_objects, 'object')}."
        )
    costly = max(
        diagnosis.errors.kinds.items(),
        key=lambda item: 0 if math.isnan(item[1].ap50) else item[1].ap50,
    )
    if costly[1].ap50 >= NEAR:
        yield (
            f"The kind of error that costs most is {costly[0]}: without it AP50 would be "
            f"{costly[1].ap50:.3f} higher."
        )
    sure = diagnosis.intervals.ap50
    if sure.high - sure.low > WIDE:
        yield (
            f"The interval is {sure.high - sure.low:.2f} wide: {count(len(judged.data), 'image')} "
            "will not tell good detectors from better ones."
        )


def _of_training(contents: Contents) -> Iterator[str]:
    known = [(step, one) for step, one in contents.evaluations if one.get("ap50") is not None]
    if not known:
        return
    best, last = max(known, key=lambda pair: pair[1]["ap50"]), known[-1]
    if not best[1]["ap50"]:
        yield "Validation AP50 was 0 at every evaluation: nothing has been learned yet."
    elif best[0] != last[0]:
        yield (
            f"The best validation AP50, {best[1]['ap50']:.3f}, was at step {best[0]:,}; at the "
            f"last evaluation, step {last[0]:,}, it was {last[1]['ap50']:.3f}."
        )
    else:
        yield f"The last evaluation, at step {last[0]:,}, was the best: AP50 {last[1]['ap50']:.3f}."
    if ahead := contents.told("forecast"):
        yield (
            f"Expected at step {ahead['step']:,}: AP50 {ahead['ap50']:.3f} ({ahead['low']:.3f} – "
            f"{ahead['high']:.3f}, four times of five)."
        )
    if longer := contents.told("if_longer"):
        yield (
            f"With {longer['step']:,} steps it is expected to gain {longer['ap50']:.3f} AP50 "
            f"({longer['low']:.3f} – {longer['high']:.3f}, four times of five)."
        )
    raw = last[1].get("raw_ap50")
    if raw is not None:
        gain = last[1]["ap50"] - raw
        yield f"Averaging the weights changed AP50 by {gain:+.3f} (raw weights: {raw:.3f})."
