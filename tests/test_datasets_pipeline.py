"""From pictures to batches: both pipelines against plain loops, and the batches a thread prepares."""

import gc
import itertools
import math
import re
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import npcnn as nn
from npcnn.datasets import TrainingBatches, distorted_inputs, evaluation_batches, from_arrays, inputs, pipeline, steps
from npcnn.datasets.pipeline import DISTORTED_INPUTS, INPUTS

COUNT = 10


def threads():
    """Return the threads there are; those of other tests may end meanwhile, so that a number would say nothing."""
    return set(threading.enumerate())


@pytest.fixture
def pictures(rng):
    """Ten pictures of noise."""
    return rng.integers(0, 256, (COUNT, 32, 32, 3), dtype=np.uint8)


def standardised(picture):
    """Return (x - mean) / max(sd, 1 / sqrt(n)) of one picture, value by value in Python's own floats."""
    values = [float(value) for value in picture.ravel()]
    n = len(values)
    mean = math.fsum(values) / n
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / n)
    return np.reshape([(value - mean) / max(sd, 1 / math.sqrt(n)) for value in values], picture.shape)


def test_inputs_are_the_middle_standardised(pictures):
    x = inputs(pictures)
    assert x.shape == (COUNT, 24, 24, 3)
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    for n in range(COUNT):
        np.testing.assert_allclose(x[n], standardised(pictures[n, 4:28, 4:28]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("value", [0, 1, 7, 255])
def test_a_picture_of_one_colour_becomes_zero(value):
    assert (inputs(np.full((2, 32, 32, 3), value, np.uint8)) == 0).all()


def test_one_grain_in_a_grey_picture_meets_the_bound_on_the_deviation():
    picture = np.full((1, 32, 32, 3), 200, np.uint8)
    picture[0, 10, 10, 0] = 201  # sd 0.02406 where 1 / sqrt(1728) is 0.02406: just below it
    x = inputs(picture)
    np.testing.assert_allclose(x[0], standardised(picture[0, 4:28, 4:28]), atol=5e-4)
    assert x[0, 6, 6, 0] == pytest.approx((1 - 1 / 1728) * math.sqrt(1728), rel=1e-4)


def test_low_contrast_does_not_lose_digits():
    picture = np.full((1, 32, 32, 3), 250, np.uint8)
    picture[0, ::2] = 252
    np.testing.assert_allclose(inputs(picture)[0], standardised(picture[0, 4:28, 4:28]), atol=1e-5)


def test_pictures_of_other_sizes():
    rng = np.random.default_rng(0)
    for shape, top, left in [((1, 24, 24, 1), 0, 0), ((1, 25, 31, 2), 0, 3), ((1, 40, 27, 3), 8, 1)]:
        picture = rng.integers(0, 256, shape, dtype=np.uint8)
        expected = standardised(picture[0, top : top + 24, left : left + 24])
        np.testing.assert_allclose(inputs(picture)[0], expected, atol=2e-6)


@pytest.mark.parametrize("function", [inputs, distorted_inputs])
def test_the_layout_in_memory_does_not_matter(pictures, function):
    expected = function(pictures, np.random.default_rng(0))
    views = {
        "planes": np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1),
        "columns first": np.asfortranarray(pictures),
        "backwards": np.ascontiguousarray(pictures[::-1, ::-1])[::-1, ::-1],
    }
    for name, view in views.items():
        before = view.copy()
        np.testing.assert_allclose(function(view, np.random.default_rng(0)), expected, atol=2e-6, err_msg=name)
        np.testing.assert_array_equal(view, before)


@pytest.mark.parametrize("function", [inputs, distorted_inputs])
def test_an_empty_batch(function):
    assert function(np.zeros((0, 32, 32, 3), np.uint8), np.random.default_rng(0)).shape == (0, 24, 24, 3)


def in_one_piece(images, rng=None):
    """Both pipelines as one function each, as before they were lists of steps; distorted if there is `rng`."""
    N, H, W, C = images.shape
    if rng is None:
        top, left = (H - 24) // 2, (W - 24) // 2
        x = images[:, top : top + 24, left : left + 24].astype(np.float32, order="C")
    else:
        tops, lefts = rng.integers(0, H - 24 + 1, N), rng.integers(0, W - 24 + 1, N)
        mirrored = rng.integers(0, 2, size=(N,))
        brightness = rng.uniform(-63.0, 63.0, size=(N, 1, 1, 1)).astype(np.float32)
        contrast = rng.uniform(0.2, 1.8, size=(N, 1, 1, 1)).astype(np.float32)
        x = np.empty((N, 24, 24, C), np.float32)
        for n in range(N):
            part = images[n, tops[n] : tops[n] + 24, lefts[n] : lefts[n] + 24]
            x[n] = part[:, ::-1] if mirrored[n] else part
        x += brightness
        means = x.mean(axis=1, keepdims=True).mean(axis=2, keepdims=True)
        x -= means
        x *= contrast
        x += means
    n = 24 * 24 * C
    x -= x.mean(axis=(1, 2, 3), dtype=np.float64, keepdims=True).astype(np.float32)
    sd = np.sqrt(np.einsum("nhwc,nhwc->n", x, x) / n)
    x /= np.maximum(sd, 1 / np.sqrt(n), dtype=np.float32)[:, np.newaxis, np.newaxis, np.newaxis]
    return x


@pytest.mark.parametrize("shape", [(130, 32, 32, 3), (5, 40, 27, 1), (1, 24, 24, 2)])
def test_the_lists_of_steps_give_the_bits_that_one_function_gives(rng, shape):
    images = rng.integers(0, 256, shape, dtype=np.uint8)
    for given in (images, np.asfortranarray(images), images[::2]):
        np.testing.assert_array_equal(inputs(given), in_one_piece(given))
        drawn = distorted_inputs(given, np.random.default_rng(3))
        np.testing.assert_array_equal(drawn, in_one_piece(given, np.random.default_rng(3)))


@pytest.mark.parametrize("name", pipeline.PIPELINES)
def test_batches_have_the_bits_that_one_function_gives(pictures, name):
    for number, (x, labels) in enumerate(batches_of(pictures, 6, pipeline=name, seed=9)):
        generator = None if name == "inputs" else np.random.default_rng([9, 1, number])
        np.testing.assert_array_equal(x, in_one_piece(pictures[labels], generator))


@pytest.fixture
def distortions():
    """What was done to 400 pictures, read off the result: red counts rows, green counts columns, blue is 0.

    Left out is the last step, standardising.  Adding brightness b and scaling by c about each channel's mean,
    blue becomes b; red's slope is 8 c, green's is 8 c too, or -8 c in a mirrored picture; their means tell
    where the crop was.
    """
    row, column = np.meshgrid(8 * np.arange(32), 8 * np.arange(32), indexing="ij")
    picture = np.stack([row, column, 0 * row], axis=-1).astype(np.uint8)
    images = np.broadcast_to(picture, (400, 32, 32, 3))
    y = steps.apply(DISTORTED_INPUTS[:-1], images, np.random.default_rng(5)).astype(np.float64)
    brightness = y[..., 2].mean(axis=(1, 2))
    contrast = (y[:, 23, 0, 0] - y[:, 0, 0, 0]) / (8 * 23)
    mirrored = y[:, 0, 23, 1] < y[:, 0, 0, 1]
    top, left = ((y[..., channel].mean(axis=(1, 2)) - brightness) / 8 - 11.5 for channel in (0, 1))
    return picture, y, brightness, contrast, mirrored, top, left


def test_distortions_are_those_of_tensorflow_and_nothing_else(distortions):
    picture, y, brightness, contrast, mirrored, tops, lefts = distortions
    for n in range(0, 400, 20):
        top, left = round(tops[n]), round(lefts[n])
        crop = picture[top : top + 24, left : left + 24].astype(np.float64)
        if mirrored[n]:
            crop = crop[:, ::-1]
        bright = crop + brightness[n]
        mean = bright.mean(axis=(0, 1))
        np.testing.assert_allclose(y[n], (bright - mean) * contrast[n] + mean, atol=2e-3)


def test_distortions_are_spread_over_their_ranges(distortions):
    _, _, brightness, contrast, mirrored, tops, lefts = distortions
    for offsets in (tops, lefts):
        np.testing.assert_allclose(offsets, np.rint(offsets), atol=1e-3)
        counts = np.bincount(np.rint(offsets).astype(int))
        assert len(counts) == 9
        assert counts.min() > 20  # of 44 expected
    assert brightness.min() < -61
    assert brightness.max() > 61
    assert np.abs(brightness).max() <= 63
    assert np.histogram(brightness, 4, (-63, 63))[0].min() > 65  # of 100 expected
    assert contrast.min() >= 0.2 - 1e-5
    assert contrast.max() <= 1.8 + 1e-5
    assert np.histogram(contrast, 4, (0.2, 1.8))[0].min() > 65
    assert 150 < mirrored.sum() < 250
    together = np.corrcoef([brightness, contrast, mirrored, tops, lefts]) - np.eye(5)
    assert np.abs(together).max() < 0.2  # drawn independently


def test_distorted_inputs_end_standardised(pictures):
    x = distorted_inputs(pictures, np.random.default_rng(3))
    assert x.shape == (COUNT, 24, 24, 3)
    assert x.dtype == np.float32
    before = steps.apply(DISTORTED_INPUTS[:-1], pictures, np.random.default_rng(3))
    for n in range(COUNT):
        np.testing.assert_allclose(x[n], standardised(before[n]), atol=3e-6)


@pytest.mark.parametrize("function", [inputs, distorted_inputs])
@pytest.mark.parametrize(
    ("images", "error", "told"),
    [
        ([[0]], TypeError, "list"),
        (np.zeros((1, 32, 32, 3), np.float32), nn.DTypeError, "float32"),
        (np.zeros((32, 32, 3), np.uint8), nn.ShapeError, r"\(32, 32, 3\)"),
        (np.zeros((1, 23, 32, 3), np.uint8), nn.ShapeError, "24 x 24"),
        (np.zeros((1, 32, 23, 3), np.uint8), nn.ShapeError, "24 x 24"),
        (np.zeros((1, 32, 32, 0), np.uint8), nn.ShapeError, "0"),
    ],
)
def test_wrong_pictures_are_named(function, images, error, told):
    with pytest.raises(error, match=rf"images must be .*{told}"):
        function(images, np.random.default_rng(0))


@pytest.mark.parametrize("generator", [None, 0, np.random.RandomState(0)])
def test_a_wrong_generator_is_named(pictures, generator):
    with pytest.raises(TypeError, match=r"rng must be a numpy.random.Generator"):
        distorted_inputs(pictures, generator)


def batches_of(pictures, count, **options):
    """Return the first batches; a label is the number of its picture."""
    options = {"batch_size": 4} | options
    with TrainingBatches(pictures, np.arange(len(pictures)), **options) as batches:
        return [next(batches) for _ in range(count)]


def assert_same(one, other):
    assert len(one) == len(other)
    for (x, labels), (x2, labels2) in zip(one, other, strict=True):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(labels, labels2)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 7, COUNT])
