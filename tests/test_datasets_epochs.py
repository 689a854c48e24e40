"""What happens to a picture from epoch to epoch: mirrored in turn, and left out at the end of one."""

import numpy as np
import pytest

import npcnn as nn
from npcnn.datasets import TrainingBatches
from npcnn.datasets.steps import describe, from_description, mirror

# Picture n is n at the left and 100 + n at the right: 0 to 9.
PICTURES = np.stack([np.arange(10), 100 + np.arange(10)], axis=1).astype(np.uint8).reshape(10, 1, 2, 1)
LABELS = np.arange(10)


def drawn(count, start=0, seed=0, **options):
    """Return which pictures, and which of them mirrored, are in each of `count` batches."""
    options = {"batch_size": 5, "augment": [mirror(alternate=True)], "steps": [], "seed": seed} | options
    with TrainingBatches(PICTURES, LABELS, start=start, **options) as batches:
        taken = [next(batches) for _ in range(count)]
    for x, labels in taken:
        assert set(x[:, 0, :, 0].sum(axis=1) - 100 - 2 * labels) == {0}  # the picture is its own
    return [(labels, x[:, 0, 0, 0] >= 100) for x, labels in taken]


def test_every_picture_changes_sides_with_every_epoch():
    sides = np.empty((4, 10), bool)
    for number, (labels, mirrored) in enumerate(drawn(8)):
        sides[number // 2, labels] = mirrored
    assert 0 < sides[0].sum() < 10
    for epoch in (1, 2, 3):
        np.testing.assert_array_equal(sides[epoch], ~sides[epoch - 1])


def test_it_depends_on_the_seed_and_the_number_of_the_batch_alone():
    for number, (labels, mirrored) in enumerate(drawn(6)):
        (again, side), *_ = drawn(1, start=number)
        np.testing.assert_array_equal(again, labels)
        np.testing.assert_array_equal(side, mirrored)
    sides = [np.concatenate([m[np.argsort(n)] for n, m in drawn(2, seed=seed)]) for seed in range(6)]
    assert len({tuple(side) for side in sides}) > 1


def test_a_batch_over_the_end_of_an_epoch_has_both_sides():
    # Batches of 4 from 10: the third has the last two of the first epoch, and the first two of the second.
    sides = [np.empty(10, bool), np.empty(10, bool)]
    seen = 0
    for labels, mirrored in drawn(5, batch_size=4):
        for label, side in zip(labels, mirrored, strict=True):
            sides[seen // 10][label] = side
            seen += 1
    np.testing.assert_array_equal(sides[1], ~sides[0])


def test_chosen_pictures_keep_their_sides():
    whole = dict(zip(*np.concatenate([np.stack(b) for b in drawn(2)], axis=1), strict=True))
    for labels, mirrored in drawn(1, only=np.array([1, 3, 5, 7, 9])):
        assert [whole[label] for label in labels] == mirrored.tolist()


def test_without_the_last_short_batch():
    batches = drawn(6, batch_size=3, drop_last=True)  # 3 a time, 9 of 10 an epoch
    for epoch in (batches[:3], batches[3:]):
        seen = np.concatenate([labels for labels, _ in epoch])
        assert len(set(seen)) == 9
    kept = drawn(4, batch_size=3)
    assert len(set(np.concatenate([labels for labels, _ in kept])[:10])) == 10


def test_it_is_described():
    assert describe([mirror(alternate=True), mirror()]) == [{"step": "mirror", "alternate": True}, {"step": "mirror"}]
    assert from_description(describe([mirror(alternate=True)])) == (mirror(alternate=True),)


def test_what_is_refused():
    with pytest.raises(TypeError, match=r"origin must say which pictures these are.*TrainingBatches"):
        nn.datasets.steps.apply([mirror(alternate=True)], PICTURES, np.random.default_rng(0))
    with pytest.raises(TypeError, match="alternate must be"):
        mirror(alternate="yes")
    with pytest.raises(TypeError, match="drop_last must be"):
        TrainingBatches(PICTURES, LABELS, batch_size=5, steps=[], drop_last=2)
