"""Fine-tuning from a model of one's own: what is taken, what is said, where it is written down."""

import hashlib
import io
import json
import os
import signal

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors import safe_open
from safetensors.torch import load_file

from scratchdet.data.augment import PRESETS, none
from scratchdet.data.formats import read_data
from scratchdet.data.voc_write import write_voc
from scratchdet.models.saved import FROM_SCRATCH, load_model, read_metadata, save_model
from scratchdet.models.transfer import Transferred, transfer
from scratchdet.models.zoo import create_model
from scratchdet.recipe import RecipeError, differing
from scratchdet.recipes import load_recipe
from scratchdet.train import loop
from scratchdet.train.parent import (
    Parent,
    check_network,
    describe,
    network_of,
    read_parent,
    start_from,
)
from scratchdet.train.prepare import Prepared
from scratchdet.train.resolve import describe_network, resolve
from scratchdet.train.setup import build

SCALES = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)


@pytest.fixture(scope="module")
def data(tmp_path_factory, scenes):
    """Makes a VOC folder of these classes."""

    def make(*classes, channels=3):
        root = tmp_path_factory.mktemp("data") / "voc"
        splits = {"train": scenes(8, classes=len(classes), channels=channels)}
        return write_voc(root, splits, classes=classes)

    return make


@pytest.fixture(scope="module")
def quick(tiny):
    return differing(tiny, data={"val_split": "none"})


@pytest.fixture(scope="module")
def grown(quick, data, tmp_path_factory):
    """The folder of a run of two classes, `sofa` and `dog`."""
    folder = tmp_path_factory.mktemp("work") / "coco"
    loop.train(quick, data=data("dog", "sofa"), run_dir=folder, console=Console(quiet=True))
    return folder


def train(recipe, root, run_dir, **choices):
    """The folder of the run, and what was said."""
    console = Console(file=io.StringIO(), width=200)
    run = loop.train(recipe, data=root, run_dir=run_dir, console=console, **choices)
    return run, console.file.getvalue()


def prepared_for(root, channels=3) -> Prepared:
    mean, std = np.full(channels, 40.0), np.full(channels, 20.0)
    return Prepared(read_data(root), None, "", None, channels, mean, std, (), ())


def fine_tuned(recipe, init, run_dir, root):
    return train(differing(recipe, model={"init": str(init)}), root, run_dir)


def another_normalisation(detector):
    """That of models imported from Caffe, which no data here have."""
    detector.channel_order, detector.mean = "bgr", torch.tensor([104.0, 117.0, 123.0])
    return detector


def provenance(run) -> str:
    return read_metadata(run / "last" / "model.safetensors")["provenance"]


def test_before_any_step_shared_classes_are_scored_as_by_the_parent(quick, grown, data):
    parent = read_parent(str(grown))
    training = build(quick, prepared_for(data("cat", "couch", "dog")), torch.device("cpu"))
    assert start_from(parent, training).classes == (
        ("cat", None),
        ("couch", "sofa"),
        ("dog", "dog"),
    )
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        theirs = parent.detector(parent.detector.normalise(images))
        for detector in (training.detector.eval(), training.ema.detector):
            ours = detector(detector.normalise(images))
            torch.testing.assert_close(ours.logits[..., [0, 3, 2]], theirs.logits)
            torch.testing.assert_close(ours.offsets, theirs.offsets)


def test_the_average_starts_as_the_detector_does_and_the_parent_is_matched_once(
    quick, grown, data, monkeypatch
):
    taken = []

    def counted(detector, *arguments, **named):
        taken.append(detector)
        return transfer(detector, *arguments, **named)

    monkeypatch.setattr("scratchdet.train.parent.transfer", counted)
    start = read_parent(str(grown))
    another_normalisation(start.detector)
    training = build(quick, prepared_for(data("cat", "dog")), torch.device("cpu"))
    start_from(start, training)
    assert taken == [training.detector]
    ours, average = training.detector, training.ema.detector
    theirs = average.state_dict()
    assert [k for k, value in ours.state_dict().items() if not torch.equal(theirs[k], value)] == []
    for one in (ours, average):
        assert (one.mean.tolist(), one.channel_order) == ([104.0, 117.0, 123.0], "bgr")
        assert torch.equal(one.std, start.detector.std)
    assert average.mean is not ours.mean