def test_every_epoch_has_every_picture_once_and_every_batch_is_full(pictures, batch_size):
    epochs = 4
    taken = batches_of(pictures, -(-epochs * COUNT // batch_size), batch_size=batch_size)
    assert {labels.shape for _, labels in taken} == {(batch_size,)}
    order = np.concatenate([labels for _, labels in taken])[: epochs * COUNT].reshape(epochs, COUNT)
    for epoch in order:
        assert sorted(epoch) == list(range(COUNT))
    assert len({tuple(epoch) for epoch in order}) == epochs  # 10! orders: no two alike
    assert tuple(range(COUNT)) not in {tuple(epoch) for epoch in order}


def test_a_picture_goes_with_its_label(pictures):
    for x, labels in batches_of(pictures, 6):
        assert x.dtype == np.float32
        assert labels.dtype == np.int64
        np.testing.assert_array_equal(x, inputs(pictures[labels]))


@pytest.mark.parametrize("name", pipeline.PIPELINES)
def test_the_seed_alone_decides_whatever_the_threads_do(pictures, monkeypatch, name):
    fast = batches_of(pictures, 8, pipeline=name, seed=7)
    original, naps = pipeline.PIPELINES[name], itertools.cycle([0.0, 0.02, 0.001])

    def slow(images, rng):
        time.sleep(next(naps))
        return steps.apply(original, images, rng)

    with monkeypatch.context() as patch:
        patch.setitem(pipeline.PIPELINES, name, [slow])
        assert_same(batches_of(pictures, 8, pipeline=name, seed=7, ahead=1), fast)
    other = batches_of(pictures, 8, pipeline=name, seed=8)
    assert any((labels != labels2).any() for (_, labels), (_, labels2) in zip(fast, other, strict=True))


@pytest.mark.parametrize("name", pipeline.PIPELINES)
@pytest.mark.parametrize("start", [1, 4, 23])
def test_started_later_they_go_on_with_the_same_batches(pictures, name, start):
    whole = batches_of(pictures, start + 4, pipeline=name, seed=2)
    assert_same(batches_of(pictures, 4, pipeline=name, seed=2, start=start), whole[start:])


def test_any_batch_can_be_asked_for_while_the_thread_runs(pictures):
    whole = batches_of(pictures, 20, pipeline="distorted")
    with TrainingBatches(pictures, np.arange(COUNT), batch_size=4, pipeline="distorted") as batches:
        for number in (19, 0, 7):
            assert_same([next(batches), batches.batch(number)], [whole[(19, 0, 7).index(number)], whole[number]])


def test_distortions_of_a_picture_differ_from_epoch_to_epoch(pictures):
    first, second = batches_of(pictures, 2, batch_size=COUNT, pipeline="distorted")
    for picture in range(COUNT):
        x, x2 = (x[labels == picture] for x, labels in (first, second))
        assert np.abs(x - x2).max() > 0.1


def test_a_batch_is_the_consumers_own(pictures):
    with TrainingBatches(pictures, np.arange(COUNT), batch_size=4) as batches:
        x, labels = next(batches)
        x_before, labels_before = x.copy(), labels.copy()
        following = [next(batches) for _ in range(10)]
        np.testing.assert_array_equal(x, x_before)
        np.testing.assert_array_equal(labels, labels_before)
        assert not any(np.shares_memory(x, x2) for x2, _ in following)


def test_the_thread_goes_ahead_so_far_and_no_further(pictures):
    made, taken, lead = threading.Semaphore(0), [], []

    def counted(images, rng):
        if len(images) == 4:  # a batch, not the trial of the steps on one picture
            lead.append(len(lead) + 1 - len(taken))
            made.release()
        return images

    with TrainingBatches(pictures, np.arange(COUNT), batch_size=4, augment=[counted], ahead=3) as batches:
        for _ in range(3):
            made.acquire()
        for _ in range(20):
            made.acquire()  # three wait in the queue, the fourth for a place in it
            taken.append(1)
            next(batches)
    assert max(lead) == 4


def test_wait_seconds_add_up_from_the_second_batch_on(pictures, monkeypatch):
    class Clock:
        ticks = itertools.count()

        def perf_counter(self):
            return float(next(self.ticks))

    monkeypatch.setattr(pipeline, "time", Clock())
    with TrainingBatches(pictures, np.arange(COUNT), batch_size=4) as batches:
        next(batches)
        assert batches.wait_seconds == 0
        for count in (1, 2, 3):
            next(batches)
            assert batches.wait_seconds == count


def test_an_error_in_the_thread_reaches_the_consumer(pictures):
    calls = itertools.count()

    def fails_third(images, rng):
        if len(images) == 4 and next(calls) == 2:
            raise MemoryError("third batch")
        return images

    before = threads()
    batches = TrainingBatches(pictures, np.arange(COUNT), batch_size=4, augment=[fails_third])
    next(batches)
    next(batches)
    with pytest.raises(MemoryError, match="third batch"):
        next(batches)
    assert threads() <= before
    with pytest.raises(RuntimeError, match="closed"):
        next(batches)


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_close_ends_the_thread(pictures, taken):
    before = threads()
    batches = TrainingBatches(pictures, np.arange(COUNT), batch_size=4)
    for _ in range(taken):
        next(batches)
    assert len(threads() - before) == 1
    batches.close()
    assert threads() <= before
    batches.close()  # again is fine
    with pytest.raises(RuntimeError, match="closed"):
        next(batches)


def test_with_closes_even_when_the_body_fails(pictures):
    before = threads()

    def body():
        with TrainingBatches(pictures, np.arange(COUNT), batch_size=4) as batches:
            assert iter(batches) is batches
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        body()
    assert threads() <= before


def test_a_forked_process_is_told_to_make_its_own(tmp_path):
    """The thread stays in the parent: the child would take what is prepared and then wait for ever."""
    program = """
import os, signal
import numpy as np
import npcnn as nn

with nn.datasets.TrainingBatches(np.zeros((4, 32, 32, 3), np.uint8), np.arange(4), batch_size=4) as batches:
    next(batches)
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # should it wait for ever
        try:
            next(batches)
        except RuntimeError as error:
            print(error, flush=True)
            batches.close()
            os._exit(7)
        os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(next(batches)))
"""
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r".*not in this forked process; make new batches here\n7 2\n", done.stdout), done.stdout


def test_close_wakes_another_thread_that_waits(pictures, monkeypatch):
    asked, go_on, outcome = threading.Event(), threading.Event(), []

    class Clock:
        def perf_counter(self):
            asked.set()
            return 0.0

    def never_ready(images, rng):
        if len(images) == 4:
            go_on.wait(600)
        return images

    def take():
        try:
            outcome.append(next(batches))
        except RuntimeError as error:
            outcome.append(error)

    monkeypatch.setattr(pipeline, "time", Clock())
    batches = TrainingBatches(pictures, np.arange(COUNT), batch_size=4, augment=[never_ready])
    consumer, closer = (threading.Thread(target=target, daemon=True) for target in (take, batches.close))
    consumer.start()
    assert asked.wait(600)
    closer.start()
    consumer.join(60)  # is over at once, or never
    go_on.set()
    closer.join()
    assert "closed" in str(*outcome)


@pytest.mark.parametrize("taken", [0, 3])
def test_forgotten_batches_end_their_thread(pictures, taken):
    others = set(threading.enumerate())
    batches = TrainingBatches(pictures, np.arange(COUNT), batch_size=4)
    for _ in range(taken):
        next(batches)
    (thread,) = set(threading.enumerate()) - others
    del batches
    gc.collect()
    thread.join(60)  # is over at once, or never
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"labels": np.arange(9)}, nn.ShapeError, r"labels must have shape \(10,\).*\(9,\)"),
        ({"labels": np.zeros((10, 1), int)}, nn.ShapeError, r"labels.*\(10, 1\)"),
        ({"labels": np.zeros(10)}, nn.DTypeError, "labels must be integers.*float64"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"batch_size": 11}, ValueError, "batch_size must be at most 10"),
        ({"batch_size": 2.0}, TypeError, "batch_size"),
        ({"pipeline": "crops"}, ValueError, "pipeline must be one of inputs, distorted, got 'crops'"),
        ({"seed": -1}, ValueError, "seed"),
        ({"start": -1}, ValueError, "start"),
        ({"ahead": 0}, ValueError, "ahead"),
        ({"images": np.zeros((10, 23, 32, 3), np.uint8)}, nn.ShapeError, r"crop\(size=24\).*at least 24 x 24.*23 x 32"),
        ({"images": np.zeros((10, 32, 32), np.uint8)}, nn.ShapeError, r"images must be \(N, H, W, C\)"),
        ({"images": np.full((10, 32, 32, 3), np.nan, np.float32)}, ValueError, r"images\[0\] has NaN"),
        ({"augment": steps.mirror()}, TypeError, "augment must be a list of steps"),
        ({"augment": [steps.mirror]}, TypeError, r"augment\[0\] must be a step.*call it: mirror\(\)"),
        ({"augment": ["mirror"]}, TypeError, r"augment\[0\] must be a function .*'mirror'"),
        ({"augment": [steps.mirror()], "pipeline": "inputs"}, ValueError, "in the place of augment and steps"),
        ({"steps": [], "pipeline": "inputs"}, ValueError, "in the place of augment and steps"),
        ({"steps": [steps.mirror()]}, ValueError, r"steps\[0\], mirror\(\), draws at random.*augment"),
        ({"steps": [lambda images, rng: images[:0]]}, nn.ShapeError, r"<lambda> must return 1 pictures"),
    ],
)
def test_wrong_arguments_are_named_and_start_no_thread(pictures, options, error, told):
    before = threads()
    arguments = {"images": pictures, "labels": np.arange(COUNT), "batch_size": 4} | options
    with pytest.raises(error, match=told):
        TrainingBatches(arguments.pop("images"), arguments.pop("labels"), **arguments)
    assert threads() <= before


