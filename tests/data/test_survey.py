"""What a survey finds out about image files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scratchdet.data import survey as survey_module
from scratchdet.data.formats import read_data
from scratchdet.data.images import read_image
from scratchdet.data.survey import (
    AHEAD,
    LEAST_RELATIVE_STD,
    LEAST_STD,
    survey_images,
    usable_images,
)
from scratchdet.structures import DataError, Record, from_records

BOX = np.array([[2, 4, 10, 20]], np.float32)


def data_of(files):
    """One record for every (path, annotated size)."""
    return from_records(
        [
            Record(path.stem, path, size, BOX, np.zeros(1, np.int64), np.zeros(1, bool))
            for path, size in files
        ],
        ("a",),
    )


def usable(data, *, on_bad_box="drop", **wanted):
    """What a survey of `data` leaves of it."""
    return usable_images(data, survey_images(data, threads=2, **wanted), on_bad_box=on_bad_box)


def save(path, pixels):
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def random_images(tmp_path):
    rng = np.random.default_rng(3)
    sizes = [(40, 30), (8, 50), (64, 64)]
    pixels = [rng.integers(0, 60 * (i + 2), (h, w, 3), np.uint8) for i, (w, h) in enumerate(sizes)]
    files = [(save(tmp_path / f"{i}.png", p), sizes[i]) for i, p in enumerate(pixels)]
    return files, pixels


def test_a_survey_of_no_images_normalises_nothing():
    survey = survey_images(data_of([]), threads=2)
    assert len(survey.sizes) == len(usable_images(data_of([]), survey)) == 0
    assert survey.channels == 3
    assert survey.mean.tolist() == [0, 0, 0]
    assert survey.std.tolist() == [1, 1, 1]


def test_mean_and_spread_are_those_of_all_pixels_in_rgb_order(random_images):
    files, pixels = random_images
    survey = survey_images(data_of(files), threads=2)
    everything = np.concatenate([p.reshape(-1, 3) for p in pixels]).astype(np.float64)
    np.testing.assert_allclose(survey.mean, everything.mean(axis=0))
    np.testing.assert_allclose(survey.std, everything.std(axis=0))
    found = usable_images(data_of(files), survey)
    assert found.problems == ()
    np.testing.assert_array_equal(found.boxes, np.tile(BOX, (3, 1)))


@pytest.mark.parametrize("pixel", [(9, 0, 200), (0, 0, 0)])
def test_a_constant_channel_has_a_spread_that_can_be_divided_by(tmp_path, pixel):
    pixels = np.full((30, 40, 3), pixel, np.uint8)
    survey = survey_images(data_of([(save(tmp_path / "a.png", pixels), (40, 30))]), threads=1)
    np.testing.assert_allclose(survey.mean, pixel)
    assert survey.std.tolist() == [LEAST_STD] * 3


def test_images_that_cannot_be_used_can_be_an_error_that_names_them(random_images, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    turned = (random_images[0][1][0], (50, 8))
    doubled = (random_images[0][0][0], (20, 15))
    data = data_of([(broken, (40, 30)), turned, doubled])
    with pytest.raises(DataError, match="2 problems") as caught:
        usable(data, on_bad_box="error")
    assert str(broken) in str(caught.value)
    assert "8x50, but annotated as 50x8" in str(caught.value)
    fine = data_of([doubled])  # a mere remark
    assert len(usable(fine, on_bad_box="error")) == 1


def test_areas_of_masks_go_with_their_objects_and_images(random_images, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    (whole, size), (halved, _), _ = random_images[0]
    masks = np.array([7.0, 100.0, 10.0])
    data = replace(data_of([(broken, (40, 30)), (whole, size), (halved, (4, 25))]), areas=masks)
    found = usable(data)
    assert found.areas.tolist() == [100, 40]
    assert found.sizes.tolist() == [[40, 30], [8, 50]]
    np.testing.assert_array_equal(found.boxes, np.concatenate([BOX, BOX * 2]))
    assert usable(replace(data, areas=None)).areas is None


def test_images_are_not_queued_long_before_they_are_decoded(random_images, monkeypatch):
    taken, most = [], []
    data = data_of(random_images[0] * 20)
    monkeypatch.setattr(
        type(data), "__iter__", lambda self: (taken.append(i) or self[i] for i in range(len(self)))
    )
    survey_images(
        data, threads=2, progress=lambda done, _: most.append(len(taken) - done), channels=3
    )
    assert len(taken) == 60
    assert max(most) < 2 * AHEAD


def test_data_without_faults_are_not_rebuilt(random_images, monkeypatch):
    data = data_of(random_images[0])
    monkeypatch.setattr(survey_module, "_judge", None)
    assert usable(data) is data


def test_the_number_of_threads_changes_nothing(random_images):
    data = data_of(random_images[0] * 4)
    one, many = survey_images(data, threads=1), survey_images(data, threads=7)
    assert one.mean.tobytes() == many.mean.tobytes()
    assert one.std.tobytes() == many.std.tobytes()
    assert one.sizes.tolist() == many.sizes.tolist() == data.sizes.tolist()


def test_files_that_are_all_grey_have_one_channel(tmp_path):
    grey = save(tmp_path / "grey.png", np.full((30, 40), 7, np.uint8))
    colour = save(tmp_path / "colour.png", np.full((30, 40, 3), 7, np.uint8))
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"")
    files = [(grey, (40, 30)), (broken, (40, 30))]
    assert survey_images(data_of(files), threads=1).channels == 1
    assert survey_images(data_of([*files, (colour, (40, 30))]), threads=1).channels == 3
    asked = survey_images(data_of(files), threads=1, channels=3)
    assert asked.channels == 3
    assert asked.mean.round(9).tolist() == [7, 7, 7]


def test_unreadable_images_are_dropped_and_named(random_images, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    found = usable(data_of([(broken, (40, 30)), *random_images[0]]))
    assert list(found.ids) == ["0", "1", "2"]
    assert found.num_objects == 3
    (problem,) = found.problems
    assert problem.where == str(broken)
    assert problem.action == "image dropped"


def save_bands(path, channels, dtype, *, seed=0):
    rng = np.random.default_rng(seed)
    pixels = (rng.normal(3000, 400, (30, 40, channels)) - 2 * seed).astype(dtype)
    np.save(path, pixels)
    return path, pixels


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 10, 426])
def test_mean_and_spread_of_any_bands_are_those_of_all_pixels(tmp_path, channels, dtype):
    saved = [save_bands(tmp_path / f"{i}.npy", channels, dtype, seed=i) for i in range(3)]
    survey = survey_images(data_of([(path, (40, 30)) for path, _ in saved]), threads=2)
    everything = np.concatenate([p.reshape(-1, channels) for _, p in saved]).astype(np.float64)
    assert (survey.channels, survey.dtype, survey.is_rgb) == (channels, dtype, False)
    np.testing.assert_allclose(survey.mean, everything.mean(axis=0))
    np.testing.assert_allclose(survey.std, everything.std(axis=0))


@pytest.mark.parametrize(
    ("dtype", "value", "std"),
    [("int16", -500, LEAST_STD), ("float32", 300, 300 * LEAST_RELATIVE_STD), ("float32", 0, 1)],
)
def test_a_constant_band_has_a_spread_in_units_of_its_pixels(tmp_path, dtype, value, std):
    np.save(tmp_path / "a.npy", np.full((30, 40, 2), value, dtype))
    survey = survey_images(data_of([(tmp_path / "a.npy", (40, 30))]), threads=1)
    np.testing.assert_allclose(survey.std, [std] * 2)


def test_a_small_spread_around_zero_is_no_constant(tmp_path):
    np.save(tmp_path / "a.npy", np.tile(np.float32([-0.25, 0.25]), (30, 20)))
    survey = survey_images(data_of([(tmp_path / "a.npy", (40, 30))]), threads=1)
    assert (survey.mean.tolist(), survey.std.tolist()) == ([0.0], [0.25])


def test_images_of_different_channels_are_an_error_that_lists_the_rare_ones(tmp_path):
    files = [(save_bands(tmp_path / f"{i}.npy", 4, "uint8")[0], (40, 30)) for i in range(7)]
    odd, _ = save_bands(tmp_path / "odd.npy", 10, "uint8")
    with pytest.raises(DataError, match="different numbers of channels") as caught:
        survey_images(data_of([*files, (odd, (40, 30))]), threads=1)
    rare, common = str(caught.value).splitlines()[1:]
    assert rare == f"  10 channels (1): {odd}"
    assert common.startswith("  4 channels (7): ")
    assert common.count(".npy") == 5
    assert common.endswith(", ...")


def test_grey_is_mixed_with_rgb_but_not_with_three_bands(tmp_path):
    grey = save(tmp_path / "grey.png", np.full((30, 40), 100, np.uint8))
    colour = save(tmp_path / "colour.png", np.full((30, 40, 3), (10, 20, 30), np.uint8))
    three, _ = save_bands(tmp_path / "three.npy", 3, "uint8")
    mixed = survey_images(data_of([(grey, (40, 30)), (colour, (40, 30))]), threads=1)
    assert (mixed.channels, mixed.is_rgb) == (3, True)
    np.testing.assert_allclose(mixed.mean, [55, 60, 65])
    np.testing.assert_allclose(mixed.std, [45, 40, 35])
    with pytest.raises(DataError, match="different numbers of channels"):
        survey_images(data_of([(grey, (40, 30)), (three, (40, 30))]), threads=1)


def test_a_grey_file_that_was_saved_as_rgb_is_one_channel_of_its_image(tmp_path):
    """DeepPCB has such: three of its 107 pairs."""
    levels = np.random.default_rng(0).integers(0, 256, (30, 40), np.uint8)
    grey = save(tmp_path / "grey.png", levels)
    rgb = save(tmp_path / "rgb.png", np.dstack([levels] * 3))
    pairs = [f"{grey}|{grey}", f"{grey}|{grey}", f"{rgb}|{grey}"]
    data = data_of([(Path(pair), (40, 30)) for pair in pairs])
    survey = survey_images(data, threads=2)
    assert (survey.channels, survey.is_rgb) == (2, False)
    found = usable_images(data, survey)
    assert len(found) == 3
    np.testing.assert_allclose(survey.mean, [levels.mean()] * 2)
    (problem,) = found.problems
    assert (problem.where, problem.action) == (pairs[2], "kept")
    pixels = read_image(pairs[2], channels=2)
    np.testing.assert_array_equal(pixels, np.dstack([levels] * 2))
    mostly_rgb = [f"{rgb}|{grey}", f"{rgb}|{grey}", f"{grey}|{grey}"]
    with pytest.raises(DataError, match="different numbers of channels"):
        survey_images(data_of([(Path(pair), (40, 30)) for pair in mostly_rgb]), threads=2)


def test_pixels_of_different_types_are_an_error(tmp_path):
    grey = save(tmp_path / "grey.png", np.zeros((30, 40), np.uint8))
    deep = save(tmp_path / "deep.png", np.full((30, 40), 4000, np.uint16))
    with pytest.raises(DataError, match="different types") as caught:
        survey_images(data_of([(grey, (40, 30)), (deep, (40, 30))]), threads=1)
    assert f"uint16 (1): {deep}" in str(caught.value)


def test_images_of_another_type_than_asked_for_cannot_be_used(tmp_path):
    deep = save(tmp_path / "deep.png", np.full((30, 40), 4000, np.uint16))
    found = usable(data_of([(deep, (40, 30))]), channels=1, dtype="uint8")
    assert len(found) == 0
    assert found.problems[0].what.startswith("its pixels are uint16; uint8 is wanted (convert it")


def test_boxes_of_an_image_resized_after_annotation_are_resized_too(tmp_path):
    path = save(tmp_path / "a.png", np.zeros((60, 80, 3), np.uint8))
    found = usable(data_of([(path, (40, 30))]))
    assert found[0].size == (80, 60)
    assert found.boxes.tolist() == [[4, 8, 20, 40]]
    assert "80x60, but annotated as 40x30" in found.problems[0].what
    assert BOX.tolist() == [[2, 4, 10, 20]]


def test_an_image_of_another_shape_than_annotated_is_dropped(tmp_path):
    path = save(tmp_path / "a.png", np.zeros((60, 80, 3), np.uint8))
    found = usable(data_of([(path, (30, 40))]))
    assert len(found) == 0
    assert found.problems[0].action == "image dropped"


def test_progress_is_told_after_every_image(random_images):
    told = []
    survey_images(data_of(random_images[0]), threads=2, progress=lambda *now: told.append(now))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_the_thermal_frames_have_one_channel(shared):
    data = read_data(shared / "data/hit_uav_mini", split="test")
    survey = survey_images(data, threads=2)
    assert (survey.channels, len(usable_images(data, survey))) == (1, 26)
    assert usable_images(data, survey).problems == ()