def test_a_fine_tuned_model_names_its_parent_and_that_one_s_origin(quick, grown, data, tmp_path):
    root = data("sofa", "new")
    run, said = fine_tuned(quick, grown, tmp_path / "voc", root)
    digest = hashlib.sha256((grown / "last/model.safetensors").read_bytes()).hexdigest()
    line = (
        f"fine-tuned from coco/last/model.safetensors (sha256 {digest}), which was {FROM_SCRATCH}"
    )
    assert provenance(grown) == FROM_SCRATCH
    assert provenance(run) == line
    assert "init: coco/last/model.safetensors (scratchdet_nano): 1 of 2 classes by name" in said
    assert said.count("init: ") == 1
    third, _ = fine_tuned(quick, run / "last/model.safetensors", tmp_path / "third", root)
    assert provenance(third).startswith("fine-tuned from voc/last/model.safetensors (sha256 ")
    assert provenance(third).endswith(f"which was {line}")


def test_a_fine_tuned_detector_keeps_the_normalisation_of_its_parent(quick, grown, data, tmp_path):
    parent = another_normalisation(load_model(grown))
    save_model(parent, tmp_path / "importiert.safetensors", provenance="imported")
    run, said = fine_tuned(quick, tmp_path / "importiert.safetensors", tmp_path / "r", data("dog"))
    assert "mean 104 117 123 and std" in said
    assert ", bgr, of the parent" in said
    detector = load_model(run)
    assert (detector.channel_order, detector.mean.tolist()) == ("bgr", [104.0, 117.0, 123.0])
    assert "fine-tuned from importiert.safetensors (sha256 " in provenance(run)
    assert provenance(run).endswith("which was imported")


def test_grey_images_fine_tune_a_detector_of_colour_images(quick, grown, data, tmp_path):
    recipe = differing(quick, model={"input_size": (96, 64)})
    run, said = fine_tuned(recipe, grown, tmp_path / "r", data("dog", channels=1))
    assert "1 channel instead of 3, their weights added up; 96 x 64 instead of 64 x 64" in said
    detector = load_model(run)
    assert (detector.in_channels, detector.input_size) == (1, (96, 64))
    assert detector.mean.item() == pytest.approx(load_model(grown).mean.mean().item(), rel=1e-6)