@pytest.mark.parametrize("batch_size", [1, 3, 5, COUNT, 64])
def test_evaluation_goes_through_all_in_order(pictures, batch_size):
    taken = list(evaluation_batches(pictures, np.arange(COUNT, dtype=np.uint8), batch_size=batch_size))
    assert [len(labels) for _, labels in taken] == [min(batch_size, COUNT - i) for i in range(0, COUNT, batch_size)]
    labels = np.concatenate([labels for _, labels in taken])
    assert labels.tolist() == list(range(COUNT))
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(np.concatenate([x for x, _ in taken]), inputs(pictures))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"labels": np.arange(9)}, nn.ShapeError),
        ({"labels": np.zeros(10)}, nn.DTypeError),
        ({"batch_size": 0}, ValueError),
        ({"images": np.zeros((10, 32, 32, 3))}, nn.DTypeError),
        ({"steps": [steps.brightness(3)]}, ValueError),
    ],
)
def test_wrong_arguments_of_the_evaluation_are_named(pictures, options, error):
    with pytest.raises(error, match=next(iter(options))):
        next(evaluation_batches(**{"images": pictures, "labels": np.arange(COUNT)} | options))


@pytest.fixture
def data(rng):
    """A data set of 23 and 7 grey pictures of 9 x 14."""
    images = rng.integers(0, 256, (30, 9, 14, 1), dtype=np.uint8)
    return from_arrays(images[:23], np.arange(23), images[23:], np.arange(23, 30))


