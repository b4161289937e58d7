"""The multibox loss, by hand and by plain loops; and what images without objects teach."""

from math import exp, log

import pytest
import torch
from torchvision.ops import box_convert

from scratchdet.ops.boxes import normalise
from scratchdet.ops.losses import MultiBoxLoss, hardest
from scratchdet.ops.matching import BACKGROUND, match
from scratchdet.structures import Raw, Targets

SIZE = (100, 200)  # height, width
GRID = torch.tensor(  # 3 x 5 priors of a fifth of the width and half of the height
    [[(x + 0.5) / 5, (y + 0.5) / 3, 0.2, 0.5] for y in range(3) for x in range(5)]
)


def targets_of(*images, ignored=()):
    """Targets from one list of (label, box in pixels) for every image; ignored: (image, row)."""
    most = max(map(len, images), default=0)
    boxes = torch.zeros(len(images), most, 4)
    labels = torch.full((len(images), most), -1)
    ignore = torch.zeros(len(images), most, dtype=torch.bool)
    for i, objects in enumerate(images):
        for row, (label, box) in enumerate(objects):
            boxes[i, row] = torch.as_tensor(box)
            labels[i, row] = label
    for place in ignored:
        ignore[place] = True
    return Targets(boxes, labels, ignore)


def raw_of(batch, *, classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, len(GRID), classes + 1, generator=generator)
    offsets = torch.randn(batch, len(GRID), 4, generator=generator)
    return Raw(logits.requires_grad_(), offsets.requires_grad_())


def on_prior(index, *, shift=0.0):
    """The pixels of a prior of the grid, moved right."""
    height, width = SIZE
    box = box_convert(GRID[index], "cxcywh", "xyxy") * torch.tensor([width, height, width, height])
    return box + torch.tensor([shift, 0.0, shift, 0.0])


def some_targets():
    return targets_of(
        [(0, on_prior(0, shift=3.0)), (2, on_prior(7, shift=-5.0)), (1, on_prior(7, shift=4.0))],
        [],
        [(1, on_prior(14))],
        [(2, on_prior(3)), (0, on_prior(9))],
        ignored=[(3, 1)],
    )


def loss_by_loops(raw, targets, *, ratio, minimum):
    """(classification, localisation) with one Python loop per image and prior."""
    matches = match(
        normalise(targets.boxes, SIZE),
        real=targets.labels >= 0,
        ignore=targets.ignore,
        priors=GRID,
    ).tolist()
    height, width = SIZE
    classification = localisation = divisor = matched = 0.0
    for i, of_priors in enumerate(matches):
        negatives, positives = [], 0
        for p, row in enumerate(of_priors):
            logits = raw.logits[i, p].tolist()
            normaliser = log(sum(exp(value) for value in logits))
            if row == BACKGROUND:
                negatives.append(normaliser - logits[0])
            if row < 0:
                continue
            positives += 1
            classification += normaliser - logits[1 + int(targets.labels[i, row])]
            left, top, right, bottom = targets.boxes[i, row].tolist()
            x, y, w, h = GRID[p].tolist()
            wanted = [
                ((left + right) / 2 / width - x) / w / 0.1,
                ((top + bottom) / 2 / height - y) / h / 0.1,
                log((right - left) / width / w) / 0.2,
                log((bottom - top) / height / h) / 0.2,
            ]
            for given, value in zip(raw.offsets[i, p].tolist(), wanted, strict=True):
                error = abs(given - value)
                localisation += error - 0.5 if error > 1 else error * error / 2
        count = int(max(minimum, ratio * positives))
        classification += sum(sorted(negatives, reverse=True)[:count])
        divisor += max(minimum, ratio * positives) / ratio
        matched += positives
    return classification / max(divisor, 1.0), localisation / max(matched, 1.0)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("mining", "minimum"), [("image", 0), ("minimum", 4), ("minimum", 12)])
def test_random_batches_equal_plain_loops(mining, minimum, seed):
    raw, targets = raw_of(4, seed=seed), some_targets()
    loss = MultiBoxLoss(GRID, input_size=SIZE, mining=mining, min_negatives=minimum)(raw, targets)
    classification, localisation = loss_by_loops(raw, targets, ratio=3.0, minimum=minimum)
    assert loss.classification.item() == pytest.approx(classification, rel=1e-4)
    assert loss.localisation.item() == pytest.approx(localisation, rel=1e-4)
    assert loss.total.item() == pytest.approx(classification + localisation, rel=1e-4)


