"""The report: one page that is complete in itself, whatever there is to tell."""

import re

import numpy as np
import pytest
from report_contents import HOSTILE, LOG, Page, contents_of

from scratchdet.analysis.report.contents import Contents, share_of
from scratchdet.analysis.report.page import page, write_report
from scratchdet.recipe import Recipe, differing
from scratchdet.structures import from_records

NOTHING = Contents(name="empty", recipe=Recipe(), recipe_text="", step=0)
FORTY = tuple(f"class {number}" for number in range(40))
KINDS = {
    "all there is": {},
    "one class": {"classes": ("only",)},
    "forty classes": {"classes": FORTY},
    "hostile names": {"classes": (HOSTILE, "b"), "name": HOSTILE, "provenance": HOSTILE},
    "one channel": {"channels": 1},
    "two channels": {"channels": 2},
    "16 bits": {"dtype": "uint16", "channels": 5},
    "float": {"dtype": "float32"},
    "one image": {"images": 1},
    "no image": {"images": 0},
    "no log": {"log": []},
    "nothing judged": {"judged": None, "not_judged": "there are no data"},
    "still going on": {"figures": {}},
}

INTERVAL_BAR = 'class="range" aria-hidden="true"><i'


@pytest.fixture(params=KINDS, scope="module")
def shown(request, tmp_path_factory) -> str:
    return page(contents_of(tmp_path_factory.mktemp("data"), **KINDS[request.param]))


def sections_of(contents) -> set[str]:
    return {attributes["id"] for attributes in Page(page(contents)).named("section")}


def test_nothing_at_all_is_a_page_too():
    told = Page(page(NOTHING))
    assert "No AP" in told.text
    assert "Left out" in told.text
    assert {one["id"] for one in told.named("section")} == {"data", "origin"}


def test_pages_are_well_formed_and_ids_unique(shown):
    told = Page(shown)
    ids = told.values("id")
    assert len(ids) == len(set(ids))
    assert shown.startswith("<!doctype html>")
    assert len(told.named("h1")) == 1


def test_pages_need_nothing_else(shown):
    """No script, and nothing that a browser would fetch: links lead within, pictures are inside."""
    told = Page(shown)
    assert not told.named("script")
    assert not told.values("src")
    ids = set(told.values("id"))
    for link in told.values("href"):
        assert link.startswith("data:") or link.removeprefix("#") in ids
    assert not re.search(r"https?:|@import|url\(", shown)
    assert not [name for _, attributes in told.tags for name in attributes if name.startswith("on")]


def test_pictures_charts_and_switches_have_words(shown):
    told = Page(shown)
    assert all(one.get("aria-label") for one in told.named("svg") if one.get("role") == "img")
    assert all(one.get("role") == "img" or one.get("aria-hidden") for one in told.named("svg"))
    assert len(told.named("input")) == len(told.named("label"))
    assert {"viewport", "color-scheme"} <= set(told.values("name"))


def test_what_users_wrote_is_text(tmp_path):
    contents = contents_of(tmp_path, classes=(HOSTILE, "b"), problems=[HOSTILE], name=HOSTILE)
    text = page(contents)
    assert "<script" not in text
    assert "<b>alert" not in text
    assert HOSTILE in Page(text).text


def test_names_that_are_no_unicode_can_be_written(tmp_path):
    write_report(contents_of(tmp_path, name="caf\udce9"), tmp_path / "report.html")
    assert "caf\\udce9" in Page((tmp_path / "report.html").read_text()).text


def test_the_verdict_comes_first_with_its_interval(tmp_path):
    contents = contents_of(tmp_path, images=16)
    diagnosis = contents.judged.diagnosis
    html = page(contents)
    assert INTERVAL_BAR in html
    text = Page(html).text
    low, high = diagnosis.intervals.ap50
    first = text.partition("What stands out")[0]
    assert f"{diagnosis.metrics.ap50:.3f} AP50 on test: 16 images, 30 objects" in first
    assert f"95 % interval {low:.3f} – {high:.3f}" in first
    assert "scratchdet_nano with 1.3 M parameters, trained from random weights on 16" in first
    assert "BatchNorm over 16 images" in first
    assert "no external weights" in first