def taken(batches, count=6):
    with batches:
        return [next(batches) for _ in range(count)]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_of_a_data_set_nothing_is_cropped_or_scaled_unasked(data, dtype):
    train, test = data.train_images.astype(dtype), data.test_images.astype(dtype)
    data = from_arrays(train, data.train_labels, test, data.test_labels)
    for x, labels in taken(TrainingBatches(data, batch_size=8)):
        assert x.dtype == np.float32
        np.testing.assert_array_equal(x, train[labels])
    ((x, labels),) = evaluation_batches(data)
    assert (x.dtype, x.flags.owndata, labels.tolist()) == (np.float32, True, list(range(23, 30)))
    np.testing.assert_array_equal(x, test)


def test_training_runs_augment_then_the_steps_and_evaluation_the_steps(data):
    def told(images, rng):
        order.append("own, with a generator" if rng is not None else "own, without")
        return images

    order = []
    data = data.with_steps([told, steps.standardise(mean=10, deviation=2)])
    augment = [steps.random_crop((9, 14), padding=3), steps.mirror()]
    for number, (x, labels) in enumerate(taken(TrainingBatches(data, batch_size=8, augment=augment, seed=5))):
        generator = np.random.default_rng([5, 1, number])
        expected = augment[1](augment[0](data.train_images[labels], generator), generator)
        np.testing.assert_array_equal(x, (expected - np.float32(10)) / np.float32(2))
    assert set(order) == {"own, with a generator"}
    order.clear()
    (x, _), _ = evaluation_batches(data, batch_size=4)
    np.testing.assert_array_equal(x, (data.test_images[:4] - np.float32(10)) / np.float32(2))
    np.testing.assert_array_equal(x, data.inputs(data.test_images[:4]))
    assert set(order) == {"own, without"}