def test_by_hand():
    # Ten priors in a row, the object exactly on the first. Logits are zero but for three negatives,
    # so cross-entropies are ln 2, and for those ln(1 + e^2), ln(1 + e), ln(1 + 1/e).
    priors = torch.tensor([[(x + 0.5) / 10, 0.5, 0.1, 1.0] for x in range(10)])
    logits = torch.zeros(1, 10, 2)
    logits[0, 5, 1], logits[0, 8, 1], logits[0, 2, 1] = 2.0, 1.0, -1.0
    offsets = torch.zeros(1, 10, 4)
    offsets[0, 0] = torch.tensor([0.5, -3.0, 0.0, 0.0])  # smooth L1: 0.125 and 2.5
    offsets[0, 1] = 100.0  # of a negative: does not count
    targets = targets_of([(0, [0.0, 0.0, 20.0, 100.0])])
    loss = MultiBoxLoss(priors, input_size=SIZE, mining="image")(Raw(logits, offsets), targets)
    assert loss.matched.item() == 1
    assert loss.localisation.item() == pytest.approx(2.625, abs=1e-5)
    hardest_three = log(1 + exp(2)) + log(1 + exp(1)) + log(2)
    assert loss.classification.item() == pytest.approx(log(2) + hardest_three, abs=1e-5)


@pytest.mark.parametrize(
    "targets",
    [targets_of([], []), targets_of([(-1, [0, 0, 0, 0])] * 3, [])],
    ids=["without rows", "nothing but padding"],
)
def test_a_batch_without_objects_teaches_background(targets):
    raw = raw_of(2)
    loss = MultiBoxLoss(GRID, input_size=SIZE)(raw, targets)
    loss.total.backward()
    assert torch.isfinite(loss.total)
    assert loss.matched.item() == 0
    assert loss.localisation.item() == 0
    taught = raw.logits.grad.abs().sum(-1) > 0
    assert taught.sum(1).tolist() == [12, 12]  # min_negatives
    assert (raw.logits.grad[taught][:, 0] < 0).all()  # background is to rise
    assert torch.count_nonzero(raw.offsets.grad) == 0


def test_a_batch_without_objects_teaches_nothing_with_the_mining_of_the_release():
    raw = raw_of(2)
    loss = MultiBoxLoss(GRID, input_size=SIZE, mining="image")(raw, targets_of([], []))
    loss.total.backward()
    assert loss.total.item() == 0
    assert torch.count_nonzero(raw.logits.grad) == 0
    assert torch.count_nonzero(raw.offsets.grad) == 0


def test_an_empty_image_beside_others_teaches_only_with_a_minimum():
    targets = targets_of([(0, on_prior(0))], [])
    taught = {}
    for mining in ("image", "minimum"):
        raw = raw_of(2)
        MultiBoxLoss(GRID, input_size=SIZE, mining=mining)(raw, targets).total.backward()
        taught[mining] = (raw.logits.grad.abs().sum(-1) > 0).sum(1).tolist()
    assert taught == {"image": [1 + 3, 0], "minimum": [1 + 12, 12]}


def test_a_batch_of_empty_images_weighs_as_much_as_any_other():
    logits, offsets = torch.zeros(1, len(GRID), 4), torch.zeros(1, len(GRID), 4)
    loss = MultiBoxLoss(GRID, input_size=SIZE)(Raw(logits, offsets), targets_of([]))
    assert loss.classification.item() == pytest.approx(3 * log(4))  # 12 negatives over 12 / 3


def test_no_images_have_no_loss():
    loss = MultiBoxLoss(GRID, input_size=SIZE)(raw_of(0), targets_of())
    assert loss.total.item() == 0


def test_neutral_priors_teach_nothing():
    targets = targets_of([(1, on_prior(7)), (0, on_prior(3))], ignored=[(0, 0)])
    raw = raw_of(1)
    # As wrong as can be: mined first, if it were background.
    raw.logits.data[0, 7] = torch.tensor([-50.0, 0.0, 0.0, 50.0])
    loss = MultiBoxLoss(GRID, input_size=SIZE, min_negatives=1000)(raw, targets)
    loss.total.backward()
    assert loss.matched.item() == 1
    assert torch.count_nonzero(raw.logits.grad[0, 7]) == 0
    assert torch.count_nonzero(raw.offsets.grad[0, 7]) == 0
    others = [p for p in range(len(GRID)) if p != 7]
    assert (raw.logits.grad[0, others].abs().sum(-1) > 0).all()