def test_channels_without_a_meaning_are_refused(quick, data, tmp_path):
    detector = create_model("scratchdet_nano", classes=["dog"], in_channels=4, input_size=64)
    save_model(detector, tmp_path / "vier.safetensors")
    with pytest.raises(RecipeError, match=r"vier\.safetensors does not fit: .*images of 4 chan"):
        fine_tuned(quick, tmp_path / "vier.safetensors", tmp_path / "r", data("dog"))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            {"name": "ssd300_vgg16"},
            r"not that of coco/last/model\.safetensors: name is 'ssd300_vgg16', and 'scratchdet_na"
            r".*--model scratchdet_nano --model\.norm-backbone batch --model\.norm-head batch$",
        ),
        ({"norm_head": "none"}, "norm_head is 'none', and 'batch' there"),
    ],
)
def test_another_network_is_refused_before_the_data_are_read(quick, grown, tmp_path, model, said):
    recipe = differing(quick, model={**model, "init": str(grown)})
    with pytest.raises(RecipeError, match=said):
        train(recipe, tmp_path / "no data", tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_an_unknown_model_is_told_which_there_are_not_that_the_parent_is_another(
    quick, grown, tmp_path
):
    recipe = differing(quick, model={"name": "nosuch", "init": str(grown)})
    with pytest.raises(RecipeError, match=r"^model\.name is 'nosuch'; choose from ssd300_vgg16, "):
        train(recipe, tmp_path / "no data", tmp_path / "r")


def test_other_choices_of_the_same_network_are_refused_with_the_flags_of_the_parent(
    quick, tmp_path
):
    file = tmp_path / "r18.safetensors"
    detector = create_model("scratchdet300_r18", variant="caffe", classes=["a"], input_size=64)
    save_model(detector, file)
    wanted = {"name": "scratchdet300_r18", "init": str(file)}
    with pytest.raises(RecipeError, match=r"variant is 'paper', and 'caffe' there.*variant=caffe$"):
        train(differing(quick, model=wanted), tmp_path / "no data", tmp_path / "r")
    adopted = differing(quick, model=network_of(read_parent(str(file)).detector))
    assert adopted.model.choices == {"variant": "caffe", "prior_sizes": "voc"}
    assert describe_network(adopted.model) == (
        "scratchdet300_r18 (variant caffe), input 64 x 64 (--model.input-size)"
    )


@pytest.mark.parametrize(
    ("name", "theirs", "ours", "flags"),
    [
        ("dsod300_smallest", {}, {}, ""),
        ("dsod300_smallest", {"checkpointing": "blocks"}, {}, ""),
        (
            "grp_dsod320",
            {"version": "320", "checkpointing": "blocks"},
            {},
            " --model.choices version=320",
        ),
        ("scratchdet300_r18", {}, {"variant": "caffe"}, " --model.choices"),
        (
            "scratchdet_nano",
            {"prior_scales": SCALES, "prior_ratios": (1.5,)},
            {},
            " --model.prior-scales 0.1 0.2 0.3 0.5 0.7 0.9 --model.prior-ratios 1.5",
        ),
    ],
)
def test_flags_ask_for_what_is_not_the_default_and_bears_on_the_weights(
    quick, name, theirs, ours, flags
):
    with torch.device("meta"):
        detector = create_model(name, classes=["a"], input_size=64, norm_head="none", **theirs)
    parent = Parent(detector, "x.safetensors", "")
    wanted = differing(quick, model={"name": name, "choices": ours}).model
    with pytest.raises(RecipeError) as refused:
        check_network(wanted, parent)
    asked = f"--model {name} --model.norm-backbone batch --model.norm-head none{flags}"
    assert str(refused.value).endswith(f"or say {asked}")


def test_the_line_of_the_network_leaves_out_what_is_the_default(quick):
    choices = {"prediction": "dense", "prior_sizes": "coco", "checkpointing": "off"}
    model = differing(quick, model={"name": "dsod300", "choices": choices}).model
    assert describe_network(model).startswith("dsod300 (prior_sizes coco), input 64 x 64")
    model = differing(quick, model={"name": "dsod300", "choices": {"prediction": "dense"}}).model
    assert describe_network(model).startswith("dsod300, input 64 x 64")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            {"choices": {"variant": "caffe"}},
            "variant: scratchdet_nano has no such choice; it has stem",
        ),
        (
            {"name": "scratchdet300_r18", "choices": {"variant": "mmdet"}},
            "variant 'mmdet' of scratchdet300_r18 is not known; choose from paper, caffe",
        ),
        ({"choices": {"norm_head": "none"}}, r"^model\.choices\.norm_head is a setting of its own"),
        (
            {"choices": {"in_channels": "1"}},
            r"model\.choices\.in_channels: scratchdet_nano has no such",
        ),
        (
            {"prior_scales": (0.1, 0.2)},
            "model: prior_scales has 2 values; a network of 5 levels needs 6: one for each",
        ),
        ({"prior_ratios": (0.5,)}, r"model: prior_ratios is 0\.5; they must be larger than 1"),
        ({"init": "nirgends"}, "no model at .*nirgends"),
        (
            {"name": "nosuch", "init": "nirgends"},
            r"^model\.name is 'nosuch'; choose from ssd300_vgg16, .*scratchdet_nano",
        ),
    ],
)
def test_what_a_network_does_not_have_is_refused_before_the_data_are_read(
    quick, tmp_path, model, said
):
    with pytest.raises((RecipeError, FileNotFoundError), match=said):
        train(differing(quick, model=model), tmp_path / "no data", tmp_path / "r")