def test_steps_given_to_the_batches_go_before_those_of_the_data_set(data):
    data, other = data.with_steps([steps.crop(3)]), [steps.crop((2, 5))]
    assert taken(TrainingBatches(data, batch_size=2))[0][0].shape == (2, 3, 3, 1)
    assert taken(TrainingBatches(data, batch_size=2, steps=other))[0][0].shape == (2, 2, 5, 1)
    assert next(evaluation_batches(data))[0].shape == (7, 3, 3, 1)
    assert next(evaluation_batches(data, steps=other))[0].shape == (7, 2, 5, 1)
    assert next(evaluation_batches(data, steps=()))[0].shape == (7, 9, 14, 1)


def test_augmented_batches_depend_on_seed_and_number_only(data):
    def noise(images, rng):
        return images + rng.normal(0, 5, images.shape)

    augment = [
        steps.random_crop((8, 12), padding=2, mode="edge"), steps.mirror(), steps.brightness(20), noise,
        steps.contrast(0.5, 1.5), steps.cutout(3),
    ]  # fmt: skip
    whole = taken(TrainingBatches(data, batch_size=5, augment=augment, seed=3), 12)
    assert_same(taken(TrainingBatches(data, batch_size=5, augment=augment, seed=3, start=7, ahead=1), 5), whole[7:])
    with TrainingBatches(data, batch_size=5, augment=augment, seed=3) as batches:
        assert_same([batches.batch(number) for number in (9, 2)], [whole[9], whole[2]])
    assert not any(np.array_equal(x, x2) for (x, _), (x2, _) in itertools.pairwise(whole))