@pytest.mark.parametrize(("images", "told"), [(1, "1 image"), (6, "6 images")])
def test_from_few_images_no_interval_is_told_and_that_is_said(tmp_path, images, told):
    html = page(contents_of(tmp_path, images=images))
    text = Page(html).text
    assert f"no 95 % interval: it cannot be told from {told}" in text
    assert INTERVAL_BAR not in html
    assert "nan –" not in text


def test_images_that_chose_the_model_are_called_that(tmp_path):
    recipe = differing(Recipe(), data={"test_split": ""}, schedule={"steps": 60})
    chosen = Page(page(contents_of(tmp_path, recipe=recipe))).text
    assert "which also chose the model" in chosen
    assert "which also chose the model" not in Page(page(contents_of(tmp_path))).text


def test_what_is_left_out_is_said_with_its_reason(tmp_path):
    whole = sections_of(contents_of(tmp_path))
    assert {"accuracy", "pictures", "training", "time"} <= whole
    contents = contents_of(tmp_path, judged=None, not_judged="the data have moved", log=[])
    assert sections_of(contents) == {"findings", "data", "origin"}
    text = Page(page(contents)).text
    assert "Pictures: the data have moved." in text
    assert "Training: the log has no step yet." in text


def test_a_run_that_goes_on_says_how_far_it_is(tmp_path):
    recipe = differing(Recipe(), schedule={"steps": 500})
    assert (
        "60 steps of 32 images so far, of 500"
        in Page(page(contents_of(tmp_path, figures={}, recipe=recipe))).text
    )


def test_figures_of_an_end_before_the_extension_do_not_finish_a_run(tmp_path):
    contents = contents_of(tmp_path)
    longer = differing(contents.recipe, schedule={"steps": 90, "extended_at": (60,)})
    text = Page(page(contents_of(tmp_path, recipe=longer))).text
    assert "60 steps of 16 images so far, of 90" in text


def test_one_of_anything_is_no_plural(tmp_path):
    recipe = differing(Recipe(), data={"batch": 1}, schedule={"steps": 60})
    text = Page(page(contents_of(tmp_path, recipe=recipe, images=1, step=1))).text
    assert "1 step of 1 image" in text
    assert not re.search(r"\b1 (images|steps|detections)\b", text)


def test_averaged_and_raw_weights_are_compared(tmp_path):
    text = Page(page(contents_of(tmp_path))).text
    assert "averaged weights raw weights" in text
    assert "Averaging the weights changed AP50 by +0.100 (raw weights: 0.500)" in text
    old = [{"step": 20, "evaluation": {"ap50": 0.25}}]
    assert "raw weights" not in Page(page(contents_of(tmp_path, log=[*LOG, *old]))).text


def test_a_forecast_is_drawn_and_told(tmp_path):
    ahead = {"ap50": 0.7, "low": 0.6, "high": 0.75, "step": 100, "plateau": 90}
    log = [*LOG, {"step": 60, "evaluation": {"ap50": 0.5}, "forecast": ahead}]
    text = Page(page(contents_of(tmp_path, log=log))).text
    assert "Expected at step 100: AP50 0.700 (0.600 – 0.750" in text
    assert "forecast" in text
    longer = {"ap50": 0.02, "low": 0.01, "high": 0.03, "step": 120}
    log = [*LOG, {"step": 60, "evaluation": {"ap50": 0.5}, "if_longer": longer}]
    assert "With 120 steps it is expected to gain 0.020" in page(contents_of(tmp_path, log=log))


def test_evaluations_without_objects_have_no_figure(tmp_path):
    log = [*LOG, {"step": 60, "evaluation": {"ap50": None}}]
    text = Page(page(contents_of(tmp_path, log=log))).text
    assert "Validation AP50" not in text


def test_a_run_that_learned_nothing_is_not_praised(tmp_path):
    log = [*LOG, *({"step": step, "evaluation": {"ap50": 0.0}} for step in (20, 40))]
    text = Page(page(contents_of(tmp_path, log=log))).text
    assert "Validation AP50 was 0 at every evaluation" in text
    assert "was the best" not in text


