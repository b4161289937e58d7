"""The error breakdown: every kind by hand, and against a slow transcription of TIDE's rules."""

import math

import pytest
from hand_made import CAT, DOG, ELSEWHERE, FAR, HALF, TEN, THIRD, columns_of, data_of, scenes
from hypothesis import given, settings

from scratchdet.evaluation.errors import KINDS, break_down, classify
from scratchdet.evaluation.metrics import PROTOCOLS, measure

ALL = [*KINDS]


def errors_of(data, *rows, protocol="voc"):
    """The errors, after a look at the AP50 that their costs start from."""
    metrics, verdicts = measure(data, columns_of(*rows), protocol=protocol)
    return metrics.ap50, break_down(data, verdicts, PROTOCOLS[protocol].points)


def numbers(errors) -> dict[str, int]:
    """How many there are of each kind that there is."""
    return {name: cost.number for name, cost in errors.kinds.items() if cost.number}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_images_and_no_objects_have_no_errors_and_no_costs(protocol):
    for data in (data_of(), data_of([]), data_of([(TEN, CAT, True)])):
        _, errors = errors_of(data, protocol=protocol)
        assert numbers(errors) == {}
        assert all(math.isnan(cost.ap50) for cost in errors.rows().values())
    _, errors = errors_of(data_of([]), (0, TEN, 0.9, CAT), protocol=protocol)
    assert numbers(errors) == {"background": 1}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_found_has_no_errors(protocol):
    ap50, errors = errors_of(data_of([(TEN, CAT)]), (0, HALF, 0.9, CAT), protocol=protocol)
    assert ap50 == pytest.approx(1)
    assert numbers(errors) == {}
    assert {cost.ap50 for cost in errors.rows().values()} == {0}


def test_an_object_that_nothing_comes_near_is_missed():
    """One of two cats: AP 0.5, and 1 of the cat that is left."""
    data = data_of([(TEN, CAT), (FAR, CAT)])
    ap50, errors = errors_of(data, (0, TEN, 0.9, CAT))
    assert ap50 == 0.5
    assert numbers(errors) == {"missed": 1}
    assert errors.kinds["missed"].ap50 == errors.false_negatives.ap50 == 0.5
    assert errors.false_positives == (0, 0)


def test_a_class_that_is_missed_altogether_costs_its_share():
    ap50, errors = errors_of(data_of([(TEN, CAT), (FAR, DOG)]), (0, TEN, 0.9, CAT))
    assert ap50 == 0.5
    assert errors.kinds["missed"] == (1, 0.5)


def test_a_detection_where_no_object_is_is_background():
    """It comes before the hit: precision 1/2, and 1 without it."""
    ap50, errors = errors_of(data_of([(TEN, CAT)]), (0, FAR, 0.9, CAT), (0, TEN, 0.8, CAT))
    assert ap50 == 0.5
    assert numbers(errors) == {"background": 1}
    assert errors.kinds["background"] == errors.false_positives == (1, 0.5)


def test_a_second_detection_of_an_object_is_a_duplicate():
    """Between two hits: AP (1 + 2/3) / 2, and 1 without it."""
    data = data_of([(TEN, CAT), (FAR, CAT)])
    ap50, errors = errors_of(data, (0, TEN, 0.9, CAT), (0, HALF, 0.8, CAT), (0, FAR, 0.7, CAT))
    assert ap50 == pytest.approx(5 / 6)
    assert numbers(errors) == {"duplicate": 1}
    assert errors.kinds["duplicate"].ap50 == pytest.approx(1 / 6)


def test_the_right_class_in_the_wrong_place_is_localisation():
    """Put right it is the hit: AP 1. Its object is not missed: the cost is the detection's."""
    ap50, errors = errors_of(data_of([(TEN, CAT)]), (0, THIRD, 0.9, CAT))
    assert ap50 == 0
    assert numbers(errors) == {"localisation": 1}
    assert errors.kinds["localisation"].ap50 == 1
    assert errors.kinds["missed"] == (0, 0)
    assert errors.false_negatives.number == 1


def test_the_right_place_with_the_wrong_class_is_classification():
    """The dog called a cat, before the cat: put right both classes have AP 1, from 1/2 and 0."""
    data = data_of([(TEN, DOG), (FAR, CAT)])
    ap50, errors = errors_of(data, (0, TEN, 0.9, CAT), (0, FAR, 0.8, CAT))
    assert ap50 == 0.25
    assert numbers(errors) == {"classification": 1}
    assert errors.kinds["classification"].ap50 == 0.75
    assert errors.kinds["missed"].number == 0


def test_the_wrong_class_in_the_wrong_place_is_both():
    """It is taken away, not put right; and so its object counts as missed."""
    data = data_of([(TEN, DOG), (FAR, CAT)])
    ap50, errors = errors_of(data, (0, THIRD, 0.9, CAT), (0, FAR, 0.8, CAT))
    assert ap50 == 0.25
    assert numbers(errors) == {"both": 1, "missed": 1}
    assert errors.kinds["both"].ap50 == 0.25
    assert errors.kinds["missed"].ap50 == 0.5


