"""Priors: equal to those of the Caffe release, and right for any other input."""

from math import sqrt

import numpy as np
import pytest
import torch

from scratchdet.ops.priors import PriorSpec, changed_specs, make_priors, ssd_specs

SSD300_RATIOS = ((2.0,), (2.0, 3.0), (2.0, 3.0), (2.0, 3.0), (2.0,), (2.0,))
SSD300_STEPS = (8.0, 16.0, 32.0, 64.0, 100.0, 300.0)
SSD300_MAPS = ((38, 38), (19, 19), (10, 10), (5, 5), (3, 3), (1, 1))


def caffe_prior_box(*, min_size, max_size, ratios, step, rows, columns, height, width):
    """The priors of one level as the release's PriorBoxLayer describes them, in plain loops.

    xyxy, as fractions. Aspect ratio 1 comes first and is not repeated; with `flip` every ratio is
    followed by its inverse; `step` 0 means the image's size over the map's.
    """
    all_ratios = [1.0]
    for ratio in ratios:
        all_ratios += [ratio, 1.0 / ratio]
    boxes = []
    for row in range(rows):
        for column in range(columns):
            centre_x = (column + 0.5) * (step or width / columns)
            centre_y = (row + 0.5) * (step or height / rows)

            def add(box_width, box_height, x=centre_x, y=centre_y):
                boxes.append(
                    [
                        (x - box_width / 2) / width,
                        (y - box_height / 2) / height,
                        (x + box_width / 2) / width,
                        (y + box_height / 2) / height,
                    ]
                )

            add(min_size, min_size)
            if max_size:
                add(sqrt(min_size * max_size), sqrt(min_size * max_size))
            for ratio in all_ratios:
                if abs(ratio - 1.0) >= 1e-6:
                    add(min_size * sqrt(ratio), min_size / sqrt(ratio))
    return np.array(boxes)


def as_xyxy(priors):
    priors = priors.double().numpy()
    return np.concatenate(
        [priors[:, :2] - priors[:, 2:] / 2, priors[:, :2] + priors[:, 2:] / 2], axis=1
    )


def test_one_location_by_hand():
    spec = PriorSpec(min_size=20.0, max_size=80.0, ratios=(4.0,), step=None)
    assert spec.shapes() == [(20.0, 20.0), (40.0, 40.0), (40.0, 10.0), (10.0, 40.0)]
    priors = make_priors([spec], [(1, 1)], (100, 200))
    expected = [[0.5, 0.5, w / 200, h / 100] for w, h in spec.shapes()]
    torch.testing.assert_close(priors, torch.tensor(expected))


def test_locations_go_row_by_row_at_half_steps():
    spec = PriorSpec(min_size=10.0, ratios=(), step=8.0)
    priors = make_priors([spec], [(2, 3)], (16, 24))
    centres = [(x / 24, y / 16) for y in (4, 12) for x in (4, 12, 20)]
    torch.testing.assert_close(priors[:, :2], torch.tensor(centres))


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        (PriorSpec(min_size=10.0, ratios=()), 1),
        (PriorSpec(min_size=10.0), 3),
        (PriorSpec(min_size=10.0, max_size=20.0), 4),
        (PriorSpec(min_size=10.0, max_size=20.0, ratios=(2.0, 3.0)), 6),
    ],
)
def test_the_length_of_a_spec_is_the_number_of_its_shapes(spec, count):
    assert len(spec) == len(spec.shapes()) == count
    assert len(make_priors([spec], [(3, 2)], (30, 20))) == 6 * count


def test_sizes_follow_the_release():
    specs = ssd_specs(300, ratios=SSD300_RATIOS, steps=SSD300_STEPS)
    assert [spec.min_size for spec in specs] == pytest.approx([30, 60, 111, 162, 213, 264])
    assert [spec.max_size for spec in specs] == pytest.approx([60, 111, 162, 213, 264, 315])
    assert [len(spec) for spec in specs] == [4, 6, 6, 6, 4, 4]


def test_ssd300_equals_the_release():
    specs = ssd_specs(300, ratios=SSD300_RATIOS, steps=SSD300_STEPS)
    priors = make_priors(specs, SSD300_MAPS, (300, 300))
    sizes = (30, 60, 111, 162, 213, 264, 315)
    expected = [
        caffe_prior_box(
            min_size=sizes[level],
            max_size=sizes[level + 1],
            ratios=SSD300_RATIOS[level],
            step=SSD300_STEPS[level],
            rows=rows,
            columns=columns,
            height=300,
            width=300,
        )
        for level, (rows, columns) in enumerate(SSD300_MAPS)
    ]
    assert priors.shape == (8732, 4)
    assert priors.dtype == torch.float32
    np.testing.assert_allclose(as_xyxy(priors), np.concatenate(expected), atol=1e-6)