def test_choices_reach_the_network(quick, data):
    model = {"name": "scratchdet300_r18", "choices": {"variant": "caffe"}, "input_size": (96, 96)}
    training = build(
        resolve(differing(quick, model=model))[0], prepared_for(data("dog")), torch.device("cpu")
    )
    assert training.detector.built_as["variant"] == "caffe"


def test_priors_of_a_recipe_reach_the_network_and_the_line_that_tells_of_it(quick, data):
    recipe = differing(quick, model={"prior_scales": SCALES, "prior_ratios": (1.5,)})
    settled, lines = resolve(recipe)
    training = build(settled, prepared_for(data("dog")), torch.device("cpu"))
    assert training.detector.specs[1].min_size == pytest.approx(0.2 * 64)
    assert training.detector.specs[1].ratios == (1.5,)
    assert "nano (prior scales 0.1 0.2 0.3 0.5 0.7 0.9, prior ratios 1.5), input" in lines[0]


def test_priors_of_a_recipe_are_held_against_those_of_the_parent(quick):
    with torch.device("meta"):
        theirs = create_model("scratchdet_nano", 1, input_size=64, prior_scales=SCALES)
    parent = Parent(theirs, "x.safetensors", "")
    wanted = differing(quick, model=network_of(theirs)).model
    assert wanted.prior_scales == SCALES
    check_network(
        differing(quick, model={"prior_scales": SCALES, "input_size": (96, 96)}).model, parent
    )
    for scales in ((), (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)):
        other = differing(quick, model={"prior_scales": scales}).model
        with pytest.raises(RecipeError, match=r"prior_scales is \(.*--model\.prior-scales 0\.1 0"):
            check_network(other, parent)


def test_a_stopped_fine_tuning_goes_on_without_its_parent(
    quick, grown, data, tmp_path, monkeypatch
):
    root, parent = data("sofa", "new"), tmp_path / "parent.safetensors"
    save_model(another_normalisation(load_model(grown)), parent)
    straight, _ = fine_tuned(quick, parent, tmp_path / "straight", root)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", interrupting(loop.train_step))
        with pytest.raises(loop.Interrupted):
            fine_tuned(quick, parent, tmp_path / "stopped", root)
    parent.unlink()
    recipe = load_recipe(tmp_path / "stopped" / "recipe.toml")
    assert recipe.model.init == str(parent)
    run, said = train(recipe, None, tmp_path / "stopped", resume=True)
    assert "init: " not in said
    assert provenance(run) == provenance(straight)
    for name in ("last/checkpoint", "last/model"):
        ours, theirs = (load_file(folder / f"{name}.safetensors") for folder in (run, straight))
        assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []
    ours, theirs = (read_metadata(folder / "last/model.safetensors") for folder in (run, straight))
    for key in ("mean", "std", "channel_order"):
        assert ours[key] == theirs[key], key
    assert (ours["mean"], ours["channel_order"]) == ("[104.0, 117.0, 123.0]", "bgr")


def test_what_is_filled_in_around_an_image_is_zero_to_the_detector(
    quick, grown, data, tmp_path, monkeypatch
):
    filled = []

    def noted(size, mean, distort):
        filled.append(mean)
        return none(size, mean, distort)

    monkeypatch.setitem(PRESETS, "noted", noted)
    recipe, root = differing(quick, data={"augment": "noted"}), data("dog")
    parent = tmp_path / "parent.safetensors"
    save_model(another_normalisation(load_model(grown)), parent)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", interrupting(loop.train_step))
        with pytest.raises(loop.Interrupted):
            fine_tuned(recipe, parent, tmp_path / "tuned", root)
    recipe = load_recipe(tmp_path / "tuned" / "recipe.toml")
    tuned, _ = train(recipe, None, tmp_path / "tuned", resume=True)
    assert [fill.tolist() for fill in filled] == [[123, 117, 104]] * 2
    image = torch.from_numpy(filled[0].astype(np.uint8)).reshape(1, 1, 1, 3)
    assert not load_model(tuned).normalise(image).any()
    scratch, _ = train(differing(recipe, model={"init": ""}), root, tmp_path / "scratch")
    assert filled[-1].tolist() == load_model(scratch).mean.tolist()


