"""Six views of a picture: against a plain computation of each, and where one look is enough."""

import numpy as np
import pytest

import npcnn as nn
from npcnn.evaluation import Views
from npcnn.functional import softmax


def network(rng):
    return nn.Sequential(
        nn.Conv2D(3, 4, 3, rng=rng), nn.ReLU(), nn.Flatten(), nn.Dense(4 * 6 * 5, 3, rng=rng)
    )  # fmt: skip


def shifted(picture, by):
    """Move a picture down and right by `by` pixels, one pixel at a time; its border is a mirror."""
    H, W, _ = picture.shape
    moved = np.empty_like(picture)
    for i in range(H):
        for j in range(W):
            k, m = abs(i - by), abs(j - by)
            moved[i, j] = picture[k if k < H else 2 * H - 2 - k, m if m < W else 2 * W - 2 - m]
    return moved


def six_views(net, x):
    means = np.zeros((len(x), 3))
    for n, picture in enumerate(x):
        for by, weight in ((0, 1 / 4), (1, 1 / 8), (-1, 1 / 8)):
            view = shifted(picture, by)
            for one in (view, view[:, ::-1]):
                means[n] += weight * net(np.ascontiguousarray(one)[np.newaxis])[0]
    return means


def test_against_a_plain_computation(rng):
    net, x = network(rng), rng.standard_normal((4, 6, 5, 3)).astype(np.float32)
    np.testing.assert_allclose(Views(net)(x), six_views(net, x), rtol=1e-4, atol=1e-5)


def test_pictures_that_are_clear_at_first_sight_get_one_look_and_the_others_all(rng):
    net, x = network(rng), rng.standard_normal((40, 6, 5, 3)).astype(np.float32)
    plain, all_views = net(x), Views(net)(x)
    highest = softmax(plain).max(axis=1)
    threshold = float(np.median(highest))
    sure = highest >= threshold
    assert 0 < sure.sum() < len(x)
    logits = Views(net, sure=threshold)(x)
    np.testing.assert_array_equal(logits[sure], plain[sure])
    np.testing.assert_allclose(logits[~sure], all_views[~sure], rtol=1e-5, atol=1e-6)


def test_it_stands_for_a_network(rng):
    net, x = network(rng), rng.standard_normal((7, 6, 5, 3)).astype(np.float32)
    labels = six_views(net, x).argmax(axis=1)
    assert nn.train.evaluate(Views(net), [(x[:4], labels[:4]), (x[4:], labels[4:])])[1] == 1.0
    probabilities, _ = nn.evaluation.predict(Views(net), [(x, labels)])
    np.testing.assert_array_equal(probabilities.argmax(axis=1), labels)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda net: Views("net"), TypeError, "net must be a layer"),
        (lambda net: Views(net, sure=1.5), ValueError, "sure must be"),
        (lambda net: Views(net)(np.zeros((6, 5, 3), np.float32)), nn.ShapeError, "N, H, W, C"),
        (lambda net: Views(net).forward(np.zeros((1, 6, 5, 3), np.float32), training=True), ValueError, "training"),
    ],
)
def test_what_is_refused(call, error, message, rng):
    with pytest.raises(error, match=message):
        call(network(rng))
