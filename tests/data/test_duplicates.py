"""Images that are equal, nearly equal, or follow one another."""

import numpy as np
import pytest

from scratchdet.data.duplicates import NEAR, equal_groups, groups_of, near_pairs
from scratchdet.data.frames import following_pairs
from scratchdet.data.looks import BITS, print_of


def random_prints(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 256, (count, BITS // 8), np.uint8)


def flipped(prints: np.ndarray, bits: int, seed: int = 1) -> np.ndarray:
    """Each print with so many of its bits changed."""
    rng = np.random.default_rng(seed)
    changed = np.unpackbits(prints, axis=1)
    for row in changed:
        row[rng.choice(BITS, bits, replace=False)] ^= 1
    return np.packbits(changed, axis=1)


@pytest.mark.parametrize("count", [0, 1])
def test_no_image_and_one_image_have_no_partner(count):
    assert len(near_pairs(random_prints(count)).first) == 0
    assert equal_groups(np.ones((count, 8), np.uint8)) == []
    assert len(following_pairs(["a1"] * count, random_prints(count)).first) == 0


def test_equal_digests_are_groups_and_zero_is_none():
    digests = np.zeros((7, 8), np.uint8)
    digests[[1, 4, 5]], digests[[0, 6]] = 9, 3
    assert [group.tolist() for group in equal_groups(digests)] == [[0, 6], [1, 4, 5]]


@pytest.mark.parametrize("bits", [0, 1, 8, 16])
def test_prints_that_differ_in_few_bits_are_paired(bits):
    prints = random_prints(300)
    pairs = near_pairs(np.concatenate([prints, flipped(prints, bits)]))
    assert pairs.first.tolist() == [*range(300)]
    assert pairs.second.tolist() == [*range(300, 600)]
    assert set(pairs.bits.tolist()) == {bits}


def test_prints_that_differ_in_more_bits_are_not():
    prints = random_prints(300)
    assert len(near_pairs(np.concatenate([prints, flipped(prints, NEAR + 1)])).first) == 0


def test_images_without_structure_have_no_partner():
    assert print_of(np.full((90, 70, 3), 8, np.uint8)).any() == np.False_
    assert len(near_pairs(np.zeros((5, BITS // 8), np.uint8)).first) == 0


def test_what_is_tied_to_what_is_one_group():
    prints = random_prints(2)
    chain = [prints[:1]]
    for seed in range(5):  # each a little further away: the ends are no pair
        chain.append(flipped(chain[-1], 20, seed=seed))
    pairs = near_pairs(np.concatenate([*chain, prints[1:]]))
    assert (0, 5) not in zip(pairs.first, pairs.second, strict=True)
    assert groups_of(pairs, 7).tolist() == [0] * 6 + [6]


def test_ten_thousand_equal_prints_are_one_group_and_not_all_pairs():
    prints = np.repeat(random_prints(1), 10_000, axis=0)
    pairs = near_pairs(prints)
    assert len(pairs.first) == 9_999
    assert not groups_of(pairs, 10_000).any()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_a_print_outlasts_light_noise_and_size(dtype, channels):
    rng = np.random.default_rng(0)
    small = rng.normal(100, 30, (24, 32, channels)).clip(1, 250)
    image = np.kron(small, np.ones((8, 8, 1)))
    other = np.kron(rng.normal(100, 30, (24, 32, channels)).clip(1, 250), np.ones((8, 8, 1)))
    first = print_of(image.astype(dtype))
    brighter = (image * 1.02 + rng.normal(0, 2, image.shape)).clip(0, 255)
    for same in (brighter, image[::2, ::2]):
        assert np.bitwise_count(first ^ print_of(same.astype(dtype))).sum() <= NEAR
    assert np.bitwise_count(first ^ print_of(other.astype(dtype))).sum() > 3 * NEAR


def test_frames_are_neighbours_by_number_with_the_same_name_around_it():
    prints = random_prints(1)
    alike = np.concatenate([prints, flipped(prints, 60), flipped(prints, 60, seed=2), prints])
    names = ["run1_9.jpg", "run1_10.jpg", "run2_11.jpg", "run1_10.png"]
    pairs = following_pairs(names, alike)
    assert [*zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)] == [(0, 1)]
    assert pairs.bits.tolist() == [60]