def test_only_matched_priors_learn_their_boxes():
    raw = raw_of(1)
    MultiBoxLoss(GRID, input_size=SIZE)(raw, targets_of([(2, on_prior(4))])).total.backward()
    assert (raw.offsets.grad[0].abs().sum(-1) > 0).nonzero().flatten().tolist() == [4]


def test_a_perfect_answer_costs_nothing():
    logits = torch.zeros(1, len(GRID), 4)
    logits[..., 0] = 50.0
    logits[0, 4] = torch.tensor([0.0, 0.0, 0.0, 50.0])  # label 2 is column 3
    raw = Raw(logits, torch.zeros(1, len(GRID), 4))
    loss = MultiBoxLoss(GRID, input_size=SIZE)(raw, targets_of([(2, on_prior(4))]))
    assert loss.total.item() == pytest.approx(0.0, abs=1e-4)


def test_more_padding_changes_nothing():
    raw, targets = raw_of(4), some_targets()
    padded = Targets(
        torch.cat([targets.boxes, torch.zeros(4, 5, 4)], dim=1),
        torch.cat([targets.labels, torch.full((4, 5), -1)], dim=1),
        torch.cat([targets.ignore, torch.zeros(4, 5, dtype=torch.bool)], dim=1),
    )
    loss = MultiBoxLoss(GRID, input_size=SIZE)
    assert torch.equal(loss(raw, targets).total, loss(raw, padded).total)


def test_half_precision_is_computed_in_single():
    raw, targets = raw_of(4), some_targets()
    rounded = Raw(raw.logits.detach().bfloat16(), raw.offsets.detach().bfloat16())
    single = Raw(rounded.logits.float(), rounded.offsets.float())
    rounded.logits.requires_grad_()
    loss = MultiBoxLoss(GRID, input_size=SIZE)
    result = loss(rounded, targets)
    assert result.total.dtype == torch.float32
    assert torch.equal(result.total, loss(single, targets).total)
    result.total.backward()
    assert rounded.logits.grad.dtype == torch.bfloat16


def test_arguments_are_not_modified():
    raw, targets, priors = raw_of(4), some_targets(), GRID.clone()
    before = [value.detach().clone() for value in (*raw, *targets)]
    MultiBoxLoss(priors, input_size=SIZE)(raw, targets).total.backward()
    for value, kept in zip((*raw, *targets), before, strict=True):
        assert torch.equal(value, kept)
    assert torch.equal(priors, GRID)


def test_the_hardest_are_taken_in_each_row():
    losses = torch.tensor([[0.1, 0.9, 0.5, 0.7], [3.0, 2.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    among = torch.tensor([[1, 0, 1, 1], [1, 1, 1, 1], [0, 1, 0, 1]], dtype=torch.bool)
    taken = hardest(losses, among=among, count=torch.tensor([2, 0, 9]))
    assert taken.tolist() == [
        [False, False, True, True],
        [False] * 4,
        [False, True, False, True],
    ]


def test_nothing_in_the_loss_waits_for_the_device():
    # A tensor without memory cannot answer how many of its elements are positive.
    with torch.device("meta"):
        priors = torch.rand(50, 4)
        raw = Raw(torch.zeros(2, 50, 3), torch.zeros(2, 50, 4, requires_grad=True))
        labels = torch.zeros(2, 6, dtype=torch.int64)
        targets = Targets(torch.rand(2, 6, 4), labels, torch.zeros(2, 6, dtype=torch.bool))
        loss = MultiBoxLoss(priors, input_size=(32, 32))
        loss(raw, targets).total.backward()
    assert raw.offsets.grad.shape == (2, 50, 4)


@pytest.mark.parametrize("mining", ["image", "minimum"])
def test_the_parts_of_a_batch_add_up_to_it(mining):
    targets = some_targets()
    images = len(targets.labels)
    raw = raw_of(images)
    loss = MultiBoxLoss(GRID, input_size=SIZE, mining=mining)
    whole = loss(raw, targets)
    parts = [slice(0, 1), slice(1, images)]
    assigned = [loss.assign(Targets(*(column[rows] for column in targets))) for rows in parts]
    divisors = sum(part.counts for part in assigned).clamp(min=1.0)
    found = [
        loss(
            Raw(*(column[rows] for column in raw)),
            Targets(*(column[rows] for column in targets)),
            assigned=part,
            divisors=divisors,
        )
        for rows, part in zip(parts, assigned, strict=True)
    ]
    for term in ("classification", "localisation", "matched"):
        total = sum(getattr(one, term) for one in found)
        torch.testing.assert_close(total, getattr(whole, term))
