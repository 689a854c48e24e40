"""The steps from pictures to a network's input: each by hand, how they are drawn, described, refused."""

import copy
import json
import pickle

import numpy as np
import pytest

import npcnn as nn
from npcnn.datasets import steps
from npcnn.datasets.steps import (
    apply,
    brightness,
    contrast,
    crop,
    cutout,
    describe,
    from_description,
    mirror,
    random_crop,
    standardise,
)

ALL = [
    crop(3), crop((3, 4)), random_crop(4), random_crop((4, 3), padding=2, mode="edge"),
    random_crop(5, padding=1, mode="constant"), mirror(), brightness(7), contrast(0.5, 1.5), cutout(2), cutout((1, 3)),
    standardise(), standardise(3, 2), standardise((1.5, 2.5), (0.1, 7)), standardise(0, [2, 3]),
]  # fmt: skip
DTYPES = [np.uint8, np.float32]


@pytest.fixture(params=DTYPES)
def images(request, rng):
    """Six pictures of 5 x 6 with two channels."""
    return rng.integers(0, 256, (6, 5, 6, 2), dtype=np.uint8).astype(request.param)


def generator():
    return np.random.default_rng(11)


@pytest.mark.parametrize(
    ("size", "top", "left", "height", "width"), [(3, 1, 1, 3, 3), ((4, 3), 0, 1, 4, 3), (5, 0, 0, 5, 5)]
)
def test_crop_is_the_middle(images, size, top, left, height, width):
    np.testing.assert_array_equal(crop(size)(images), images[:, top : top + height, left : left + width])


@pytest.mark.parametrize(
    ("mode", "row"),
    [("reflect", [3, 2, 1, 2, 3, 4, 3, 2]), ("edge", [1, 1, 1, 2, 3, 4, 4, 4]), ("constant", [0, 0, 1, 2, 3, 4, 0, 0])],
)
def test_random_crop_pads_as_asked(mode, row):
    picture = np.tile(np.array([1, 2, 3, 4], np.uint8), (4, 1))[np.newaxis, ..., np.newaxis]
    padded = random_crop(8, padding=2, mode=mode)(picture, generator())[0, ..., 0]
    np.testing.assert_array_equal(padded[3], row)
    padded = random_crop(8, padding=2, mode=mode)(picture.transpose(0, 2, 1, 3), generator())[0, ..., 0]
    np.testing.assert_array_equal(padded[:, 3], row)


def test_random_crop_cuts_each_picture_anywhere():
    row, column = np.meshgrid(np.arange(12), np.arange(10), indexing="ij")
    picture = np.stack([row, column], axis=-1).astype(np.uint8)
    parts = random_crop((9, 8))(np.broadcast_to(picture, (600, 12, 10, 2)), generator())
    tops, lefts = parts[:, 0, 0, 0], parts[:, 0, 0, 1]
    for part, top, left in zip(parts, tops, lefts, strict=True):
        np.testing.assert_array_equal(part, picture[top : top + 9, left : left + 8])
    assert np.bincount(tops, minlength=4).min() > 100  # of 150 expected
    assert np.bincount(lefts, minlength=3).min() > 140  # of 200 expected
    assert (len(np.bincount(tops)), len(np.bincount(lefts))) == (4, 3)


def test_mirror_swaps_left_and_right_of_about_half(rng):
    images = rng.integers(0, 256, (400, 3, 4, 2), dtype=np.uint8)
    mirrored = mirror()(images, generator())
    swapped = (mirrored != images).any(axis=(1, 2, 3))
    assert 150 < swapped.sum() < 250
    np.testing.assert_array_equal(mirrored[swapped], images[swapped][:, :, ::-1])


def test_brightness_adds_one_number_to_a_picture(images):
    change = brightness(40)(images, generator()) - images
    assert change.dtype == np.float32
    np.testing.assert_allclose(change, np.broadcast_to(change[:, :1, :1, :1], change.shape), atol=1e-4)
    many = brightness(40)(np.zeros((2000, 1, 1, 1), np.uint8), generator())
    assert -40 <= many.min() < -39 < 39 < many.max() <= 40


def test_contrast_scales_each_channel_about_its_mean(images):
    x = contrast(0.5, 1.5)(images, generator())
    means = images.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
    c = (x - means) / (images - means)
    np.testing.assert_allclose(c, np.broadcast_to(c[:, :1, :1, :1], c.shape), rtol=1e-3)
    assert (c > 0.499).all()
    assert (c < 1.501).all()
    assert np.ptp(c) > 0.1


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (4, 4), (99, 99)])
def test_cutout_covers_one_rectangle_with_the_mean(rng, size):
    images = rng.integers(0, 256, (300, 5, 6, 2), dtype=np.uint8)
    height, width = size
    covered = cutout(size)(images, generator())
    means, middles = np.rint(images.mean(axis=(1, 2))), set()
    for before, after, mean in zip(images, covered, means, strict=True):
        candidates = []
        for row in range(5):
            for column in range(6):
                expected = before.copy()
                top, left = row - height // 2, column - width // 2
                expected[max(top, 0) : top + height, max(left, 0) : left + width] = mean
                if (expected == after).all():
                    candidates.append((row, column))
        assert candidates
        if len(candidates) == 1:
            middles.add(candidates[0])
    if size == (1, 1):
        assert len(middles) == 30  # any pixel is the middle of some