@pytest.mark.parametrize("step", [None, 16.0])
@pytest.mark.parametrize(("rows", "columns"), [(4, 7), (7, 4), (1, 5)])
def test_non_square_inputs_equal_the_release(rows, columns, step):
    spec = PriorSpec(min_size=33.0, max_size=70.0, ratios=(2.0, 3.0), step=step)
    priors = make_priors([spec], [(rows, columns)], (60, 110))
    expected = caffe_prior_box(
        min_size=33.0,
        max_size=70.0,
        ratios=(2.0, 3.0),
        step=step,
        rows=rows,
        columns=columns,
        height=60,
        width=110,
    )
    np.testing.assert_allclose(as_xyxy(priors), expected, atol=1e-6)


def test_priors_that_reach_outside_are_not_clipped():
    priors = as_xyxy(make_priors([PriorSpec(min_size=90.0)], [(3, 3)], (100, 100)))
    assert priors.min() < -0.2
    assert priors.max() > 1.2


def test_levels_follow_one_another():
    fine, coarse = PriorSpec(min_size=10.0), PriorSpec(min_size=50.0, ratios=())
    both = make_priors([fine, coarse], [(2, 2), (1, 1)], (64, 64))
    apart = [make_priors([fine], [(2, 2)], (64, 64)), make_priors([coarse], [(1, 1)], (64, 64))]
    assert torch.equal(both, torch.cat(apart))


def test_a_map_without_a_spec_is_refused():
    with pytest.raises(ValueError, match="1 prior specs for 2 feature maps"):
        make_priors([PriorSpec(min_size=10.0)], [(2, 2), (1, 1)], (64, 64))


@pytest.mark.parametrize("levels", [1, 2])
def test_few_levels_have_sizes_too(levels):
    specs = ssd_specs(200, ratios=((2.0,),) * levels, steps=(None,) * levels)
    assert [spec.min_size for spec in specs] == pytest.approx([20.0, 40.0][:levels])


NANO = ssd_specs(160, ratios=((2.0,),) * 2, steps=(8.0, None))


def test_other_scales_are_shares_of_the_side_and_levels_keep_their_locations_and_ratios():
    first, second = changed_specs(NANO, side=200, scales=(0.05, 0.2, 0.8))
    assert (first.min_size, first.max_size) == pytest.approx((10.0, 40.0))
    assert (second.min_size, second.max_size) == pytest.approx((40.0, 160.0))
    assert [(spec.step, spec.ratios) for spec in (first, second)] == [(8.0, (2.0,)), (None, (2.0,))]
    assert first.shapes()[1] == pytest.approx((20.0, 20.0))


def test_other_ratios_are_those_of_every_level_and_sizes_stay():
    changed = changed_specs(NANO, side=160, ratios=(1.5, 3.0))
    assert [spec.ratios for spec in changed] == [(1.5, 3.0)] * 2
    assert [spec.min_size for spec in changed] == [spec.min_size for spec in NANO]
    assert [len(spec) for spec in changed] == [6, 6]


def test_nothing_else_is_the_same_specs():
    assert changed_specs(NANO, side=160) == NANO
    assert changed_specs((), side=160) == ()


def test_ssd_s_own_scales_are_ssd_s_own_specs():
    scales = (0.1, 0.2, 0.37, 0.54, 0.71, 0.88, 1.05)
    specs = ssd_specs(300, ratios=SSD300_RATIOS, steps=SSD300_STEPS)
    changed = changed_specs(specs, side=300, scales=scales)
    assert [spec.min_size for spec in changed] == pytest.approx([spec.min_size for spec in specs])
    assert [spec.max_size for spec in changed] == pytest.approx([spec.max_size for spec in specs])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"scales": (0.1, 0.2)}, "prior_scales has 2 values; a network of 2 levels needs 3: one"),
        ({"scales": (0.1, 0.2, 0.3, 0.4)}, "prior_scales has 4 values; a network of 2 levels"),
        ({"scales": (0.1, 0.3, 0.2)}, r"prior_scales is 0\.1 0\.3 0\.2; they must rise"),
        ({"scales": (0.1, 0.1, 0.2)}, "they must rise"),
        ({"scales": (0.0, 0.1, 0.2)}, "they must rise, from more than 0 on"),
        ({"scales": (0.1, 0.2, float("inf"))}, "they must rise"),
        ({"scales": (0.1, float("nan"), 0.2)}, "they must rise"),
        ({"ratios": (2.0, 1.0)}, r"prior_ratios is 2 1; they must be larger than 1"),
        ({"ratios": (0.5,)}, "they must be larger than 1"),
        ({"ratios": (float("nan"),)}, "they must be larger than 1"),
        ({"ratios": (float("inf"),)}, "they must be larger than 1"),
    ],
)
def test_scales_and_ratios_that_cannot_be_are_refused(given, said):
    with pytest.raises(ValueError, match=said):
        changed_specs(NANO, side=160, **given)
