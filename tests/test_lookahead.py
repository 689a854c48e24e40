"""Lookahead: by hand, in a training, and what it refuses.  test_resume.py has it go on to the bit."""

import numpy as np
import pytest

import npcnn as nn
from npcnn.train import Lookahead, StepResult, fit


def result(step):
    return StepResult(step, 1.0, 0.5, 8, 0.5 * step, 1.0, 16.0)


def one_weight(value):
    net = nn.Dense(1, 1, bias=False, dtype=np.float64)
    net.params["w"][...] = value
    return net


def test_by_hand():
    net = one_weight(2.0)
    lookahead = Lookahead(net, decay=0.75, every=2)
    fast = [3.0, 6.0, 4.0, 11.0]  # what the optimizer makes of it
    after = [3.0, 2 + 0.25 * (6 - 2), 4.0, 3 + 0.25 * (11 - 3)]
    for step, (value, expected) in enumerate(zip(fast, after, strict=True), 1):
        net.params["w"][...] = value
        lookahead(result(step))
        assert net.params["w"].item() == expected
    assert lookahead.updates == 2


def test_the_share_that_stays_may_depend_on_the_step():
    net, asked = one_weight(0.0), []
    lookahead = Lookahead(net, decay=lambda step: asked.append(step) or step / 8, every=4)
    for step in range(1, 9):
        net.params["w"][...] += 1
        lookahead(result(step))
    assert asked == [4, 8]
    assert net.params["w"].item() == 2.0  # half of 4; at step 8 all of that stays


def test_the_slow_weights_are_what_is_applied_and_running_statistics_are_among_them(rng):
    net = nn.Sequential(nn.BatchNorm(2, momentum=0.5), nn.Dense(2, 2, rng=rng))
    start = {name: array.copy() for name, array in net.arrays.items()}
    lookahead = Lookahead(net, decay=0.5, every=5)
    x, labels = rng.standard_normal((8, 2)).astype(np.float32), np.arange(8) % 2
    fit(net, iter([(x, labels)] * 3), nn.SGD(net, lr=0.1), steps=3, callbacks=[lookahead])
    assert any((array != start[name]).any() for name, array in net.arrays.items())
    with lookahead.applied():
        for name, array in net.arrays.items():
            np.testing.assert_array_equal(array, start[name])
    fast = {name: array.copy() for name, array in net.arrays.items()}
    lookahead.update(step=5)
    for name in ("0_batch_norm.mean", "0_batch_norm.variance", "1_dense.w"):
        np.testing.assert_allclose(net.arrays[name], (start[name] + fast[name]) / 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"decay": 1.0}, ValueError, "decay must be"),
        ({"decay": -0.5}, ValueError, "decay must be"),
        ({"every": 0}, ValueError, "every must be"),
        ({"every": 2.0}, TypeError, "every must be"),
    ],
)
def test_what_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        Lookahead(one_weight(1.0), **options)


def test_a_schedule_that_gives_no_share_changes_nothing():
    net = one_weight(1.0)
    lookahead = Lookahead(net, decay=lambda step: 1.5)
    net.params["w"][...] = 5.0
    with pytest.raises(ValueError, match=r"decay must be from 0 to 1, got 1\.5 .* at step 5"):
        lookahead.update(step=5)
    assert net.params["w"].item() == 5.0
    assert lookahead.mean["w"].item() == 1.0