def test_what_the_log_tells_of_the_network_is_drawn_block_by_block(tmp_path):
    told = {"gradient/stem": 0.5, "gradient/head": 0.25, "update/stem": 1e-3, "dead_relus": 0.01}
    log = [record | told for record in LOG]
    text = Page(page(contents_of(tmp_path, log=log))).text
    assert "Gradient of each block, L2 norm stem head" in text
    assert "ReLU channels that are always 0" in text
    assert "network" not in sections_of(contents_of(tmp_path))


def test_gradients_are_drawn_where_they_were_analysed(tmp_path):
    record = {"step": 20, "step_sizes": [0.1, 0.2], "loss": 3.0, "losses": [2.0, None]}
    record |= {"distances": [0.5, None], "smoothness": None, "gradient_norm": 1.0, "blocks": {}}
    text = Page(page(contents_of(tmp_path, gradients=[record, record | {"step": 40}]))).text
    assert "Loss along the gradient" in text
    assert "β-smoothness" not in text, "nothing finite is known of it"


def test_every_class_has_its_figures_and_many_are_folded(tmp_path):
    text = page(contents_of(tmp_path, classes=(*FORTY, "last")))
    assert "All 41 classes" in text
    assert len(re.findall('<th scope="row">class ', text)) >= 40


def test_few_classes_have_a_matrix_and_many_a_list(tmp_path):
    assert 'class="matrix"' in page(contents_of(tmp_path))
    many = page(contents_of(tmp_path, classes=FORTY))
    assert 'class="matrix"' not in many
    assert "No class is taken for another." in many


def test_the_command_repeats_the_run(tmp_path):
    text = Page(page(contents_of(tmp_path, name="my cells"))).text
    assert "scratchdet train /data/cells --recipe 'runs/my cells/recipe.toml'" in text
    two = {"figures": {"processes": 2, "ap50": None}}
    assert "recipe.toml --devices 2" in Page(page(contents_of(tmp_path, **two))).text


def test_problems_are_listed_and_many_are_counted(tmp_path):
    assert "1 problem in the data" in page(contents_of(tmp_path))
    many = contents_of(tmp_path, problems=[f"{number}.jpg: gone" for number in range(500)])
    text = page(many)
    assert "500 problems in the data" in text
    assert "And 480 more" in text
    assert "499.jpg" not in text


def test_what_the_check_found_is_told(tmp_path):
    kind = {"number": 3, "level": "warning", "what": "boxes without area", "training": "drops them"}
    group = {"objects": 8, "matched": 6, "share": 0.75}
    priors = {"objects": 8, "matched": 6, "iou": 0.5, "per_class": {"a": group, "b": {}}}
    priors |= {"per_size": {"< 8": group}, "idle_levels": [5]}
    found = {"coverage": {"training": priors}, "fit": None}
    check = {"hygiene": {"kinds": {"k": kind}}, "priors": found, "later": [1]}
    text = Page(page(contents_of(tmp_path, check=check))).text
    assert "boxes without area 3 warning drops them" in text
    assert "Of 8 training objects 6 (75.0 %) overlap some prior by IoU 0.5" in text
    assert "a 8 6 75.0 %" in text
    assert "< 8 8 6 75.0 %" in text
    assert "Levels whose priors match no object: 5." in text
    assert "Priors" not in page(contents_of(tmp_path, check={"priors": {}, "hygiene": {}}))
    priors |= {"objects": 30_000, "sampled": 8}
    text = Page(page(contents_of(tmp_path, check=check))).text
    assert "Of a sample of 8 of 30,000 training objects 6 (75.0 %) overlap" in text


def test_a_share_counts_what_is_not_ignored():
    share = share_of(from_records([], ("a", "b")), use="test", split="test")
    assert share == ("test", "test", 0, 0, {"a": 0, "b": 0})


def test_a_report_stays_small_however_many_classes(tmp_path):
    """LVIS has 1,203; each takes a row, but not a line of a chart."""
    names = tuple(f"class {number}" for number in range(1203))
    assert len(page(contents_of(tmp_path, classes=names, images=40))) < 1_500_000


def test_a_report_stays_small_however_long_the_run(tmp_path):
    """What cannot be seen is not written."""
    log = [LOG[0] | {"step": step, "loss": float(np.sin(step))} for step in range(10, 100_000, 10)]
    contents = contents_of(tmp_path, log=log, images=40)
    assert len(page(contents)) < 700_000