def test_standardise_by_fixed_numbers(images):
    one = standardise(100, 50)(images)
    np.testing.assert_allclose(one, (images.astype(np.float64) - 100) / 50, atol=1e-6)
    each = standardise((100, 20), (50, 5))(images)
    np.testing.assert_allclose(each, (images.astype(np.float64) - [100, 20]) / [50, 5], atol=1e-5)
    assert one.dtype == each.dtype == np.float32


def test_standardise_each_picture_by_its_own(images):
    x = standardise()(images)
    np.testing.assert_allclose(x.mean(axis=(1, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(x.std(axis=(1, 2, 3)), 1, atol=1e-6)


@pytest.mark.parametrize("step", ALL, ids=repr)
@pytest.mark.parametrize("order", ["C", "F"])
def test_no_step_changes_what_it_is_given_and_the_generator_decides_all(images, step, order):
    images = np.array(images, order=order)
    before = images.copy()
    one, two = (step(images, generator()) for _ in range(2))
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(one, two)
    assert one.dtype in (np.uint8, np.float32)
    assert len(one) == 6
    assert step(images[:0], generator()).shape[0] == 0
    other = step(images, np.random.default_rng(12))
    assert (other != one).any() == step.random


@pytest.mark.parametrize("step", ALL, ids=repr)
def test_described_through_json_and_back(images, step):
    again = from_description(json.loads(json.dumps(describe([step, mirror()]))))
    assert again == (step, mirror())
    assert again != (step, cutout(7))
    np.testing.assert_array_equal(again[0](images, generator()), step(images, generator()))
    assert eval(repr(step), vars(steps)) == step  # the repr is a call that makes it again


def test_descriptions_are_plain():
    assert describe([crop(24), crop((2, 3)), random_crop(32, padding=4), standardise((1, 2), 4)]) == [
        {"step": "crop", "size": 24},
        {"step": "crop", "size": [2, 3]},
        {"step": "random_crop", "size": 32, "padding": 4, "mode": "reflect"},
        {"step": "standardise", "mean": [1.0, 2.0], "deviation": 4.0},
    ]
    assert describe([]) == []
    assert from_description([]) == ()


def test_a_function_of_ones_own_is_run_but_not_described():
    def halve(images, rng):
        return images / 2

    assert apply([halve], np.full((1, 2, 2, 1), 3, np.uint8))[0, 0, 0, 0] == 1.5
    with pytest.raises(TypeError, match=r"steps\[1\], halve, is a function of your own and cannot be written"):
        describe([mirror(), halve])
    forged = steps.Step("halve", {}, halve)
    with pytest.raises(TypeError, match=r"steps\[0\], halve\(\), is a function of your own"):
        describe([forged])


@pytest.mark.parametrize(
    ("description", "told"),
    [
        ({"step": "crop"}, "must be a list"),
        ("crop", "must be a list"),
        (None, "must be a list"),
        ([{"step": "os.system", "command": "ls"}], "step 0 must name one of crop, random_crop"),
        ([{"step": "apply"}], "must name one of"),
        ([{"size": 3}], "must name one of"),
        ([{"step": ["crop"]}], "must name one of"),
        (["crop"], "must name one of"),
        ([{"step": "crop"}], r"step 0.*wrong arguments.*'size'"),
        ([{"step": "mirror"}, {"step": "crop", "size": 0}], r"step 1.*size must be"),
        ([{"step": "crop", "size": 3, "other": 1}], "other"),
        ([{"step": "crop", "size": "a" * 10_000}], "size must be"),
        ([{"step": "standardise", "mean": [1, float("nan")], "deviation": 1}], r"mean\[1\] must be"),
        ([{"step": "standardise", "mean": {}, "deviation": 1}], "mean"),
    ],
)
def test_a_wrong_description_is_refused(description, told):
    with pytest.raises(nn.DataError, match=told) as caught:
        from_description(description)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (lambda: crop(0), ValueError, "size must be"),
        (lambda: crop((1, 2, 3)), ValueError, "size must be"),
        (lambda: random_crop(3, padding=-1), ValueError, "padding must be"),
        (lambda: random_crop(3, mode="wrap"), ValueError, "mode must be one of reflect, edge, constant, got 'wrap'"),
        (lambda: brightness(-1), ValueError, "most must be"),
        (lambda: brightness(1e300), ValueError, "most must be"),
        (lambda: contrast(1.5, 0.5), ValueError, "high must be"),
        (lambda: contrast(-1, 0.5), ValueError, "low must be"),
        (lambda: cutout("a"), TypeError, "size must be"),
        (lambda: standardise(3), ValueError, "mean and deviation go together"),
        (lambda: standardise(deviation=3), ValueError, "mean and deviation go together"),
        (lambda: standardise(3, 0), ValueError, "deviation must be above 0"),
        (lambda: standardise(3, 1e-300), ValueError, "deviation must be above 0"),
        (lambda: standardise(3, (1, -1)), ValueError, "deviation must be above 0"),
        (lambda: standardise((), 1), ValueError, "mean must be"),
        (lambda: standardise((1, "a"), 1), TypeError, r"mean\[1\] must be"),
        (lambda: standardise(1e39, 1), ValueError, r"mean\[0\] must be"),
        (lambda: standardise((1, 2), (1, 2, 3)), nn.ShapeError, "one length, got 2 and 3"),
    ],
)
def test_wrong_arguments_are_named(call, error, told):
    with pytest.raises(error, match=told):
        call()


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (crop(6), r"crop\(size=6\) needs pictures of at least 6 x 6 pixels, got 5 x 6"),
        (random_crop((5, 9), padding=1), r"random_crop.*at least 5 x 9 pixels, got 7 x 8"),
        (random_crop(3, padding=5), r"mirrors up to 4 pixels of pictures of 5 x 6"),
        (standardise((1, 2, 3), 1), r"standardise.* is for 3 channels, got pictures \(2, 5, 6, 2\)"),
    ],
)
def test_pictures_that_do_not_fit_a_step_are_refused(step, told):
    with pytest.raises(nn.ShapeError, match=told):
        apply([step], np.zeros((2, 5, 6, 2), np.uint8), generator())