def test_a_step_that_changes_what_it_is_given_does_not_change_the_data(data):
    def black(images, rng):
        images[:] = 0
        return images

    before = data.checksum()
    assert taken(TrainingBatches(data, batch_size=5, augment=[black]))[0][0].max() == 0
    assert next(evaluation_batches(data, steps=[black]))[0].max() == 0
    assert data.checksum() == before


def test_a_data_set_has_its_own_labels(data):
    with pytest.raises(TypeError, match="labels must be left out with a Dataset"):
        TrainingBatches(data, data.train_labels, batch_size=2)
    with pytest.raises(TypeError, match="labels must be left out with a Dataset"):
        next(evaluation_batches(data, data.test_labels))


def test_the_article_s_pipelines_are_lists_of_steps():
    assert repr(INPUTS) == "(crop(size=24), standardise())"
    assert repr(DISTORTED_INPUTS) == (
        "(random_crop(size=24, padding=0, mode='reflect'), mirror(), brightness(most=63.0), "
        "contrast(low=0.2, high=1.8), standardise())"
    )
    assert pipeline.PIPELINES == {"inputs": INPUTS, "distorted": DISTORTED_INPUTS}
    for name in pipeline.PIPELINES:
        assert steps.from_description(steps.describe(pipeline.PIPELINES[name])) == pipeline.PIPELINES[name]