def interrupting(step):
    def call(*arguments, **named):
        os.kill(os.getpid(), signal.SIGTERM)
        return step(*arguments, **named)

    return call


def test_the_recipe_of_a_fine_tuning_repeats_it(quick, grown, data, tmp_path, monkeypatch):
    monkeypatch.chdir(grown.parent)
    root = data("sofa", "new")
    first, _ = fine_tuned(quick, "coco", tmp_path / "first", root)
    recipe = load_recipe(first / "recipe.toml")
    assert recipe.model.init == str(grown)
    monkeypatch.chdir(tmp_path)
    second, _ = train(recipe, None, tmp_path / "second")
    ours, theirs = (load_file(run / "last/model.safetensors") for run in (first, second))
    assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []
    assert provenance(first) == provenance(second)


def test_the_recipe_of_a_fine_tuning_says_which_parent_is_gone(quick, grown, data, tmp_path):
    parent = tmp_path / "parent.safetensors"
    save_model(load_model(grown), parent)
    first, _ = fine_tuned(quick, parent, tmp_path / "first", data("sofa", "new"))
    parent.unlink()
    recipe = load_recipe(first / "recipe.toml")
    with pytest.raises(FileNotFoundError) as refused:
        train(recipe, None, tmp_path / "second")
    said = str(refused.value)
    assert said.startswith(f"model.init: no model at {parent}: ")
    assert said.endswith("Say where it is now with --init")
    assert "\n" not in said
    assert not (tmp_path / "second").exists()


def test_a_training_from_scratch_says_so_in_its_checkpoint_too(grown):
    with safe_open(grown / "last/checkpoint.safetensors", framework="pt") as stored:
        assert json.loads(stored.metadata()["progress"])["provenance"] == FROM_SCRATCH


def test_every_class_is_told_in_its_group_and_none_is_left_out(grown):
    same = [(f"c{number}", f"c{number}") for number in range(40)]
    other, new = [("couch", "sofa"), ("DOG", "dog")], [(f"n{number}", None) for number in range(40)]
    parent = Parent(load_model(grown), "x.safetensors", "")
    sizes = ((64, 64), (64, 64))
    transferred = Transferred((*new, *other, *same), ("c1", "c2"), (3, 3), sizes)
    first, *groups = describe(transferred, parent, parent.detector).splitlines()
    assert first.startswith("init: x.safetensors (scratchdet_nano): 42 of 82 classes by name; 3 ch")
    assert groups == [
        f"  same name: {', '.join(name for name, _ in same)}",
        "  other spelling or synonym: couch from sofa, DOG from dog",
        f"  new: {', '.join(name for name, _ in new)}",
        "  of several so called in the parent the first: c1, c2",
    ]
    none = describe(Transferred((("a", "a"),), (), (3, 3), sizes), parent, parent.detector)
    assert none.splitlines()[1:] == ["  same name: a"]


def test_a_run_keeps_what_it_took_from_its_parent(quick, grown, data, tmp_path):
    recipe = differing(quick, model={"input_size": (96, 64)})
    run, said = fine_tuned(recipe, grown, tmp_path / "r", data("Größe", "couch", "dog"))
    assert "\n  same name: dog\n  other spelling or synonym: couch from sofa\n  new: " in said
    written = (run / "init.json").read_text(encoding="utf-8")
    assert "Größe" in written
    assert json.loads(written) == {
        "provenance": provenance(run),
        "classes": [
            {"name": "Größe", "parent": None},
            {"name": "couch", "parent": "sofa"},
            {"name": "dog", "parent": "dog"},
        ],
        "repeated": [],
        "channels": {"here": 3, "parent": 3},
        "input_size": {"here": [96, 64], "parent": [64, 64]},
    }
    assert not (grown / "init.json").exists()