@pytest.mark.parametrize("kind", ["classification", "localisation"])
def test_of_several_that_mean_one_object_the_best_scored_is_put_right(kind):
    """The one hit comes first, the other is taken away: precision 1, recall 1."""
    box, label = {"classification": (TEN, DOG), "localisation": (THIRD, CAT)}[kind]
    rows = [(0, box, 0.9, label), (0, box, 0.8, label)]
    ap50, errors = errors_of(data_of([(TEN, CAT)], classes=("cat", "dog")), *rows)
    assert ap50 == 0
    assert numbers(errors) == {kind: 2}
    assert errors.kinds[kind].ap50 == 1


@pytest.mark.parametrize("kind", ["classification", "localisation"])
def test_what_means_an_object_that_is_found_is_taken_away(kind):
    """Before the hit: precision 1/2, and 1 without it."""
    box, label = {"classification": (TEN, CAT), "localisation": (THIRD, DOG)}[kind]
    data = data_of([(TEN, DOG), (FAR, CAT)])
    rows = [(0, FAR, 0.95, CAT), (0, box, 0.9, label), (0, TEN, 0.8, DOG)]
    ap50, errors = errors_of(data, *rows)
    assert numbers(errors) == {kind: 1}
    assert ap50 + errors.kinds[kind].ap50 == pytest.approx(1)


@pytest.mark.parametrize(
    ("overlap", "kind"),
    [(0.5, None), (0.49, "localisation"), (0.1, "localisation"), (0.09, "background")],
)
def test_the_borders_of_overlap_are_a_half_and_a_tenth(overlap, kind):
    data = data_of([((0, 0, 10, 100), CAT)])
    _, errors = errors_of(data, (0, (0, 0, 10, 100 * overlap), 0.9, CAT))
    found = [name for name in numbers(errors) if name != "missed"]
    assert found == ([kind] if kind else [])


def test_near_an_object_of_its_class_comes_before_at_one_of_another():
    data = data_of([(TEN, DOG), (HALF, CAT)])
    _, errors = errors_of(data, (0, (0, 2, 10, 9), 0.9, CAT))
    assert numbers(errors)["localisation"] == 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_ignored_objects_take_no_part(protocol):
    data = data_of([(TEN, CAT, True), (FAR, CAT)])
    rows = [(0, TEN, 0.9, CAT), (0, TEN, 0.8, DOG), (0, FAR, 0.7, CAT)]
    _, errors = errors_of(data, *rows, protocol=protocol)
    assert numbers(errors) == {"background": 1}  # the dog: no object that counts is there
    assert errors.false_negatives.number == 0


def test_a_cost_is_written_as_none_where_there_is_no_ap():
    _, errors = errors_of(data_of([]))
    assert errors.to_json()["missed"] == {"number": 0, "ap50": None}
    assert [*errors.to_json()] == [*KINDS, "false positives", "false negatives"]


def iou(first, second) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return shared / (sum(areas) - shared)


def kind_by_tide(box, label: int, objects) -> str:
    """Of a false positive, as tidecv's `TIDERun._eval_image` decides, one after the other."""
    own = max((iou(box, one) for one, name in objects if name == label), default=0)
    other = max((iou(box, one) for one, name in objects if name != label), default=0)
    if 0.1 <= own < 0.5:
        return "localisation"
    if other >= 0.5:
        return "classification"
    if own >= 0.5:
        return "duplicate"
    return "background" if max(own, other) <= 0.1 else "both"


@pytest.mark.parametrize("protocol", ["voc", "coco"])
@settings(deadline=None)
@given(scene=scenes())
def test_any_small_case_has_the_kinds_of_a_slow_transcription(protocol, scene):
    data, detections = scene
    _, verdicts = measure(data, detections, protocol=protocol)
    kinds = classify(data, verdicts).kinds
    for row, kind in enumerate(kinds):
        if verdicts.found[0][row] >= 0 or verdicts.ignored[0][row]:
            assert kind == -1
            continue
        record = data[int(verdicts.ranked.image_index[row])]
        real = [
            (box, name)
            for box, name, ignore in zip(
                record.boxes.astype(float), record.labels, record.ignore, strict=True
            )
            if not ignore
        ]
        box = verdicts.ranked.boxes[row].astype(float)
        assert ALL[kind] == kind_by_tide(box, verdicts.ranked.labels[row], real)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@settings(deadline=None)
@given(scene=scenes())
def test_every_false_positive_is_one_error_and_no_cure_costs(protocol, scene):
    data, detections = scene
    metrics, verdicts = measure(data, detections, protocol=protocol)
    errors = break_down(data, verdicts, PROTOCOLS[protocol].points)
    of_detections = [cost.number for name, cost in errors.kinds.items() if name != "missed"]
    assert sum(of_detections) == errors.false_positives.number
    assert errors.kinds["missed"].number <= errors.false_negatives.number
    hits = (verdicts.found[0] >= 0).sum()
    assert errors.false_negatives.number == metrics.num_objects - hits
    for cost in errors.rows().values():
        if not math.isnan(metrics.ap50):
            assert -1e-12 <= cost.ap50 <= 1 - metrics.ap50 + 1e-12


def test_no_detections_at_all_are_all_missed():
    _, errors = errors_of(data_of([(TEN, CAT), (FAR, CAT)], [(ELSEWHERE, DOG)]))
    assert numbers(errors) == {"missed": 3}
    assert errors.kinds["missed"].ap50 == 1
