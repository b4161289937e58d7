"""The card of a model: Markdown that says what it is, how good, and what it cannot do."""

import re

import pytest
from markdown_it import MarkdownIt
from report_contents import HOSTILE, LOG, Page, contents_of

from scratchdet.analysis.model_card import model_card, write_card
from scratchdet.analysis.report.contents import Contents
from scratchdet.analysis.report.page import page
from scratchdet.recipe import Recipe, differing

MARKDOWN = MarkdownIt("commonmark").enable("table")
NAMES = (HOSTILE, "a|b", "*bold*", "[link](x)", "`code`", "# head", "![i](u)", "1 < 2 & 3", "_x_")


def rendered(card: str) -> str:
    return MARKDOWN.render(card)


def text_of(card: str) -> str:
    """What a reader sees of it."""
    words = re.sub(r"<[^>]*>", " ", rendered(card))
    for name, sign in (("lt", "<"), ("gt", ">"), ("quot", '"'), ("amp", "&")):
        words = words.replace(f"&{name};", sign)
    return " ".join(words.split())


def test_a_run_of_which_nothing_is_known_has_a_card():
    contents = Contents(name="x", recipe=Recipe(), recipe_text="", step=0)
    text = text_of(model_card(contents, step=0, judged=True))
    assert "Nothing was measured" in text
    assert "scratchdet detect" in text


def test_a_card_says_what_how_good_and_where_from(tmp_path):
    contents = contents_of(tmp_path, images=16)
    metrics = contents.judged.diagnosis.metrics
    text = text_of(model_card(contents, step=60, judged=True))
    assert "Finds 2 classes of objects in images, each as a box with a score: a and b." in text
    assert "On 16 images (train) with 30 objects." in text
    low, high = contents.judged.diagnosis.intervals.ap50
    assert f"AP50 {metrics.ap50:.3f} (95 % interval {low:.3f} – {high:.3f})" in text
    assert "which had no part in training" in text
    assert "3 channels, uint8" in text
    assert "160 x 160" in text
    assert "trained from scratch: no external weights" in text
    assert "no external weights are in it" in text
    assert "--min-score 0.50" in text


def test_a_card_tells_no_interval_from_one_image(tmp_path):
    text = text_of(model_card(contents_of(tmp_path, images=1), step=60, judged=True))
    assert "(no 95 % interval: it cannot be told from 1 image)" in text


def test_another_model_of_the_run_has_the_figures_of_its_own_evaluation(tmp_path):
    card = model_card(contents_of(tmp_path), step=40, judged=False)
    assert "AP50 0.400 on the validation images" in text_of(card)
    assert "95 %" not in card
    unknown = model_card(contents_of(tmp_path, log=LOG), step=40, judged=False)
    assert "Nothing was measured" in text_of(unknown)


def test_images_that_chose_the_model_are_called_that(tmp_path):
    recipe = differing(Recipe(), data={"test_split": ""})
    assert "which also chose the model" in model_card(
        contents_of(tmp_path, recipe=recipe), step=60, judged=True
    )


def test_limits_are_read_off_the_data(tmp_path):
    text = text_of(model_card(contents_of(tmp_path), step=60, judged=True))
    assert "Trained on 6 images, which are few" in text
    assert "Fewer than 50 objects to learn from: a and b" in text
    assert "No image without objects" not in text, "one is"
    three = contents_of(tmp_path / "three", classes=tuple("abcdefghij"))
    text = text_of(model_card(three, step=60, judged=True))
    assert "No object to learn from: " in text
    assert "it cannot find them" in text


def test_small_objects_are_counted_at_the_input_size(tmp_path):
    contents = contents_of(tmp_path)
    assert "pixels at the network's input" not in model_card(contents, step=60, judged=True)
    tiny = contents.network._replace(input_size=(24, 24))
    shrunk = contents_of(tmp_path, network=tiny)
    text = text_of(model_card(shrunk, step=60, judged=True))
    # 12 x 16 and 20 x 24 pixels of 48, fed at half their size: 6 x 8 is under 64 square pixels.
    assert "5 objects of 10 that it was measured on are under 8 pixels" in text
    # At twice the width and a quarter of the height the first is 4 pixels high, but 24 x 4.
    flat = contents_of(tmp_path, network=contents.network._replace(input_size=(12, 96)))
    assert "under 8 pixels" not in model_card(flat, step=60, judged=True)


def test_the_learning_rate_is_that_of_the_batch_in_the_card_and_in_the_report(tmp_path):
    contents = contents_of(tmp_path)
    recipe = differing(contents.recipe, optim={"lr": 0.1, "reference_batch": 64})
    scaled = contents_of(tmp_path, recipe=recipe)  # with 16 images a step
    assert "SGD, lr 0.025 at most" in text_of(model_card(scaled, step=60, judged=True))
    assert "SGD, lr 0.025 at most" in Page(page(scaled)).text


def test_fine_tuned_weights_are_not_called_free_of_others(tmp_path):
    recipe = differing(Recipe(), model={"init": "/runs/coco"})
    text = text_of(model_card(contents_of(tmp_path, recipe=recipe), step=60, judged=True))
    assert "fine-tuned from other weights" in text
    assert "no external weights are in it" not in text


@pytest.mark.parametrize("name", NAMES)
def test_names_are_text_whatever_they_are(tmp_path, name):
    contents = contents_of(tmp_path, classes=(name, "b"), name=name, provenance=name)
    plain = contents_of(tmp_path, classes=("plain", "b"), name="plain", provenance="plain")
    card, usual = (rendered(model_card(one, step=60, judged=True)) for one in (contents, plain))
    tags = [re.findall(r"<(/?\w+)", page) for page in (card, usual)]
    assert tags[0] == tags[1], "no name makes markup, nor a cell of a table"
    assert text_of(model_card(contents, step=60, judged=True)).count(name) >= 4


@pytest.mark.parametrize("name", ["https://example.org", "www.example.org", "me@example.org"])
def test_addresses_in_names_are_no_links(tmp_path, name):
    """GitHub makes links of them without any markup."""
    card = model_card(contents_of(tmp_path, classes=(name, "b")), step=60, judged=True)
    assert name not in card
    assert name in text_of(card)


@pytest.mark.parametrize("path", ["/data/a|b", "/data/`x`", "/data/<b>", "/data/a b"])
def test_paths_are_code_in_a_table(tmp_path, path):
    recipe = differing(Recipe(), data={"path": path})
    card = model_card(contents_of(tmp_path, recipe=recipe), step=60, judged=True)
    row = next(line for line in rendered(card).splitlines() if "<code>/data" in line)
    shown = row.replace("&lt;", "<").replace("&gt;", ">")
    assert f"<code>{path}</code>" in shown


def test_a_card_is_written_beside_its_model(tmp_path):
    write_card(contents_of(tmp_path), tmp_path / "best" / "MODEL_CARD.md", step=60, judged=True)
    assert (tmp_path / "best" / "MODEL_CARD.md").read_text().startswith("# cells: scratchdet")