@pytest.mark.parametrize("step", [step for step in ALL if step.random], ids=repr)
@pytest.mark.parametrize("generator", [None, 0, np.random.RandomState(0)])
def test_random_steps_need_a_generator(images, step, generator):
    with pytest.raises(TypeError, match=r"rng must be a numpy.random.Generator.*draws at random"):
        step(images, generator)


@pytest.mark.parametrize(
    ("result", "error", "told"),
    [
        (None, TypeError, "must return the pictures as a numpy.ndarray, got NoneType"),
        (np.zeros((2, 5, 6, 2), np.int64), nn.DTypeError, "got int64"),
        (np.zeros((2, 5, 6, 2), np.complex64), nn.DTypeError, "got complex64"),
        (np.zeros((1, 5, 6, 2), np.uint8), nn.ShapeError, r"must return 2 pictures \(N, H, W, C\), got shape \(1, 5"),
        (np.zeros((2, 5, 6), np.uint8), nn.ShapeError, r"got shape \(2, 5, 6\)"),
        (np.zeros((2, 0, 6, 2), np.uint8), nn.ShapeError, r"got shape \(2, 0, 6, 2\)"),
    ],
)
def test_what_a_step_returns_is_checked_and_the_step_named(result, error, told):
    def own(images, rng):
        return result

    with pytest.raises(error, match=f"the step own .*{told}"):
        apply([crop((5, 6)), own], np.zeros((2, 5, 6, 2), np.uint8))


@pytest.mark.parametrize("dtype", DTYPES)
def test_without_steps_only_the_dtype_changes(rng, dtype):
    images = rng.integers(0, 256, (3, 2, 4, 1)).astype(dtype)
    x = apply([], images)
    assert x.dtype == np.float32
    assert not np.shares_memory(x, images)
    np.testing.assert_array_equal(x, images)


@pytest.mark.parametrize(
    ("images", "error"),
    [
        ([[[[0]]]], TypeError),
        (np.zeros((1, 2, 2, 1), np.int64), nn.DTypeError),
        (np.zeros((2, 2, 1), np.uint8), nn.ShapeError),
    ],
)
def test_what_is_no_picture_is_refused(images, error):
    with pytest.raises(error, match="images must be"):
        apply([], images)


@pytest.mark.parametrize("step", [*ALL, mirror(alternate=True)], ids=repr)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda step: pickle.loads(pickle.dumps(step))])
def test_a_copy_and_a_pickle_of_a_step_do_the_same(rng, step, copied):
    images = rng.integers(0, 256, (3, 6, 6, 2), np.uint8)
    origin = steps.Origin(np.arange(3), np.array([0, 1, 2]), 5)
    first, second = (one(images, np.random.default_rng(3), origin) for one in (step, copied(step)))
    assert copied(step) == step
    np.testing.assert_array_equal(first, second)


def every_other_row(images, rng):
    return images[:, ::2]


@pytest.mark.parametrize("name", ["halve", "mirror"])
def test_a_step_of_ones_own_is_pickled_by_its_function(rng, name):
    images = rng.integers(0, 256, (3, 6, 6, 2), np.uint8)
    step = pickle.loads(pickle.dumps(steps.Step(name, {}, every_other_row)))
    np.testing.assert_array_equal(step(images), images[:, ::2])


@pytest.mark.parametrize("name", ["halve", "mirror"])
def test_a_step_of_ones_own_is_not_written_as_one_of_the_library(name):
    with pytest.raises(TypeError, match=rf"steps\[1\], .*{name}.*, is a function of your own"):
        steps.describe([steps.crop(4), steps.Step(name, {}, every_other_row)])
