"""The metadata of an exported network: read as it was written, or refused in words."""

import json
from dataclasses import replace

import pytest

from scratchdet.export.card import Card, from_json, from_strings

CARD = Card(
    form="end-to-end",
    model="scratchdet_nano",
    classes=("Zelle", "größer", 'with "quotes", and commas'),
    input_size=(64, 96),
    dynamic_size=False,
    in_channels=2,
    image_dtype="uint16",
    files="{stem}_a.png,{stem}_b.png",
    channel_order="rgb",
    mean=(0.1, 1234.5),
    std=(1.0, 2.5),
    min_score=0.01,
    top_per_class=400,
    nms_iou=0.45,
    keep=200,
    variances=(0.1, 0.2),
    provenance="trained from scratch",
    recipe='name = "é"\n',
    code="0.1.0",
)


@pytest.mark.parametrize(
    "card",
    [
        CARD,
        replace(CARD, classes=("one",), in_channels=1, mean=(0.0,), std=(1.0,)),
        replace(CARD, form="raw", dynamic_size=True, files="", recipe="", min_score=0),
    ],
)
def test_a_card_is_read_as_it_was_written(card):
    assert from_strings(card.to_strings(), source="x.onnx") == card


def test_what_another_program_wrote_is_said_to_be_no_export_of_ours():
    with pytest.raises(ValueError, match=r"x.onnx was not exported by .* \(format None"):
        from_strings({"producer": "another"}, source="x.onnx")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("form", "half"),
        ("classes", "left, right"),
        ("classes", '"left"'),
        ("input_size", "64"),
        ("dynamic_size", '"yes"'),
        ("keep", "[200]"),
        ("min_score", "null"),
        ("classes", "[]"),
        ("classes", "[1, 2, 3]"),
        ("input_size", "[]"),
        ("input_size", "[0, 0]"),
        ("input_size", "[-240, 320]"),
        ("input_size", "[true, 320]"),
        ("input_size", '["a", "b"]'),
        ("input_size", "[1e8, 1e8]"),
        ("input_size", "[100000000, 100000000]"),
        ("input_size", "[1, 2, 3]"),
        ("in_channels", "0"),
        ("in_channels", "true"),
        ("image_dtype", "uint64"),
        ("channel_order", "rbg"),
        ("keep", "-1"),
        ("keep", "true"),
        ("keep", "9" * 400),
        ("top_per_class", "0"),
        ("min_score", "NaN"),
        ("min_score", "-0.1"),
        ("min_score", "true"),
        ("nms_iou", "Infinity"),
        ("mean", "[1.0, NaN]"),
        ("mean", "[1.0]"),
        ("mean", '["1", "2"]'),
        ("std", "[0.0, 1.0]"),
        ("std", "[1.0, 1.0, 1.0]"),
        ("variances", "[0.1]"),
        ("variances", "[0, 0.2]"),
        ("classes", "[" * 100_000 + "]" * 100_000),
    ],
)
def test_metadata_that_are_damaged_are_refused_in_words(name, value):
    entries = CARD.to_strings() | {name: value}
    with pytest.raises(ValueError, match=r"x.onnx has metadata that cannot be read") as refused:
        from_strings(entries, source="x.onnx")
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("text", ["[]", "5", "nope", '{"format": 1}', "[" * 100_000, None])
def test_what_is_no_json_of_strings_is_refused_by_the_name_of_its_file(text):
    with pytest.raises(ValueError, match=r"^x.xml has metadata that cannot be read"):
        from_json(text, source="x.xml")


def test_a_card_is_read_from_json_as_from_its_entries():
    assert from_json(json.dumps(CARD.to_strings()), source="x.xml") == CARD


def test_a_missing_entry_is_named():
    entries = CARD.to_strings()
    del entries["std"]
    with pytest.raises(ValueError, match=r"cannot be read: .*'std'"):
        from_strings(entries, source="x.onnx")
