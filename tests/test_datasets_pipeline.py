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
from npcnn.datasets import TrainingBatches, distorted_inputs, evaluation_batches, inputs, pipeline

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


def test_standardise_works_in_place_whatever_the_layout():
    x = np.asfortranarray(np.random.default_rng(0).uniform(0, 255, (2, 4, 5, 3)).astype(np.float32))
    expected = [standardised(picture) for picture in x]
    assert pipeline.standardise(x) is x
    np.testing.assert_allclose(x, expected, atol=2e-6)


@pytest.fixture
def distortions(monkeypatch):
    """What was done to 400 pictures, read off the result: red counts rows, green counts columns, blue is 0.

    Left out is the last step, standardising.  Adding brightness b and scaling by c about each channel's mean,
    blue becomes b; red's slope is 8 c, green's is 8 c too, or -8 c in a mirrored picture; their means tell
    where the crop was.
    """
    row, column = np.meshgrid(8 * np.arange(32), 8 * np.arange(32), indexing="ij")
    picture = np.stack([row, column, 0 * row], axis=-1).astype(np.uint8)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "standardise", lambda x: x)
        y = distorted_inputs(np.broadcast_to(picture, (400, 32, 32, 3)), np.random.default_rng(5))
    y = y.astype(np.float64)
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


def test_distorted_inputs_end_standardised(pictures, monkeypatch):
    x = distorted_inputs(pictures, np.random.default_rng(3))
    assert x.shape == (COUNT, 24, 24, 3)
    assert x.dtype == np.float32
    monkeypatch.setattr(pipeline, "standardise", lambda x: x)
    before = distorted_inputs(pictures, np.random.default_rng(3))
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
        return original(images, rng)

    with monkeypatch.context() as patch:
        patch.setitem(pipeline.PIPELINES, name, slow)
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


def test_the_thread_goes_ahead_so_far_and_no_further(pictures, monkeypatch):
    made, taken, lead = threading.Semaphore(0), [], []

    def counted(images, rng):
        lead.append(len(lead) + 1 - len(taken))
        made.release()
        return inputs(images)

    monkeypatch.setitem(pipeline.PIPELINES, "inputs", counted)
    with TrainingBatches(pictures, np.arange(COUNT), batch_size=4, ahead=3) as batches:
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


def test_an_error_in_the_thread_reaches_the_consumer(pictures, monkeypatch):
    calls = itertools.count()

    def fails_third(images, rng):
        if next(calls) == 2:
            raise MemoryError("third batch")
        return inputs(images)

    monkeypatch.setitem(pipeline.PIPELINES, "inputs", fails_third)
    before = threads()
    batches = TrainingBatches(pictures, np.arange(COUNT), batch_size=4)
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
        go_on.wait(600)
        return inputs(images)

    def take():
        try:
            outcome.append(next(batches))
        except RuntimeError as error:
            outcome.append(error)

    monkeypatch.setattr(pipeline, "time", Clock())
    monkeypatch.setitem(pipeline.PIPELINES, "inputs", never_ready)
    batches = TrainingBatches(pictures, np.arange(COUNT), batch_size=4)
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
    ],
)
def test_wrong_arguments_of_the_evaluation_are_named(pictures, options, error):
    with pytest.raises(error, match=next(iter(options))):
        next(evaluation_batches(**{"images": pictures, "labels": np.arange(COUNT)} | options))
